"""How a version that is in the registry is to be served, where that was not found out when it came."""

from __future__ import annotations

from everloop.core.runs import Run
from everloop.core.serving import Form

from . import compiling, data, runs
from .project import Project


def form_of_stored(project: Project, run: Run) -> Form:
    """The form of a run's model, compared on the data it was trained on."""
    rows = None
    if run.dataset:
        rows = data.load(project, data.find(project, run.data_version, run.dataset))
    return compiling.compile_version(project, runs.load_model(project, run), run, rows)
