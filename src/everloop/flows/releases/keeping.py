"""Releases on their way, kept without anybody watching: looks, steps, verdicts, shadows, splits; and beside
that a glance at what fails."""

from __future__ import annotations

from collections.abc import Callable

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
    while wanted() and (found := states.running(project)):
        looked = 0.0
        for release in found:
            try:
                looked += turn(project, release, told)
            except MLOpsError as error:
                failed(release, error)
        clock.sleep(max(EVERY, GENTLE * looked))


def glance(project: Project, told: Told, failed: Failed) -> bool:
    """At what fails in the releases that run; whether one does. A look at labels may take long, gives way to
    others for longer, and begins with a process of its own: a disaster does not wait for it."""
    running = states.running(project)
    for release in running:
        try:
            found = looking.glance(project, release)
        except Conflict:
            continue  # somebody else looked or changed it
        except MLOpsError as error:
            failed(release, error)
            continue
        if found is not None:
            told(*found)
    return bool(running)
