"""The projects and clocks of the stories of serving."""

from tests.pictures import unrendered
from tests.stories.serving.conftest import clock, open_project, project, store_url, trained

__all__ = ["clock", "open_project", "project", "store_url", "trained", "unrendered"]
