"""Is a model answering? A judgement from counts of calls, failures and slow answers, that does not call one
failure of two calls an outage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from everloop.core.errors import Invalid, InvalidSettings
from everloop.core.monitoring import Result

from .intervals import wilson

Status = Literal["healthy", "degraded", "unhealthy", "unknown"]
_LEAST_FAILURES = 3  # one or two prove nothing, whatever the interval says


@dataclass(frozen=True)
class Limits:
    """Shares of calls that fail from which a model is degraded or unhealthy, the latency (of 95 % of calls,
    milliseconds) from which it is degraded, and how many calls a judgement needs."""

    degraded_failures: float = 0.01
    unhealthy_failures: float = 0.05
    slow_ms: float | None = None
    least_calls: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.degraded_failures <= self.unhealthy_failures <= 1:
            raise InvalidSettings(
                f"Limits of failures are {self.degraded_failures} (degraded) and {self.unhealthy_failures} "
                "(unhealthy).",
                remedy="Give shares from 0 to 1, the first not above the second.",
            )


@dataclass(frozen=True)
class Health:
    """``reasons`` say why; ``low`` and ``high`` bound the share of failures with 95 %."""

    status: Status
    reasons: tuple[str, ...]
    calls: int
    failures: int
    share: float | None
    low: float
    high: float
    latency_ms: float | None = None


def check_health(
    calls: int, failures: int, *, latency_ms: float | None = None, limits: Limits | None = None
) -> Health:
    """``latency_ms`` is what 95 % of the calls stay under. A limit is broken when the whole interval of the
    share of failures lies beyond it, with three failures or more; ``unknown`` with too few calls to tell.
    Raises Invalid."""
    if calls < 0 or not 0 <= failures <= calls:
        raise Invalid(
            f"{failures} failures of {calls} calls cannot be.", remedy="Count each call once, failed or not."
        )
    limits = limits or Limits()
    low, high = wilson(failures, calls)
    share = failures / calls if calls else None
    status, reasons = _judged(calls, failures, low, high, latency_ms, limits)
    return Health(status, tuple(reasons), calls, failures, share, low, high, latency_ms)


def result(health: Health) -> Result:
    """As one thing checked: fired where it is degraded or unhealthy."""
    fired = health.status in ("degraded", "unhealthy")
    text = f"The service is {health.status}: {' '.join(health.reasons)}"
    return Result(
        "service", "calls", "failures", fired, text,
        level="critical" if health.status == "unhealthy" else "warning" if fired else "info",
        value=health.share, low=health.low, high=health.high, unable=health.status == "unknown",
        details={"calls": health.calls, "failures": health.failures, "latency_ms": health.latency_ms},
    )  # fmt: skip


def _judged(
    calls: int, failures: int, low: float, high: float, latency_ms: float | None, limits: Limits
) -> tuple[Status, list[str]]:
    if calls == 0:
        return "unknown", ["There were no calls."]
    told = f"{failures:,} of {calls:,} calls failed ({low:.1%} to {high:.1%})"
    proven = failures >= _LEAST_FAILURES
    if proven and low > limits.unhealthy_failures:
        return "unhealthy", [f"{told}, more than {limits.unhealthy_failures:.1%}."]
    if calls < limits.least_calls:
        return "unknown", [f"{told}; a judgement needs {limits.least_calls} calls."]
    reasons = []
    if proven and low > limits.degraded_failures:
        reasons.append(f"{told}, more than {limits.degraded_failures:.1%}.")
    if limits.slow_ms is not None and latency_ms is not None and latency_ms > limits.slow_ms:
        reasons.append(
            f"95 % of the answers take up to {latency_ms:,.0f} ms, more than {limits.slow_ms:,.0f} ms."
        )
    return ("degraded", reasons) if reasons else ("healthy", [f"{told}."])
