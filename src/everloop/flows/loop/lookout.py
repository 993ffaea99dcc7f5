"""Whether the loop has something to do: asked often, and cheap."""

from __future__ import annotations

from everloop.flows.project import Project
from everloop.flows.serving import jobs

from . import advancing, noticing

EVERY = 1.0  # seconds between looks for what is new, at least
GENTLE = 20.0  # times as long as such a look takes, at least


class Lookout:
    """Jobs and what is under way are looked at each time, what is new as often as the database bears."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, project: Project) -> bool:
        if jobs.is_due(project) or advancing.is_due(project):
            return True
        begun = project.clock.monotonic()
        if begun < self._next:
            return False
        found = bool(noticing.news(project))
        self._next = begun + max(EVERY, GENTLE * (project.clock.monotonic() - begun))
        return found
