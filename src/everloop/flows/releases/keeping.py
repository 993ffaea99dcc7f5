"""Releases on their way, kept without anybody watching: looks, steps, verdicts, shadows, splits; and beside
that, every second, a glance at what fails."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from everloop.core.errors import Conflict, MLOpsError
from everloop.core.releases import Look, Release
from everloop.flows import states
from everloop.flows.project import Project

from . import looking, shadowing, splitting

EVERY = 1.0  # seconds between looks, at least
GENTLE = 10.0  # times as long as a look takes, at least

Told = Callable[[Release, Look], None]
Failed = Callable[[Release, MLOpsError], None]


def turn(project: Project, release: Release, told: Told) -> float:
    """One turn of a release: what its shadow has missed, a look, a new split. Returns the seconds that the
    database was asked for the last two."""
    if release.strategy == "shadow":
        shadowing.catch_up(project, release)
    begun = project.clock.monotonic()
    try:
        after, look = looking.look(project, release.release_id)
    except Conflict:
        return 0.0  # somebody else looked or changed it
    told(after, look)
    if after.status == "running" and after.plan.bandit:
        splitting.adjust(project, after)
    return project.clock.monotonic() - begun


def keep(
    project: Project,
    told: Told,
    failed: Failed,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Until no release runs any more, or nobody wants it."""
    clock = project.clock
    with _guarded(project, told, failed):
        while wanted() and (found := states.running(project)):
            looked = 0.0
            for release in found:
                try:
                    looked += turn(project, release, told)
                except MLOpsError as error:
                    failed(release, error)
            clock.sleep(max(EVERY, GENTLE * looked))


@contextlib.contextmanager
def _guarded(project: Project, told: Told, failed: Failed) -> Iterator[None]:
    """Meanwhile a thread glances at the releases every second: a look at labels may take long, and gives way
    to others for longer, and a disaster does not wait for it."""
    over = threading.Event()

    def guard() -> None:
        while not over.wait(EVERY):
            with contextlib.suppress(MLOpsError):  # the database does not answer: others tell that
                for release in states.running(project):
                    _glance(project, release, told, failed)

    thread = threading.Thread(target=guard, name="everloop-glance", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _glance(project: Project, release: Release, told: Told, failed: Failed) -> None:
    try:
        found = looking.glance(project, release)
    except Conflict:
        return  # somebody else looked or changed it
    except MLOpsError as error:
        failed(release, error)
        return
    if found is not None:
        told(*found)
