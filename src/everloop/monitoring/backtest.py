"""Were estimates right? Kept for each metric, and reason enough to stop estimating when they were not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import betainc

from everloop.core.monitoring import Result

LEVEL = 0.05  # an estimate's interval misses so often if all is well
DOUBT = 0.01  # as many misses are that improbable
KEPT = 20


@dataclass(frozen=True)
class Pair:
    """An estimate with its interval, and what the labels said later."""

    metric: str
    estimated: float
    low: float
    high: float
    actual: float

    @property
    def missed(self) -> bool:
        return not self.low <= self.actual <= self.high


@dataclass(frozen=True)
class Track:
    """The newest 20 pairs of each metric, oldest first."""

    pairs: tuple[Pair, ...] = ()

    def of(self, metric: str) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.metric == metric)

    def doubt(self, metric: str) -> str:
        """Why estimates of the metric are not to be believed, or nothing: more of them missed than intervals
        of 95 % do with probability .01."""
        pairs = self.of(metric)
        misses = sum(pair.missed for pair in pairs)
        if not misses or float(betainc(misses, len(pairs) - misses + 1, LEVEL)) >= DOUBT:
            return ""
        return (
            f"{misses} of the last {len(pairs)} estimates were not confirmed by the labels that came, so the "
            "relation of inputs and truth seems to have changed"
        )

    def mean_error(self, metric: str) -> float | None:
        """Mean absolute error of the estimates, None without any."""
        pairs = self.of(metric)
        return sum(abs(pair.estimated - pair.actual) for pair in pairs) / len(pairs) if pairs else None


def back_test(track: Track, estimates: Iterable[Result], measured: Iterable[Result]) -> Track:
    """With the estimates of one window beside what its labels gave (results of ``performance.measure``)."""
    actual = {each.statistic: each.value for each in measured if each.subject == "model"}
    pairs = list(track.pairs)
    for each in estimates:
        value = actual.get(each.statistic)
        if value is None or each.value is None or each.low is None or each.high is None:
            continue
        pairs.append(Pair(each.statistic, each.value, each.low, each.high, value))
    kept = []
    for name in dict.fromkeys(pair.metric for pair in pairs):
        kept += [pair for pair in pairs if pair.metric == name][-KEPT:]
    return Track(tuple(kept))
