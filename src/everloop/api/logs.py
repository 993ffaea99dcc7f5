"""What workers have to say for the log: requests that failed (at level DEBUG all), and what went wrong.

Workers gather events and hand them to the office, which writes. The request id ties an event to the answer,
to the recorded prediction, and to the retraining that was asked for with it; the trace id, where requests are
traced, to the spans of all who took part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from everloop.core.errors import MLOpsError

EVERY = 0.2  # seconds between handing over
MOST = 200  # events in that time; of more only the number is told
FEW = 5  # requests of a kind in a second; of more only the number is told
QUIET = 5.0  # seconds without a failure, and an outage is over
_KIND = ("level", "status", "code", "model", "version")


class Events:
    """Of a worker, since they were last taken. ``every``: requests that went well, too."""

    def __init__(self, moment: Callable[[], str], *, every: bool = False) -> None:
        self.every = every
        self.trace: Callable[[], str] = str  # the id of the trace that is now; empty: there is none
        self._moment = moment
        self._events: list[dict[str, Any]] = []
        self._more = 0
        self._alike: dict[tuple[Any, ...], int] = {}  # requests of a kind in the second that is now
        self._second = ""

    def request(
        self, request_id: str, status: int, seconds: float, *, model: str = "", version: str = "",
        path: str = "", error: MLOpsError | None = None, rows: int = 0, prediction_id: str = "",
    ) -> None:  # fmt: skip
        """What a client sent wrong may be secret: of its errors the code is told, and which fields."""
        if status < 400 and not self.every:
            return
        told: dict[str, Any] = {"event": "request", "request_id": request_id, "status": status}
        told["ms"] = round(seconds * 1000, 3)
        if model:
            told |= {"model": model, "version": version}
        if path:
            told["path"] = path[:200]
        if rows:
            told["rows"] = rows
        if prediction_id:
            told["prediction_id"] = prediction_id
        if error is not None:
            told["code"] = error.code
            wrong = getattr(error, "wrong", None)
            if wrong is not None:
                told["fields"] = sorted({str(one.field)[:100] for one in wrong})[:20]
            if status >= 500:
                told["message"] = error.message
        level = "error" if status >= 500 else "warning" if status >= 400 else "debug"
        if self.every or self._is_new({"level": level, **told}):
            self._add(level, told)

    def note(self, level: str, message: str, **more: Any) -> None:
        self._add(level, {"event": message, **more})

    def take(self, *, last: bool = False) -> list[dict[str, Any]]:
        """All since the last time, oldest first. ``last``: also what was left out in a second that is not
        over."""
        if last or self._moment()[:19] != self._second:
            self._tell_alike()
        if self._more:
            self._left_out("warning", f"{self._more} more events", self._more)
        found, self._events, self._more = self._events, [], 0
        return found

    def _is_new(self, told: Mapping[str, Any]) -> bool:
        """Whether it is among the first of its kind in this second."""
        second = self._moment()[:19]
        if second != self._second:
            self._tell_alike()
            self._second = second
        kind = tuple(told.get(name) for name in _KIND)
        if kind not in self._alike and len(self._alike) >= MOST:
            return True  # so many kinds: all together are few enough, see _add
        self._alike[kind] = self._alike.get(kind, 0) + 1
        return self._alike[kind] <= FEW

    def _tell_alike(self) -> None:
        """How many of each kind were left out."""
        alike, self._alike = self._alike, {}
        for kind, count in alike.items():
            if count > FEW:
                level, *told = (one or "" for one in kind)
                named = {name: one for name, one in zip(_KIND[1:], told, strict=True) if one}
                self._left_out(level, "request", count - FEW, **named)

    def _left_out(self, level: str, event: str, count: int, **more: Any) -> None:
        told = {"at": self._moment(), "level": level, "event": event, **more, "left_out": count}
        self._events.append(told)

    def _add(self, level: str, told: dict[str, Any]) -> None:
        if len(self._events) >= (50 * MOST if self.every else MOST):
            self._more += 1
            return
        trace = self.trace()
        traced = {"trace_id": trace} if trace else {}
        self._events.append({"at": self._moment(), "level": level, **told, **traced})


class Outage:
    """What fails for a while: told when it begins and when it is over, not for each failure. ``note`` writes
    to the log, ``now`` is a monotonic clock, and ``over`` is what is told at the end."""

    def __init__(self, note: Callable[[str, str], None], now: Callable[[], float], over: str) -> None:
        self._note = note
        self._now = now
        self._over = over
        self._last: float | None = None  # the last failure

    def failed(self, message: str) -> None:
        if self._last is None:
            self._note("warning", message)
        self._last = self._now()

    def worked(self) -> None:
        if self._last is not None and self._now() - self._last >= QUIET:
            self._last = None
            self._note("info", self._over)


class Handler(logging.Handler):
    """Records of the standard library's loggers, as events. What they have as ``told`` comes along."""

    def __init__(self, note: Callable[..., None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        more: dict[str, Any] = {"logger": record.name, **getattr(record, "told", {})}
        if record.exc_info:
            more["exception"] = logging.Formatter().formatException(record.exc_info)
        self._note(record.levelname.lower(), record.getMessage(), **more)


def write(log: Any, worker: int, events: Sequence[Mapping[str, Any]]) -> None:
    """Write what a worker has told."""
    for event in events:
        told = dict(event)
        method = getattr(log, told.pop("level", "info"), log.info)
        method(told.pop("event"), worker=worker, **told)
