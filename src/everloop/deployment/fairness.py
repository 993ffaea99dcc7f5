"""Are the groups of a column treated alike? Rates of groups, and what their intervals prove.

A rate is a share of a group's rows: of all (selection rate, accuracy), of those that are positive (true
positive rate) or of those that are not (false positive rate); see Hardt, Price & Srebro 2016
(arXiv:1610.02413). For each ordered pair of groups the bound of ``p - q`` (difference) or ``p - ratio * q``
(ratio) comes from the Wilson limits of both (Newcombe 1998; Zou & Donner 2008,
doi:10.1002/sim.3095), at a level divided by the number of pairs. So a model that keeps the limit between all
groups is stopped in 1 - confidence of cases at most, however many groups there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from everloop.core.decisions import Evidence, FairMetric, Fairness
from everloop.core.errors import InvalidSettings

from .measures import Answers, Floats
from .slices import MISSING
from .words import listed

_SHOWN = 5
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """``rows``: those that count for the rate."""

    name: str
    rate: float
    rows: int


@dataclass(frozen=True)
class _Pair:
    """How far beyond what is allowed: ``apart`` as observed, ``bound`` as proven; 0 is the limit."""

    low: Group
    high: Group
    apart: float
    bound: float


def check(rule: Fairness, groups: NDArray[Any], answers: Answers, confidence: float) -> Evidence:
    """``groups`` (n,): each row's group; missing is one too. Fires when two groups are shown to be further
    apart than the rule allows. Raises InvalidSettings where a positive class is needed and none is given."""
    name, words = f"fairness by {rule.column}", rule.metric.replace("_", " ")
    judged, small = _groups(rule, groups, answers)
    left = f"; fewer than {rule.min_rows:,} rows, not judged: {_names(small)}" if small else ""
    limit = rule.max_difference if rule.max_difference is not None else rule.min_ratio
    if len(judged) < 2:
        few = f"{len(judged)} group{'' if len(judged) == 1 else 's'} of {rule.column}"
        said = f"{words} is not compared: {few} with enough rows{left}"
        return Evidence(name, False, said, None, limit)
    widest, proven = _widest(rule, judged, confidence)
    value = _observed(rule, widest)
    said = f"{words} by {rule.column}: {_group(widest.high)} against {_group(widest.low)}, "
    said += f"{value:.3f} apart" if rule.min_ratio is None else f"a ratio of {value:.3f}"
    if proven:
        more = f" (and {proven - 1:,} more pair{'s' if proven > 2 else ''})" if proven > 1 else ""
        said += f"{more}, shown to be outside of what is allowed: {_allowed(rule)}"
    elif widest.apart > 0:
        said += f", which may be chance: {_allowed(rule)} is allowed"
    else:
        said += f": {_allowed(rule)} is allowed"
    return Evidence(name, bool(proven), said + left, value, limit)


def _groups(rule: Fairness, groups: NDArray[Any], answers: Answers) -> tuple[list[Group], list[str]]:
    counted, right = _counted(rule.metric, answers)
    codes, levels = pd.factorize(np.asarray(groups, dtype=object), sort=True)
    names = [*map(str, levels), MISSING]
    codes = np.where(codes < 0, len(levels), codes)
    rows = np.bincount(codes[counted], minlength=len(names))
    hits = np.bincount(codes[counted & right], minlength=len(names))
    there = np.bincount(codes, minlength=len(names)) > 0
    enough = rows >= rule.min_rows
    judged = [Group(names[g], float(hits[g] / rows[g]), int(rows[g])) for g in np.flatnonzero(enough)]
    return judged, [names[g] for g in np.flatnonzero(there & ~enough)]


def _counted(metric: FairMetric, answers: Answers) -> tuple[Flags, Flags]:
    """The rows that count for the rate (n,), and those of them that make it up (n,)."""
    every = np.ones(len(answers.truth), dtype=bool)
    if metric == "accuracy":
        return every, answers.decided == answers.truth
    if answers.positive is None:
        raise InvalidSettings(
            f"'{metric}' needs to know which class is the positive one.",
            remedy="Set 'positive' of the model, or compare 'accuracy'.",
        )
    said, true = answers.decided == answers.positive, answers.truth == answers.positive
    return {"selection_rate": every, "true_positive_rate": true, "false_positive_rate": ~true}[metric], said


def _widest(rule: Fairness, groups: list[Group], confidence: float) -> tuple[_Pair, int]:
    """The pair that is worst (of the proven ones, if any), and how many pairs are proven to be apart."""
    rate = np.array([group.rate for group in groups])
    rows = np.array([group.rows for group in groups], dtype=np.float64)
    alpha = (1 - confidence) / (len(groups) * (len(groups) - 1))
    low, high = _wilson(rate, rows, float(norm.ppf(1 - alpha)))
    apart = _ratio(rule.min_ratio) if rule.max_difference is None else _difference(rule.max_difference)
    found: _Pair | None = None
    proven = 0
    for below, group in enumerate(groups):
        observed, bound = apart(rate[below], high[below], rate, low)
        bound[below] = observed[below] = -np.inf
        proven += int((bound > 0).sum())
        best = int(np.lexsort((observed, np.where(bound > 0, bound, 0.0)))[-1])
        pair = _Pair(group, groups[best], float(observed[best]), float(bound[best]))
        if found is None or (max(pair.bound, 0.0), pair.apart) > (max(found.bound, 0.0), found.apart):
            found = pair
    if found is None:
        raise AssertionError("two groups make a pair")
    return found, proven


Apart = Callable[[float, float, Floats, Floats], tuple[Floats, Floats]]


def _difference(most: float) -> Apart:
    """How far ``q - p`` lies above ``most``: observed, and at least."""

    def apart(p: float, p_high: float, q: Floats, q_low: Floats) -> tuple[Floats, Floats]:
        observed = q - p - most
        return observed, observed - np.sqrt((q - q_low) ** 2 + (p_high - p) ** 2)

    return apart


def _ratio(least: float | None) -> Apart:
    """How far ``p`` lies below ``least * q``: observed, and at least."""
    share = least or 0.0

    def apart(p: float, p_high: float, q: Floats, q_low: Floats) -> tuple[Floats, Floats]:
        observed = share * q - p
        return observed, observed - np.sqrt(share**2 * (q - q_low) ** 2 + (p_high - p) ** 2)

    return apart


def _wilson(rate: Floats, rows: Floats, z: float) -> tuple[Floats, Floats]:
    """Both limits of a rate, each one-sided at ``z`` (Wilson 1927)."""
    middle = (rate + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * np.sqrt(rate * (1 - rate) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _observed(rule: Fairness, pair: _Pair) -> float:
    if rule.min_ratio is None:
        return pair.high.rate - pair.low.rate
    return pair.low.rate / pair.high.rate if pair.high.rate > 0 else 1.0


def _allowed(rule: Fairness) -> str:
    return f"{rule.max_difference:g} at most" if rule.min_ratio is None else f"{rule.min_ratio:g} at least"


def _group(group: Group) -> str:
    return f"{group.rate:.3f} of {group.name} ({group.rows:,} rows)"


def _names(names: list[str]) -> str:
    more = [f"{len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return listed([*names[:_SHOWN], *more])
