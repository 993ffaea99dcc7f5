"""Watching a model in production for Python: how it answers, and what its monitors found."""

from __future__ import annotations

import reprlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from everloop import dashboard
from everloop.core.errors import Invalid, MonitoringError, WrongType
from everloop.core.monitoring import Alert, Damage, Result
from everloop.flows.monitoring import reporting, service
from everloop.monitoring.health import Status

from .places import close_with, open_place
from .refusals import errors_as
from .shown import shown


class Metrics(TypedDict):
    """``success_rate`` is a share of the calls, ``avg_latency`` in seconds; both None without calls.
    ``errors``: the most frequent texts, and how often."""

    total_predictions: int
    failed_predictions: int
    success_rate: float | None
    avg_latency: float | None
    errors: dict[str, int]
    since: str
    until: str


class HealthReport(TypedDict):
    """``status``: healthy, degraded, unhealthy, or unknown with too few calls; ``reasons`` in words.
    ``failure_low`` and ``failure_high`` bound the share of failures with 95 %."""

    status: Status
    reasons: list[str]
    total_predictions: int
    failed_predictions: int
    failure_low: float
    failure_high: float


class WindowReport(TypedDict):
    """The newest window of a version: its inputs and answers from ``since`` to before ``until``, and the
    newest labels that were judged. ``results``: all that was looked at; ``ranking``: what drift does to the
    answers, by feature; ``alerts`` that are open."""

    model: str
    version: str
    windows: int
    since: str
    until: str
    rows: int
    results: list[Result]
    ranking: list[Damage]
    alerts: list[Alert]


class ModelMonitoring:
    """How the models of the project in the working folder answer: those served by ``everloop serve``, and
    those of which ``track_prediction`` tells.

    Args:
        tenant_id: whose [the configuration's].
    """

    def __init__(self, tenant_id: str | None = None) -> None:
        self._project = open_place(None, "monitoring", tenant_id)
        close_with(self, self._project)

    @errors_as(MonitoringError)
    def track_prediction(
        self,
        model_id: str,
        prediction_time: float,
        success: bool = True,
        error: str | BaseException | None = None,
    ) -> None:
        """Tell of a call: how many seconds it took, and whether it failed. ``error`` is what went wrong: a
        text or the exception itself, of which the first 300 characters are kept. Raises MonitoringError."""
        seconds, said = _seconds(prediction_time), _error(error)
        if not _is_flag(success):
            raise WrongType(f"success is {success!r}.", remedy="Give True or False.")
        if said is not None and success:
            raise Invalid(
                f"A call that succeeded has the error {said!r}.", remedy="Give success=False, or no error."
            )
        service.track(self._project, model_id, seconds, bool(success), said)

    @errors_as(MonitoringError)
    def get_metrics(self, model_id: str, time_window: timedelta = service.WINDOW) -> Metrics:
        """The calls of the last time. Raises MonitoringError."""
        seen = service.measure(self._project, model_id, time_window)
        return shown(
            Metrics(
                total_predictions=seen.calls,
                failed_predictions=seen.failures,
                success_rate=(seen.calls - seen.failures) / seen.calls if seen.calls else None,
                avg_latency=seen.seconds,
                errors=seen.errors,
                since=seen.since.isoformat(),
                until=seen.until.isoformat(),
            )
        )

    @errors_as(MonitoringError)
    def check_health(self, model_id: str, time_window: timedelta = service.WINDOW) -> HealthReport:
        """Whether the model answered well in the last time. Raises MonitoringError."""
        found = service.check(self._project, model_id, time_window)
        return shown(
            HealthReport(
                status=found.status,
                reasons=list(found.reasons),
                total_predictions=found.calls,
                failed_predictions=found.failures,
                failure_low=found.low,
                failure_high=found.high,
            )
        )

    def report(
        self,
        model_id: str,
        version: str | None = None,
        until: datetime | None = None,
        *,
        to: str | Path | None = None,
    ) -> WindowReport:
        """What the monitors found in the newest window of a version [the champion], or in the one that ended
        ``until`` then. ``to`` is a file that gets the page that ``everloop monitor report`` writes. Raises
        UnknownVersion, and NotFound where nothing was checked yet."""
        if until is not None and not isinstance(until, datetime):
            raise MonitoringError(f"until is {until!r}.", remedy="Give a datetime with a time zone.")
        for name, given in (("model_id", model_id), ("version", version)):
            if not isinstance(given, str) and (given is not None or name == "model_id"):
                raise MonitoringError(f"{name} is {reprlib.repr(given)}.", remedy="Give a text.")
        if until is not None and until.tzinfo is None:
            raise MonitoringError(f"{until} has no time zone.", remedy="Give one: tzinfo=UTC.")
        found = reporting.document(self._project, model_id, version, until)
        if to is not None:
            page = dashboard.monitoring.render(found)
            self._project.write_file(Path(to).absolute(), page.encode())
        checks = [one for one in (found.answers, found.labels) if one is not None]
        window = checks[0]
        return shown(
            WindowReport(
                model=found.model,
                version=found.version,
                windows=found.windows,
                since=window.since.isoformat(),
                until=window.until.isoformat(),
                rows=window.rows,
                results=[each for one in checks for each in one.results],
                ranking=list(found.ranking),
                alerts=[each for each in found.alerts if each.status == "open"],
            )
        )

    def close(self) -> None:
        self._project.close()


def _seconds(value: Any) -> float:
    try:
        if not _is_flag(value) and not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise WrongType(f"prediction_time is {reprlib.repr(value)}.", remedy="Give a number of seconds.")


def _error(value: Any) -> str | None:
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}".removesuffix(": ")
    if value is not None and not isinstance(value, str):
        raise WrongType(f"The error is {reprlib.repr(value)}.", remedy="Give a text, or an exception.")
    return value


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))
