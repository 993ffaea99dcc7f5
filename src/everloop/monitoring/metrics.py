"""Performance metrics under certain or uncertain labels, with the influence of every row.

Each row has a probability of each class: 1 for the true one where labels are known, the calibrated
probabilities where they are not. A metric is a function of these weights, so the same lines measure it and
estimate it. ``influence[i, c]`` is how far row i moves the metric if its label is c, times the rows
(Hampel 1974): value + influence, averaged with the weights, is the value, and its spread is the metric's to
first order. For the area under the ROC curve these are the components of DeLong, DeLong & Clarke-Pearson
(1988).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.core.runs import Business, Task

from .intervals import wilson
from .outcomes import Codes, Floats, Kind, Outcomes

SMALLEST = 1e-15  # probabilities are cut off there, so that no loss is infinite


@dataclass(frozen=True)
class Weighed:
    """``weights`` (n, k): the probability of each class, or ones (n, 1) for numbers, where ``loss`` (n,) is
    the absolute error."""

    kind: Kind
    weights: Floats
    given: Floats | None
    decided: Codes
    loss: Floats | None = None


@dataclass(frozen=True)
class Measured:
    """A metric's value and the influence (n, k) of its rows; or why there is none. ``behind``: the rows that
    a share is a share of, of several the smallest: they bound a share of 0 or 1, which varies with no row."""

    value: float = 0.0
    influence: Floats | None = None
    why: str = ""
    behind: float = 0.0

    def rows(self, weights: Floats) -> Floats:
        """Pseudo-values (n,): their mean is the value."""
        influence = np.zeros_like(weights) if self.influence is None else self.influence
        return np.asarray(self.value + (weights * influence).sum(axis=1))


@dataclass(frozen=True)
class Metric:
    """``sign``: 1 where larger is better. The smallest harm that counts is ``floor``: of the value where
    ``relative``, else in the metric's own unit and at most half of what is left to its best value, 1."""

    name: str
    words: str
    task: Task
    sign: int
    floor: float
    relative: bool
    measure: Callable[[Weighed], Measured]
    probabilities: bool = False

    def least(self, usual: float, spread: float) -> float:
        """The smallest harm that counts where the usual value and the spread of rows are these."""
        if self.relative:
            return max(self.floor * abs(usual), self.floor * spread / 5, 1e-12)
        return max(min(self.floor, (1 - usual) / 2), 0.001)


def bounds(metric: Metric, measured: Measured, reach: float) -> tuple[float, float]:
    """The interval of a value, within what the metric can be. One that no row of all varies has no
    spread to reach by: it is bounded as a share of so many rows is (Wilson 1927)."""
    low, high = measured.value - reach, measured.value + reach
    if metric.relative:
        return (max(low, 0.0), high) if metric.sign < 0 else (low, high)
    if not reach:
        low, high = wilson(measured.value * measured.behind, measured.behind)
        return min(low, measured.value), max(high, measured.value)
    return max(low, 0.0), min(high, 1.0)


def certain(outcomes: Outcomes) -> Weighed:
    """With labels that are known."""
    if outcomes.kind.task == "regression":
        loss = np.abs(outcomes.truth - outcomes.given)
        return Weighed(outcomes.kind, np.ones((len(outcomes), 1)), outcomes.given, outcomes.decided, loss)
    weights = np.zeros((len(outcomes), len(outcomes.kind.classes)))
    weights[np.arange(len(outcomes)), outcomes.truth] = 1.0
    return Weighed(outcomes.kind, weights, outcomes.given, outcomes.decided)


def _mean(losses: Floats, weights: Floats) -> Measured:
    value = float((weights * losses).sum(axis=1).mean())
    return Measured(value, losses - value, behind=len(weights))


def _ratio(up: NDArray[Any], down: NDArray[Any], weights: Floats, why: str) -> Measured:
    whole = float((weights * down).sum(axis=1).mean())
    if whole <= 0:
        return Measured(why=why)
    value = float((weights * up).sum(axis=1).mean()) / whole
    return Measured(value, (up - value * down) / whole, behind=float((weights * (down > 0)).sum()))


def _average(parts: list[Measured]) -> Measured:
    """Of the classes where it is defined."""
    known = [(part.value, part.influence) for part in parts if part.influence is not None]
    if not known:
        return parts[0]
    influence = np.mean([each for _, each in known], axis=0)
    behind = min(part.behind for part in parts if part.influence is not None)
    return Measured(float(np.mean([value for value, _ in known])), influence, behind=behind)


def _accuracy(a: Weighed) -> Measured:
    return _mean((a.decided[:, None] == np.arange(a.weights.shape[1])).astype(np.float64), a.weights)


def _log_loss(a: Weighed) -> Measured:
    return _mean(-np.log(np.clip(_probabilities(a), SMALLEST, 1.0)), a.weights)


def _per_class(a: Weighed) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Of the positive class, or of each that occurs: code, who has it (1, k), who was told it (n, 1)."""
    k = a.weights.shape[1]
    if a.kind.positive is not None:
        codes = [a.kind.positive]
    else:
        told = np.bincount(a.decided[a.decided >= 0], minlength=k)
        codes = [c for c in range(k) if told[c] or a.weights[:, c].any()]
    for code in codes:
        yield code, np.arange(k)[None, :] == code, (a.decided == code)[:, None]


def _precision(a: Weighed) -> Measured:
    why = "no row was predicted to be of the class"
    shape = a.weights.shape
    return _average(
        [
            _ratio((said & has) * 1.0, np.broadcast_to(said * 1.0, shape), a.weights, why)
            for _, has, said in _per_class(a)
        ]
    )


def _recall(a: Weighed) -> Measured:
    why, shape = "no row is of the class", a.weights.shape
    return _average(
        [
            _ratio((said & has) * 1.0, np.broadcast_to(has * 1.0, shape), a.weights, why)
            for _, has, said in _per_class(a)
        ]
    )


def _f1(a: Weighed) -> Measured:
    why = "no row is of the class or predicted to be"
    return _average(
        [_ratio(2.0 * (said & has), has * 1.0 + said * 1.0, a.weights, why) for _, has, said in _per_class(a)]
    )


def _roc_auc(a: Weighed) -> Measured:
    given = _probabilities(a)
    return _average([_area(a.weights, given[:, code], code) for code, _, _ in _per_class(a)])


def _area(weights: Floats, scores: Floats, code: int) -> Measured:
    """P(score of a positive > score of a negative), ties half; a row is not compared with itself."""
    positive = weights[:, code]
    negative = 1.0 - positive
    ups, downs = float(positive.sum()), float(negative.sum())
    if ups < 2 or downs < 2:
        return Measured(
            why=f"it needs two rows or more of either side; there are {ups:,.0f} and {downs:,.0f}"
        )
    _, level = np.unique(scores, return_inverse=True)
    ups_at, downs_at = (np.bincount(level, weights=side) for side in (positive, negative))
    downs_below = (np.cumsum(downs_at) - downs_at / 2)[level]
    ups_above = (ups - np.cumsum(ups_at) + ups_at / 2)[level]
    itself = positive * negative
    pairs = ups * downs - float(itself.sum())
    value = (float((positive * downs_below).sum()) - float(itself.sum()) / 2) / pairs
    n = len(scores)
    influence = np.broadcast_to(((ups_above / ups - value) * n / downs)[:, None], weights.shape).copy()
    influence[:, code] = (downs_below / downs - value) * n / ups
    return Measured(value, influence, behind=min(ups, downs))


def _net_value(a: Weighed) -> Measured:
    b, positive = a.kind.business or Business(), a.kind.positive
    money = np.array([[b.true_negative, b.false_positive], [b.false_negative, b.true_positive]])
    has = (np.arange(a.weights.shape[1]) == positive).astype(int)
    return _mean(money[has[None, :], (a.decided == positive).astype(int)[:, None]], a.weights)


def _mae(a: Weighed) -> Measured:
    return _mean(_loss(a)[:, None], a.weights)


def _rmse(a: Weighed) -> Measured:
    squared = _mean(_loss(a)[:, None] ** 2, a.weights)
    value = float(np.sqrt(squared.value))
    influence = squared.influence
    return Measured(value, influence / (2 * value) if value > 0 and influence is not None else influence)


def _loss(a: Weighed) -> Floats:
    return np.zeros(len(a.weights)) if a.loss is None else a.loss


def _probabilities(a: Weighed) -> Floats:
    return a.weights if a.given is None else a.given


METRICS = {
    m.name: m
    for m in (
        Metric("log_loss", "log loss", "classification", -1, 0.05, True, _log_loss, True),
        Metric("roc_auc", "ROC AUC", "classification", 1, 0.02, False, _roc_auc, True),
        Metric("accuracy", "accuracy", "classification", 1, 0.02, False, _accuracy),
        Metric("f1", "F1", "classification", 1, 0.03, False, _f1),
        Metric("precision", "precision", "classification", 1, 0.03, False, _precision),
        Metric("recall", "recall", "classification", 1, 0.03, False, _recall),
        Metric("net_value", "net value per row", "classification", 1, 0.05, True, _net_value),
        Metric("mae", "mean absolute error", "regression", -1, 0.05, True, _mae),
        Metric("rmse", "RMSE", "regression", -1, 0.05, True, _rmse),
    )
}


def metrics_of(kind: Kind, probabilities: bool) -> list[Metric]:
    """Those that such answers can be measured by."""
    return [
        m
        for m in METRICS.values()
        if m.task == kind.task
        and (probabilities or not m.probabilities)
        and (m.name != "net_value" or kind.business is not None)
    ]
