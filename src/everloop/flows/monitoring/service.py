"""How a model answers: predictions that were served here, and calls that were told from outside."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.core.errors import Invalid, WrongType
from everloop.core.models import check_name
from everloop.flows.project import Project
from everloop.monitoring import health
from everloop.monitoring.health import Health, Limits
from everloop.store import calls

WINDOW = timedelta(hours=1)
MOST_ERRORS = 5
LONGEST_CALL = 86_400.0  # seconds
LONGEST_WINDOW = timedelta(days=3_650)
LONGEST_ERROR = 300  # characters of its text that are kept


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
    """Record a call that was answered somewhere else. Raises Invalid."""
    _check_model(model)
    if not math.isfinite(seconds) or not 0 <= seconds <= LONGEST_CALL:
        raise Invalid(
            f"The call took {seconds} s.", remedy=f"Give its time in seconds, from 0 to {LONGEST_CALL:,.0f}."
        )
    with project.store.writing() as tx:
        calls.add(tx, model, project.clock.now(), seconds, success, _kept(error) if error else None)


def measure(project: Project, model: str, window: timedelta = WINDOW) -> Service:
    """The calls of the last time. Raises Invalid for a window that is none."""
    _check_model(model)
    if not isinstance(window, timedelta):
        raise WrongType(
            f"The window is {reprlib.repr(window)}.", remedy="Give a time such as timedelta(hours=1)."
        )
    if not timedelta(0) < window <= LONGEST_WINDOW:
        raise Invalid(
            f"The window is {window}.",
            remedy=f"Give a time such as timedelta(hours=1), of at most {LONGEST_WINDOW.days:,} days.",
        )
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


def _check_model(model: str) -> None:
    if not isinstance(model, str):
        raise WrongType(f"The model's name is {reprlib.repr(model)}.", remedy="Give a text.")
    if not model:
        raise Invalid("The call has no model.", remedy="Name it: model_id=…")
    check_name(model)


def _kept(error: str) -> str:
    """As a database holds it: without what is no text, and not longer than people read."""
    text = error.encode("utf-8", "replace").decode().replace("\0", " ")
    return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"
