"""Databases of the stories of monitoring."""

from tests.store.conftest import url

__all__ = ["url"]
