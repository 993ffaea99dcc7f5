"""Whether the loop has something to do: asked often, and cheap."""

from __future__ import annotations

from everloop.flows.project import Project
from everloop.flows.serving import jobs

from . import following, noticing

EVERY = 1.0  # seconds between looks for what is new, at least
GENTLE = 20.0  # times as long as such a look takes, at least
HURRIED = 2.0  # the same while almost enough labels are there
READY = 600.0  # seconds after the last label for which it is ready


class Lookout:
    """Jobs and what is under way are looked at each time, what is new as often as the database bears.
    ``near``: labels come, and almost enough are there."""

    def __init__(self) -> None:
        self.near = False
        self._next = 0.0
        self._missing: dict[str, int] = {}
        self._came = 0.0

    def __call__(self, project: Project) -> bool:
        if jobs.is_due(project) or following.is_due(project):
            return True
        begun = project.clock.monotonic()
        if begun < self._next:
            return False
        found = noticing.news(project)
        if found.missing != self._missing:
            self._missing, self._came = found.missing, begun
        self.near = bool(self._missing) and begun < self._came + READY
        gentle = HURRIED if self.near else GENTLE
        self._next = begun + max(EVERY, gentle * (project.clock.monotonic() - begun))
        return bool(found.triggers)
