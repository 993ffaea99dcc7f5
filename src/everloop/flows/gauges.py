"""What Prometheus is told that the database knows: newest checks, open alerts, releases on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from everloop.core.monitoring import Alert, Checked
from everloop.core.releases import Look, Release
from everloop.store import alerts, monitors, outbox, releases

from .project import Project

LATELY = timedelta(days=7)


@dataclass(frozen=True)
class Gauges:
    """``given_up``: messages of the last 7 days. Each release that runs is there with its newest look."""

    models: tuple[str, ...] = ()
    checks: Sequence[Checked] = ()
    alerts: Sequence[Alert] = ()
    waiting: int = 0
    given_up: int = 0
    releases: Sequence[tuple[Release, Look | None]] = ()


def read(project: Project) -> Gauges:
    """Checks of versions that a model was checked with in the last 7 days before its newest check."""
    with project.store.reading() as tx:
        checks = monitors.latest_checks(tx)
        newest: dict[str, Checked] = {}
        for check in checks:
            newest[check.model] = max(newest.get(check.model, check), check, key=lambda one: one.at)
        opened = alerts.list_alerts(tx, status="open")
        waiting, given_up = outbox.count_messages(tx, project.clock.now() - LATELY)
        running = releases.list_releases(tx, statuses=("running",))
        looks = [releases.list_looks(tx, release.release_id, 1) for release in running]
    models = {*project.settings.models, *newest, *(alert.model for alert in opened)}
    return Gauges(
        tuple(sorted(models)),
        [check for check in checks if check.at >= newest[check.model].at - LATELY],
        opened,
        waiting,
        given_up,
        [(release, found[0] if found else None) for release, found in zip(running, looks, strict=True)],
    )
