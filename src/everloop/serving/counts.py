"""What a worker has done, as counters that only grow: added up over workers, they make the metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

LATENCY = (  # seconds
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class Histogram:
    """Counts per bucket (the last: beyond all bounds), and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Mapping[str, Any]) -> None:
        self.counts = [one + two for one, two in zip(self.counts, other["counts"], strict=True)]
        self.total += other["total"]

    def quantile(self, share: float) -> float | None:
        """Taken to lie evenly within its bucket, as Prometheus does; beyond all bounds the last one. None
        where nothing was observed."""
        total = sum(self.counts)
        wanted, so_far, low = share * total, 0, 0.0
        for bound, n in zip(self.bounds, self.counts, strict=False):
            if n and so_far + n >= wanted:
                return low + (bound - low) * (wanted - so_far) / n
            so_far, low = so_far + n, bound
        return self.bounds[-1] if total else None

    def document(self) -> dict[str, Any]:
        return {"counts": self.counts, "total": self.total}


class Counts:
    """Requests by (model, version, variant, protocol, status), rows by (model, version, variant), latencies
    in seconds and batch sizes in rows by model, and named events: ``log_shed``, ``fallback`` …"""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self.rows: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self.events: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self.latency: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(LATENCY))
        self.batch: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(BATCH))

    def document(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "requests": [[*key, n] for key, n in self.requests.items()],
            "rows": [[*key, n] for key, n in self.rows.items()],
            "events": [[*key, n] for key, n in self.events.items()],
            "latency": {model: one.document() for model, one in self.latency.items()},
            "batch": {model: one.document() for model, one in self.batch.items()},
        }

    def add(self, document: Mapping[str, Any]) -> None:
        """Add what another worker has counted."""
        for mine, theirs in (
            (self.requests, document["requests"]),
            (self.rows, document["rows"]),
            (self.events, document["events"]),
        ):
            for *key, n in theirs:
                mine[tuple(key)] += n
        for model, one in document["latency"].items():
            self.latency[model].add(one)
        for model, one in document["batch"].items():
            self.batch[model].add(one)
