"""Releases on their way, kept without anybody watching: looks, steps, verdicts, shadows, splits."""

from __future__ import annotations

from collections.abc import Callable

from everloop.core.errors import Conflict, MLOpsError
from everloop.core.releases import Look, Release
from everloop.flows.project import Project
from everloop.store import releases

from . import looking, shadowing, splitting

EVERY = 1.0  # seconds between looks, at least
GENTLE = 10.0  # times as long as a look takes, at least

Told = Callable[[Release, Look], None]


def running(project: Project) -> list[Release]:
    """The releases of this server's environment that run."""
    environment = project.settings.serving.environment
    with project.store.reading() as tx:
        return releases.list_releases(tx, environment=environment, statuses=("running",))


def turn(project: Project, release: Release, told: Told) -> None:
    """One turn of a release: what its shadow has missed, a look, a new split."""
    if release.strategy == "shadow":
        shadowing.catch_up(project, release)
    try:
        after, look = looking.look(project, release.release_id)
    except Conflict:
        return  # somebody else looked or changed it
    told(after, look)
    if after.status == "running" and after.plan.bandit:
        splitting.adjust(project, after)


def keep(project: Project, told: Told, failed: Callable[[Release, MLOpsError], None]) -> None:
    """Until no release runs any more."""
    clock = project.clock
    while found := running(project):
        begun = clock.monotonic()
        for release in found:
            try:
                turn(project, release, told)
            except MLOpsError as error:
                failed(release, error)
        clock.sleep(max(EVERY, GENTLE * (clock.monotonic() - begun)))
