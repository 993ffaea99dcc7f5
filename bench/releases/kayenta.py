"""Kayenta's default judge, NetflixACAJudge, as its sources have it.

- https://github.com/spinnaker/kayenta: ``kayenta-judge``: ``NetflixACAJudge.scala`` (tolerance 0.25,
  confidence 0.98), ``classifiers/metric/MannWhitneyClassifier.scala`` (bounds, effect sizes, missing data),
  ``scorers/WeightedSumScorer.scala``; ``kayenta-mannwhitney``: ``MannWhitney.scala`` (the interval, after R's
  ``wilcox.test`` with a correction for continuity).
- https://spinnaker.io/docs/guides/user/canary/judge: what NaN does.
- https://spinnaker.io/docs/guides/user/canary/best-practices: a lifetime of three hours, a judgement each
  hour, thresholds 75 (marginal) and 95 (pass); 50 samples a metric or more; a baseline of the same size.

Kayenta finds the ends of the interval by a root finder; they are order statistics of all differences, and
taken as such here. Outliers are kept, as by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Direction = Literal["increase", "decrease", "either"]
Label = Literal["Pass", "High", "Low", "Nodata"]

TOLERANCE, CONFIDENCE = 0.25, 0.98
MARGINAL, PASS = 75.0, 95.0
_NOISE = 1e-5


@dataclass(frozen=True)
class Metric:
    """``effect``: the ratios of means (canary / baseline) that a decrease and an increase have to reach."""

    name: str
    direction: Direction = "either"
    nan: Literal["remove", "replace"] = "remove"
    effect: tuple[float, float] = (1.0, 1.0)


def classify(metric: Metric, canary: Floats, baseline: Floats) -> Label:
    """One metric: the samples of both over time."""
    canary, baseline = (_cleaned(metric, each) for each in (canary, baseline))
    if not len(canary) or not len(baseline):
        return "Nodata" if metric.nan == "remove" else "Pass"
    if len(canary) == len(baseline) and np.array_equal(np.sort(canary), np.sort(baseline)):
        return "Pass"
    if len(np.unique(np.concatenate((canary, baseline)))) == 1:
        return "Pass"
    if len(np.unique(canary)) == 1 and len(np.unique(baseline)) == 1:
        rng = np.random.default_rng(0)
        canary, baseline = (
            each + rng.normal(0, _NOISE * abs(each[0]), len(each)) for each in (canary, baseline)
        )
    low, high, estimate = interval(canary, baseline)
    bound = TOLERANCE * abs(estimate)
    ratio = canary.mean() / baseline.mean() if baseline.mean() != 0 else 1.0
    if metric.direction != "decrease" and low > bound and ratio >= metric.effect[1]:
        return "High"
    if metric.direction != "increase" and high < -bound and ratio <= metric.effect[0]:
        return "Low"
    return "Pass"


def interval(canary: Floats, baseline: Floats) -> tuple[float, float, float]:
    """Both ends for the shift from baseline to canary and the Hodges-Lehmann estimate."""
    n, m = len(canary), len(baseline)
    ties = sum(float((counts**3 - counts).sum()) for counts in map(_ties, (canary, baseline)))
    sigma = np.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))))
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2)
    differences = np.subtract.outer(canary, baseline).ravel()
    last = n * m - 1
    places = [
        min(max(last - (int(np.ceil(n * m / 2 + shift)) - 1), 0), last)
        for shift in (z * sigma + 0.5, -z * sigma - 0.5, 0.0)
    ]
    found = np.partition(differences, sorted(set(places)))
    low, high, middle = (float(found[place]) for place in places)
    return low, high, middle


def score(labels: Sequence[Label]) -> float:
    """Metrics in a group each, of equal weight. A metric without data counts for nothing, though its weight
    is not given to the others."""
    return 100 * sum(label == "Pass" for label in labels) / len(labels)


def verdict(scores: Sequence[float], last: bool) -> str | None:
    """After every judgement: the last score so far, and whether it is the final one."""
    if scores[-1] < MARGINAL:
        return "rolled back"
    if not last:
        return None
    return "promoted" if scores[-1] >= PASS else "rolled back"


def judge(metrics: Sequence[Metric], samples: Mapping[str, tuple[Floats, Floats]]) -> float:
    return score([classify(each, *samples[each.name]) for each in metrics])


def _cleaned(metric: Metric, values: Floats) -> Floats:
    return values[~np.isnan(values)] if metric.nan == "remove" else np.nan_to_num(values, nan=0.0)


def _ties(values: Floats) -> Floats:
    return np.unique(values, return_counts=True)[1].astype(np.float64)
