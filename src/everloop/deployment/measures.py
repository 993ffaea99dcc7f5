"""Metrics as means over rows, so that one paired interval serves them all.

Each metric gives one number per row whose mean is the metric. For losses these are the rows' own losses. For
the others they are pseudo-values: metric + influence of the row (Hampel 1974), where the spread of the mean
is that of the metric to first order. For ROC AUC the influences are DeLong's structural components (DeLong,
DeLong & Clarke-Pearson 1988), computed from midranks in O(n log n) (Sun & Xu 2014,
doi:10.1109/LSP.2014.2337313).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from everloop.core.errors import InvalidSettings, TooFewRows, nearest
from everloop.core.runs import Business, Task

Floats = NDArray[np.float64]
CLIP = 1e-15


@dataclass(frozen=True)
class Answers:
    """What one model answered. Classification: ``truth`` is class codes (n,), ``given`` probabilities (n, k),
    ``positive`` the code of the class that counts (None: every class in turn, averaged). Regression: both are
    values (n,)."""

    truth: NDArray[np.int64] | Floats
    given: Floats
    positive: int | None = None
    business: Business | None = None

    def take(self, rows: NDArray[np.intp]) -> Answers:
        return replace(self, truth=self.truth[rows], given=self.given[rows])

    @property
    def decided(self) -> NDArray[np.intp]:
        """The most probable class of each row (n,): with two classes, the one above 0.5."""
        return np.asarray(self.given.argmax(axis=1))


def _log_loss(a: Answers) -> Floats:
    chosen = a.given[np.arange(len(a.truth)), a.truth.astype(np.intp)]
    return np.asarray(-np.log(np.clip(chosen, CLIP, 1.0)), dtype=np.float64)


def _brier(a: Answers) -> Floats:
    """Squared distance to the one-hot truth; halved with two classes, as the binary Brier score is."""
    onehot = a.truth[:, None] == np.arange(a.given.shape[1])
    total = ((a.given - onehot) ** 2).sum(axis=1)
    return np.asarray(total / 2 if a.given.shape[1] == 2 else total)


def _accuracy(a: Answers) -> Floats:
    return np.asarray(a.decided == a.truth, dtype=np.float64)


def _net_value(a: Answers) -> Floats:
    """Money per row, by the outcome of the decision."""
    if a.business is None or a.positive is None:
        raise InvalidSettings(
            "Net value needs the money per outcome and a positive class.",
            remedy="Set 'business' and 'positive' in the model's recipe, or choose another metric.",
        )
    b = a.business
    money = np.array([[b.true_negative, b.false_positive], [b.false_negative, b.true_positive]])
    return np.asarray(money[(a.truth == a.positive).astype(int), (a.decided == a.positive).astype(int)])


def _f1(a: Answers) -> Floats:
    return _average(
        _ratio(2.0 * (truth & said), truth.astype(float) + said) for truth, said in _indicators(a, a.positive)
    )


def _precision(a: Answers) -> Floats:
    return _average(_ratio(truth & said, said) for truth, said in _indicators(a, a.positive))


def _recall(a: Answers) -> Floats:
    return _average(_ratio(truth & said, truth) for truth, said in _indicators(a, a.positive))


def _balanced_accuracy(a: Answers) -> Floats:
    return _average(_ratio(truth & said, truth) for truth, said in _indicators(a, None))


def _roc_auc(a: Answers) -> Floats:
    codes = [c for c in _codes(a, a.positive) if 2 <= np.count_nonzero(a.truth == c) <= len(a.truth) - 2]
    if not codes:
        raise TooFewRows(
            f"ROC AUC needs two rows or more inside and outside a class, unlike these {len(a.truth):,} rows."
        )
    return _average(_delong(a.truth == c, a.given[:, c]) for c in codes)


def _absolute(a: Answers) -> Floats:
    return np.abs(a.given - a.truth)


def _squared(a: Answers) -> Floats:
    return np.asarray((a.given - a.truth) ** 2)


def _rmse(a: Answers) -> Floats:
    squared = _squared(a)
    value = float(np.sqrt(squared.mean()))
    return value + (squared - value**2) / (2 * value) if value > 0 else squared


def _r2(a: Answers) -> Floats:
    spread = (a.truth - a.truth.mean()) ** 2
    if not spread.any():
        raise TooFewRows(f"R² needs different true values; these {len(a.truth):,} rows have one only.")
    return 1.0 - _ratio(_squared(a), spread)


def _codes(a: Answers, positive: int | None) -> list[int]:
    """The classes to measure: the positive one, or each that the truth holds."""
    return [int(c) for c in np.unique(a.truth)] if positive is None else [positive]


def _indicators(a: Answers, positive: int | None) -> Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    if positive is not None and not (a.truth == positive).any():
        raise TooFewRows(f"None of these {len(a.truth):,} rows is of the positive class.")
    decided = a.decided
    return [(a.truth == c, decided == c) for c in _codes(a, positive)]


def _average(parts: Iterable[Floats]) -> Floats:
    return np.asarray(np.mean(list(parts), axis=0))


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Floats:
    """Pseudo-values of sum(part) / sum(whole); 0 where the whole is empty. The spread is that of the rows
    that carry the whole, with their own n - 1."""
    up, down = part.astype(np.float64), whole.astype(np.float64)
    carrying = int(np.count_nonzero(down))
    if carrying == 0:
        return np.zeros(len(up))
    value = up.sum() / down.sum()
    return np.asarray(value + _bessel(carrying) * (up - value * down) / down.mean())


def _delong(truth: NDArray[np.bool_], score: Floats) -> Floats:
    """Pseudo-values of the AUC: a positive row's share of negatives below it, and the reverse (ties half)."""
    ranks = rankdata(score)
    n, positives = len(truth), int(truth.sum())
    negatives = n - positives
    above = (ranks[truth] - rankdata(score[truth])) / negatives
    below = 1.0 - (ranks[~truth] - rankdata(score[~truth])) / positives
    value = above.mean()
    out = np.empty(n)
    out[truth] = value + _bessel(positives) * (above - value) * n / positives
    out[~truth] = value + _bessel(negatives) * (below - value) * n / negatives
    return out


def _bessel(n: int) -> float:
    return float(np.sqrt(n / (n - 1))) if n > 1 else 1.0


@dataclass(frozen=True)
class Metric:
    """``sign`` is 1 where larger is better and -1 where smaller is; ``rows`` gives the numbers whose mean it
    is."""

    name: str
    words: str
    sign: int
    task: Task
    rows: Callable[[Answers], Floats]


METRICS = {
    m.name: m
    for m in (
        Metric("log_loss", "log loss", -1, "classification", _log_loss),
        Metric("brier", "Brier score", -1, "classification", _brier),
        Metric("accuracy", "accuracy", 1, "classification", _accuracy),
        Metric("roc_auc", "ROC AUC", 1, "classification", _roc_auc),
        Metric("f1", "F1", 1, "classification", _f1),
        Metric("precision", "precision", 1, "classification", _precision),
        Metric("recall", "recall", 1, "classification", _recall),
        Metric("balanced_accuracy", "balanced accuracy", 1, "classification", _balanced_accuracy),
        Metric("net_value", "net value per row", 1, "classification", _net_value),
        Metric("mae", "mean absolute error", -1, "regression", _absolute),
        Metric("mse", "mean squared error", -1, "regression", _squared),
        Metric("rmse", "RMSE", -1, "regression", _rmse),
        Metric("r2", "R²", 1, "regression", _r2),
    )
}
DEFAULT_METRIC: dict[Task, str] = {"classification": "log_loss", "regression": "rmse"}


def find_metric(name: str | None, task: Task) -> Metric:
    """The metric of that name, or the task's default; InvalidSettings where the task has none of that
    name."""
    name = name or DEFAULT_METRIC[task]
    known = [m.name for m in METRICS.values() if m.task == task]
    if name not in known:
        raise InvalidSettings(
            f"'{name}' is not a metric of the gate for {task}.", remedy=nearest(name, known)
        )
    return METRICS[name]
