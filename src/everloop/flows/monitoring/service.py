"""How a model answers: predictions that were served here, and calls that were told from outside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.core.errors import MonitoringError
from everloop.flows.project import Project
from everloop.monitoring import health
from everloop.monitoring.health import Health, Limits
from everloop.store import calls

WINDOW = timedelta(hours=1)
MOST_ERRORS = 5


@dataclass(frozen=True)
class Service:
    """The calls of a period. ``seconds``: the mean time of one, None where there was none."""

    model: str
    since: datetime
    until: datetime
    calls: int
    failures: int
    seconds: float | None
    errors: dict[str, int]


def track(project: Project, model: str, seconds: float, success: bool, error: str | None) -> None:
    """Record a call that was answered somewhere else. Raises MonitoringError."""
    if not model:
        raise MonitoringError("The call has no model.", remedy="Name it: model_id=…")
    if not math.isfinite(seconds) or seconds < 0:
        raise MonitoringError(f"The call took {seconds} s.", remedy="Give its time in seconds, 0 or more.")
    with project.store.writing() as tx:
        calls.add(tx, model, project.clock.now(), seconds, success, error)


def measure(project: Project, model: str, window: timedelta = WINDOW) -> Service:
    """The calls of the last time. Raises MonitoringError for a window that is none."""
    if window <= timedelta(0):
        raise MonitoringError(f"The window is {window}.", remedy="Give a time such as timedelta(hours=1).")
    until = project.clock.now() + timedelta(microseconds=1)  # what is told now counts
    since = until - window
    with project.store.snapshot() as tx:
        many, failed, seconds = calls.counts(tx, model, since, until)
        said = calls.errors(tx, model, since, until, MOST_ERRORS)
    told = {row["error"]: int(row["n"]) for row in said}
    return Service(model, since, until, many, failed, seconds / many if many else None, told)


def check(project: Project, model: str, window: timedelta = WINDOW, limits: Limits | None = None) -> Health:
    """Whether the model answered well in the last time."""
    seen = measure(project, model, window)
    return health.check_health(seen.calls, seen.failures, limits=limits)
