"""The last half hour in short: what the live page draws before it has looked on for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from everloop.serving.counts import LATENCY, Counts, Histogram

EVERY = 2.0  # seconds between points
KEPT = 900  # points
MOST_MODELS = 50
SHARES = (0.5, 0.95, 0.99)

Levels = Mapping[str, Mapping[str, int]]
Sums = Mapping[str, tuple[int, float]]


class Series:
    """Differences of counters that only grow, one point per look; the oldest give way."""

    def __init__(self, kept: int = KEPT) -> None:
        self._points: deque[dict[str, Any]] = deque(maxlen=kept)
        self._number = 0
        self._before: tuple[float, Counts, Levels, Sums] | None = None

    def look(
        self, at: float, counts: Counts, classes: Levels, sums: Sums, now: Mapping[str, float | None]
    ) -> None:
        """Take down what has happened since the look before. ``at`` is in seconds; ``classes`` is how many
        rows were predicted by model and class, ``sums`` how many numbers a model predicted and their sum;
        ``now`` is measured at this moment and kept as it is."""
        copied = {model: dict(levels) for model, levels in classes.items()}
        before, self._before = self._before, (at, counts, copied, dict(sums))
        if before is None or at <= before[0]:
            return
        then, old, old_classes, old_sums = before
        requests: dict[str, int] = {}
        bad: dict[str, int] = {}
        for key, n in counts.requests.items():
            more = n - old.requests.get(key, 0)
            if more <= 0:
                continue
            model, status = key[0], key[4]
            named = model if model in requests or len(requests) < MOST_MODELS else "…"
            requests[named] = requests.get(named, 0) + more
            if not status.startswith("2"):
                bad[status] = bad.get(status, 0) + more
        self._number += 1
        self._points.append(
            {
                "n": self._number,
                "at": round(at, 3),
                "seconds": round(at - then, 3),
                "requests": requests,
                "errors": bad,
                "latency": _latency(counts, old),
                "classes": _more(classes, old_classes),
                "mean": _means(sums, old_sums),
                **now,
            }
        )

    @property
    def number(self) -> int:
        """Of the newest point."""
        return self._number

    def since(self, number: int, model: str | None = None) -> list[dict[str, Any]]:
        """The points after this one, oldest first, with the answers of one model only."""
        return [
            {**point, "classes": point["classes"].get(model, {}), "mean": point["mean"].get(model)}
            for point in self._points
            if point["n"] > number
        ]


def _latency(counts: Counts, old: Counts) -> list[float | None]:
    """Milliseconds by SHARES, of the requests of all models that came in between."""
    between = Histogram(LATENCY)
    for model, one in counts.latency.items():
        past = old.latency[model].counts if model in old.latency else [0] * len(one.counts)
        more = [max(0, now - then) for now, then in zip(one.counts, past, strict=True)]
        between.counts = [mine + n for mine, n in zip(between.counts, more, strict=True)]
    return [_milliseconds(between.quantile(share)) for share in SHARES]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _more(classes: Levels, old: Levels) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for model, levels in classes.items():
        past = old.get(model, {})
        more = {level: n - past.get(level, 0) for level, n in levels.items() if n > past.get(level, 0)}
        if more:
            found[model] = more
    return found


def _means(sums: Sums, old: Sums) -> dict[str, float]:
    found: dict[str, float] = {}
    for model, (n, total) in sums.items():
        past_n, past_total = old.get(model, (0, 0.0))
        if n > past_n:
            found[model] = (total - past_total) / (n - past_n)
    return found
