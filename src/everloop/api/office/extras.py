"""What a worker is told of rates, traces and the log."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from everloop.api import rates
from everloop.settings import Settings
from everloop.settings.tracing import traces_wanted


def told(settings: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Raises Invalid for a rate that is none, and MissingExtra for Redis without its library."""
    limits, workers = settings.serving.limits, settings.serving.workers
    rated = rates.read(limits.rate, limits.rate_store)
    if rated is not None and workers > 1 and limits.rate_store is None:
        tell(
            f"Each of the {workers} workers counts for itself: a client with several connections may reach "
            f"{workers} times {limits.rate}. With serving.limits.rate_store they count together."
        )
    if rated is not None and limits.rate_store is not None and not rates.answers(limits.rate_store):
        tell("The store of serving.limits.rate_store does not answer: no rate is limited until it does.")
    return {"rates": rated, "traces": _traces(tell), "log_every": settings.logging.level == "DEBUG"}


def _traces(tell: Callable[[str], None]) -> bool:
    if not traces_wanted():
        return False
    try:
        import_module("everloop.api.tracing")
    except ModuleNotFoundError:
        tell("Traces are wanted, but not made: pip install 'everloop[tracing]'.")
        return False
    return True
