"""Why models failed: in the log once and not for every request."""

from __future__ import annotations

import logging
from collections.abc import Callable

from everloop.core.errors import MLOpsError
from everloop.serving.answers import RowsFailed
from everloop.serving.desk import Raised, Served

AGAIN = 60.0  # seconds without a failure, and the next one of its kind is told again
MOST = 1_000  # kinds that are remembered
_log = logging.getLogger("everloop.worker")


class Failing:
    """What was told of models that fail, and when each kind of failure was there last."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: dict[tuple[str, str, str], float] = {}

    def raised(self, model: Served, error: Exception) -> RowsFailed:
        """What is told of an error that a model raised. Its own words are in the log alone; where fields are
        masked nowhere, since they may quote them."""
        kind = error.error if isinstance(error, Raised) else type(error).__name__
        told = RowsFailed(
            f"The model {model.name}@{model.version} failed ({kind}).",
            remedy="The server's log has the cause; another version may answer.",
        )
        said = "what it said is not shown, since fields are masked" if model.masked else f"{error}"
        self._note(model, told.message, f"failed ({kind}): {said}", error)
        return told

    def note(self, model: Served, error: MLOpsError) -> None:
        """Any other reason, and one that ``raised`` has told already."""
        self._note(model, error.message, f"failed: {error.message}", None)

    def _note(self, model: Served, reason: str, said: str, error: Exception | None) -> None:
        kind, now = (model.name, model.version, reason), self._now()
        before = self._last.pop(kind, None)
        if len(self._last) >= MOST:
            self._last.pop(next(iter(self._last)))  # the one that was not there for longest
        self._last[kind] = now
        if before is not None and now - before < AGAIN:
            return
        told = {"model": model.name, "version": model.version, "reason": reason}
        trace = None if model.masked or isinstance(error, Raised) else error
        _log.error("%s@%s %s", model.name, model.version, said, exc_info=trace, extra={"told": told})
