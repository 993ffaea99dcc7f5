"""How good predictions are, in the field's measures and in money. A measure that is undefined is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from everloop.core.runs import Business

_SMALLEST = 1e-15


def classification_metrics(
    y_true: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], positive: str | None
) -> dict[str, float]:
    """Measures of ``probabilities`` (n, classes; rows add up to 1) against the labels ``y_true`` (n,).

    ``precision``, ``recall`` and ``f1`` are the positive class's for two classes, else macro averages;
    the ``_macro`` ones are averages over the classes that occur, in truth or prediction (a class never
    predicted counts as precision 0). ``roc_auc`` is one class against the rest, averaged, for more than two.
    ``brier`` is the mean squared error of the positive's probability for two classes (0 to 1), else the sum
    over the classes (Brier, 1950; 0 to 2). ``base_rate`` is the share of positives. Labels outside
    ``classes`` count as wrong, and leave out what needs their probability.
    """
    if len(y_true) == 0:
        return {}
    names = np.asarray(classes, dtype=str)
    truth = _codes(np.asarray(y_true, dtype=str), names)
    decided = np.argmax(probabilities, axis=1)
    binary = len(names) == 2 and positive is not None
    if binary:
        hit = int(np.flatnonzero(names == positive)[0])
        decided = np.where(probabilities[:, hit] >= 0.5, hit, 1 - hit)
    found: dict[str, float | None] = {"accuracy": float(np.mean(decided == truth))}
    found |= _macro(truth, decided)
    if binary:
        found |= _confusion(truth == hit, decided == hit)
        found["base_rate"] = float(np.mean(truth == hit))
    else:
        found |= {name: found[f"{name}_macro"] for name in ("precision", "recall", "f1")}
    if (truth >= 0).all():
        actual = probabilities[np.arange(len(truth)), truth]
        found["log_loss"] = float(-np.mean(np.log(np.clip(actual, _SMALLEST, 1.0))))
        outcomes = np.eye(len(names))[truth]
        found["brier"] = float(np.mean(np.sum((probabilities - outcomes) ** 2, axis=1))) / (1 + binary)
        if binary:
            found["roc_auc"] = _auc(truth == hit, probabilities[:, hit])
            found["calibration_error"] = calibration_error(truth == hit, probabilities[:, hit])
        else:
            areas = [_auc(truth == k, probabilities[:, k]) for k in range(len(names))]
            known = [a for a in areas if a is not None]
            found["roc_auc"] = float(np.mean(known)) if len(known) == len(areas) else None
            found["calibration_error"] = calibration_error(decided == truth, probabilities.max(axis=1))
    return _defined(found)


def regression_metrics(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """``mae``, ``rmse``, ``median_ae`` in the target's unit, ``r2`` (no unit) and ``mape`` (a share, 0.1 is
    10 %; left out when a true value is 0)."""
    if len(y_true) == 0:
        return {}
    truth = np.asarray(y_true, dtype=np.float64)
    wrong = np.abs(truth - y_pred)
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return _defined(
        {
            "mae": float(wrong.mean()),
            "rmse": float(np.sqrt(np.mean(wrong**2))),
            "median_ae": float(np.median(wrong)),
            "r2": 1.0 - float(np.sum(wrong**2)) / spread if spread > 0 else None,
            "mape": float(np.mean(wrong / np.abs(truth))) if np.all(truth != 0) else None,
        }
    )


def calibration_bins(outcomes: np.ndarray, scores: np.ndarray, bins: int = 10) -> np.ndarray:
    """(rows, mean score, share of outcomes) of each bin of about equally many rows, by rising score.

    Equal scores stay in one bin, so a constant predictor has one bin.
    """
    edges = np.unique(np.quantile(scores, np.arange(1, bins) / bins))
    member = np.searchsorted(edges, scores, side="right")
    rows = np.bincount(member)
    kept = rows > 0
    shares = np.bincount(member, weights=outcomes)[kept] / rows[kept]
    means = np.bincount(member, weights=scores)[kept] / rows[kept]
    return np.column_stack([rows[kept], means, shares])


def calibration_error(outcomes: np.ndarray, scores: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean distance of score and outcome over bins, weighted by rows (0 to 1).

    Naeini, Cooper and Hauskrecht (AAAI 2015), with bins of equal mass as in Nguyen and O'Connor (EMNLP 2015).
    """
    table = calibration_bins(outcomes, scores, bins)
    return float(np.sum(table[:, 0] * np.abs(table[:, 1] - table[:, 2])) / np.sum(table[:, 0]))


def value_curve(
    outcomes: np.ndarray, probabilities_of_positive: np.ndarray, business: Business
) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (rising) and the net value of acting on every row whose probability is at least that.

    The last threshold is just above the highest probability: act on none.
    """
    scores, member = np.unique(probabilities_of_positive, return_inverse=True)
    hits = np.bincount(member, weights=outcomes, minlength=len(scores))
    total = np.bincount(member, minlength=len(scores))
    acted_hits = np.append(np.cumsum(hits[::-1])[::-1], 0.0)
    acted = np.append(np.cumsum(total[::-1])[::-1], 0)
    values = _value(acted_hits, acted - acted_hits, float(np.sum(outcomes)), len(outcomes), business)
    return np.append(scores, np.nextafter(scores[-1], np.inf)), values


def business_metrics(
    y_true: np.ndarray, probabilities_of_positive: np.ndarray, business: Business
) -> dict[str, float]:
    """Money made by acting on the rows predicted positive, in the unit of ``business``.

    ``y_true`` is 1 (or true) for the positive class. ``net_value``, ``net_value_per_row`` and ``roi`` are at
    threshold 0.5; ``best_net_value`` and ``best_roi`` at ``best_threshold``, the one with the highest net
    value on these same rows (of equal ones the highest: act on fewest), so they are optimistic. ROI is net
    value divided by costs, where costs are the absolute sum of the negative amounts; it is left out where
    there are none.
    """
    outcomes = np.asarray(y_true, dtype=bool)
    scores = np.asarray(probabilities_of_positive, dtype=np.float64)
    if len(outcomes) == 0:
        return {}
    thresholds, values = value_curve(outcomes, scores, business)
    best = len(values) - 1 - int(np.argmax(values[::-1]))
    net, roi = _at(outcomes, scores >= 0.5, business)
    best_net, best_roi = _at(outcomes, scores >= thresholds[best], business)
    return _defined(
        {
            "net_value": net,
            "net_value_per_row": net / len(outcomes),
            "roi": roi,
            "best_threshold": float(thresholds[best]),
            "best_net_value": best_net,
            "best_roi": best_roi,
        }
    )


def _at(outcomes: np.ndarray, acted: np.ndarray, business: Business) -> tuple[float, float | None]:
    hits, acts = int(np.sum(outcomes & acted)), int(np.sum(acted))
    positives, rows = int(np.sum(outcomes)), len(outcomes)
    losses = Business(
        true_positive=min(business.true_positive, 0.0),
        false_positive=min(business.false_positive, 0.0),
        true_negative=min(business.true_negative, 0.0),
        false_negative=min(business.false_negative, 0.0),
    )
    net = float(_value(hits, acts - hits, positives, rows, business))
    costs = -float(_value(hits, acts - hits, positives, rows, losses))
    return net, net / costs if costs > 0 else None


def _value(
    hits: np.ndarray | int, false_alarms: np.ndarray | int, positives: float, rows: int, business: Business
) -> np.ndarray:
    missed = positives - hits
    left = rows - positives - false_alarms
    return np.asarray(
        hits * business.true_positive
        + false_alarms * business.false_positive
        + missed * business.false_negative
        + left * business.true_negative
    )


def _confusion(truth: np.ndarray, decided: np.ndarray) -> dict[str, float | None]:
    hits, acted, positives = float(np.sum(truth & decided)), float(np.sum(decided)), float(np.sum(truth))
    return {
        "precision": hits / acted if acted else None,
        "recall": hits / positives if positives else None,
        "f1": 2 * hits / (acted + positives) if acted + positives else None,
    }


def _macro(truth: np.ndarray, decided: np.ndarray) -> dict[str, float | None]:
    present = np.union1d(truth, decided)
    parts = [_confusion(truth == k, decided == k) for k in present]
    return {
        f"{name}_macro": float(np.mean([part[name] or 0.0 for part in parts]))
        for name in ("precision", "recall", "f1")
    }


def _auc(positives: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve as the Mann-Whitney statistic; ties count half."""
    n_positive = int(np.sum(positives))
    n_negative = len(positives) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    rank_sum = float(np.sum(rankdata(scores)[positives]))
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _codes(labels: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Positions of the labels in ``names``, -1 for the others."""
    order = np.argsort(names)
    at = np.searchsorted(names, labels, sorter=order).clip(max=len(names) - 1)
    codes = order[at]
    return np.where(names[codes] == labels, codes, -1)


def _defined(found: dict[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}
