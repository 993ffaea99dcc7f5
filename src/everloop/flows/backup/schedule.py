"""Backups by the clock: a loop that makes one when it is due, and removes those that are not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from everloop.core.errors import Busy, InvalidSettings, MLOpsError
from everloop.flows.project import Project
from everloop.flows.saved import Backup, open_target
from everloop.store import changes

from .retention import Pruned, sweep
from .saving import Progress, Stopped, quiet, save

LONGEST = 60.0  # seconds between two looks: the clock may be set, or another process make a backup
AFTER_ERROR = 60.0
LONGEST_AFTER_ERROR = 3600.0


@dataclass(frozen=True)
class Outcome:
    """One backup of the loop: made, or what was in the way."""

    backup: Backup | None
    pruned: Pruned | None
    problem: MLOpsError | None = None


def due(project: Project, place: str | None = None) -> datetime:
    """When the next backup is due: ``backup.every`` after the newest; now if there is none. Times that were
    missed are made up for by one."""
    interval = project.settings.backup.interval
    if interval is None:
        raise InvalidSettings(
            "It is not said how often backups are made.", remedy="Set backup.every, for example to 6h."
        )
    with project.store.reading() as tx:
        mark = changes.find(tx, open_target(project, place).place)
    return mark.at + interval if mark and mark.backup_id else project.clock.now()


def make_due(
    project: Project,
    place: str | None = None,
    *,
    progress: Progress = quiet,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome | None:
    """Make a backup and prune, if one is due. None if not, or if another process is at it."""
    try:
        with project.locks.hold("backup"):
            if due(project, place) > project.clock.now():
                return None
            target = open_target(project, place)
            backup = save(project, target, progress=progress, stop=stop)
            return Outcome(backup, sweep(project, target, project.settings.backup.keep))
    except (Busy, Stopped):
        return None


def follow(
    project: Project, tell: Callable[[Outcome], None], stopped: Event, *, place: str | None = None
) -> None:
    """Make backups when they are due, until ``stopped``: one at work then stops at the next object, and what
    it has copied is there for the next. After an error it waits, ever longer, and tries again."""
    pause = AFTER_ERROR
    due(project, place)  # a setting that is missing is an error at once, not one to be tried again
    while not stopped.is_set():
        try:
            outcome = make_due(project, place, stop=stopped.is_set)
            if outcome:
                tell(outcome)
            left = (due(project, place) - project.clock.now()).total_seconds()
            wait, pause = min(max(left, 1.0), LONGEST), AFTER_ERROR
        except MLOpsError as error:
            tell(Outcome(None, None, error))
            wait, pause = pause, min(2 * pause, LONGEST_AFTER_ERROR)
        stopped.wait(wait)
