"""Pause the loop of a model, or of all, and resume it."""

from __future__ import annotations

from everloop.core.loop import Pause
from everloop.flows.project import Project
from everloop.store import history, loop

from . import asking


def pause(project: Project, model: str | None = None, reason: str = "") -> list[str]:
    """Returns the models whose loop was not paused before. Raises UnknownModel."""
    changed = []
    for name in _named(project, model):
        with project.store.writing() as tx:
            loop.begin(tx, name)
            if loop.pause_of(tx, name) is not None:
                continue
            now = project.clock.now()
            loop.put_pause(tx, name, Pause(now, project.user, reason))
            said = "the loop is paused" + (f": {reason}" if reason else "")
            history.append(tx, name, "paused", said, at=now, by=project.user, details={"reason": reason})
        changed.append(name)
    return changed


def resume(project: Project, model: str | None = None) -> list[str]:
    """Returns the models whose loop goes on; what was told meanwhile is considered. Raises UnknownModel."""
    changed = []
    for name in _named(project, model):
        with project.store.writing() as tx:
            loop.begin(tx, name)
            if not loop.remove_pause(tx, name):
                continue
            now = project.clock.now()
            history.append(tx, name, "resumed", "the loop goes on", at=now, by=project.user, details={})
            told = loop.waiting(tx, name) and not loop.lost(tx, name)
        if told:
            asking.noticed(project, name, [])
        changed.append(name)
    return changed


def _named(project: Project, model: str | None) -> list[str]:
    if model is None:
        return list(project.settings.models)
    project.model(model)
    return [model]
