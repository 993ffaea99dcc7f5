"""How surprising a window is: probabilities of at least such a difference where nothing changed.

Counts and means may stand for fewer independent rows than there are (``rows / effect``, see chunks.py), so
counts need not be whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, chdtrc, gammainc, gammaincc, gammaln, kolmogorov, ndtr, smirnov, stdtr

from .columns import Floats

_EXACT = 2_000  # rows
_TAIL = 0.2


def of_means(z: Any, skewness: Any = 0.0, freedom: Any = np.inf) -> Floats:
    """Two-sided, of standardised differences of means with this skewness (Pearson's type III, which is a
    shifted gamma distribution; rare events make a mean skewed). ``freedom``: of Student's t, where the
    standard error was estimated from so many chunks less one; the larger of the two counts."""
    z, skewness, freedom = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (z, skewness, freedom))
    )
    lean = np.where(z < 0, -skewness, skewness)  # of the side that was seen
    far = np.abs(z)
    shape = 4 / np.maximum(lean**2, 1e-8)
    middle = np.sqrt(shape)
    right = gammaincc(shape, shape + far * middle)
    left = gammainc(shape, np.maximum(shape - far * middle, 0.0))
    tail = np.where(np.abs(lean) < 1e-4, ndtr(-far), np.where(lean > 0, right, left))
    known = np.isinf(freedom)
    student = np.where(known, 0.0, stdtr(np.where(known, 1.0, np.maximum(freedom, 1.0)), -far))
    return np.asarray(np.minimum(2 * np.maximum(tail, student), 1.0))


def of_rare(here: Any, rows: Any, there: Any, reference_rows: Any) -> Floats:
    """Two-sided, of a count ``here`` among ``rows`` and one ``there``, both of rare events: given their sum,
    it is binomial (Przyborowski & Wilenski 1940). Exact for Poisson counts, cautious for others."""
    here, there = np.asarray(here, dtype=np.float64), np.asarray(there, dtype=np.float64)
    share = np.asarray(rows / (rows + reference_rows), dtype=np.float64)
    above = np.where(here > 0, betainc(np.maximum(here, 1e-12), there + 1, share), 1.0)
    below = np.where(there > 0, betainc(np.maximum(there, 1e-12), here + 1, 1 - share), 1.0)
    return np.asarray(np.minimum(2 * np.minimum(above, below), 1.0))


def of_distance(distance: float, rows: float) -> float:
    """Of the largest distance of two distribution functions, where ``rows`` independent ones are compared
    with a known distribution (Kolmogorov & Smirnov; exact in the tail for few rows, of which the limit is
    cautious elsewhere)."""
    if distance <= 0 or rows <= 0:
        return 1.0
    limit = float(kolmogorov(distance * np.sqrt(rows)))
    if rows > _EXACT or limit > _TAIL:
        return limit
    return float(min(limit, 2 * smirnov(max(int(rows), 1), min(distance, 1.0))))


def least(rows: float, reference_rows: float) -> float:
    """No test that compares ranks finds less: that one side lies wholly above the other."""
    ways = gammaln(rows + reference_rows + 1) - gammaln(rows + 1) - gammaln(reference_rows + 1)
    return float(2 * np.exp(-ways))


def of_shares(counts: Floats, shares: Floats, rows: float, reference_rows: float) -> float:
    """Pearson's chi-square of two samples; levels that are expected fewer than five times in the smaller one
    are taken together. Mean and variance of the statistic are those of rows so few (Haldane 1937), matched by
    a scaled chi-square."""
    pooled = (counts + shares * reference_rows) / (rows + reference_rows)
    free = 1 / (1 / rows + 1 / reference_rows)
    rare = pooled * free < 5
    seen, usual, both = (np.append(each[~rare], each[rare].sum()) for each in (counts / rows, shares, pooled))
    held = both > 0
    width = int(held.sum())
    if width < 2:
        return 1.0
    statistic = free * float(((seen[held] - usual[held]) ** 2 / both[held]).sum())
    mean = width - 1.0
    variance = 2 * mean + (float((1 / both[held]).sum()) - width**2 - 2 * width + 2) / free
    scale = max(variance, 2 * mean) / (2 * mean)
    return float(chdtrc(mean / scale, statistic / scale))


def shape(shares: Floats, components: Floats) -> tuple[Floats, Floats, Floats]:
    """Variance, skewness and excess kurtosis of each component, one row."""
    off = components - shares @ components
    square = off * off
    variance = np.maximum(shares @ square, 1e-300)
    lean, peaked = (shares @ (square * off)) / variance**1.5, (shares @ (square * square)) / variance**2 - 3
    return np.asarray(variance), np.asarray(lean), np.asarray(peaked)


def settled(lean: Floats, peaked: Floats, rows: Any) -> Any:
    """Whose mean over so many rows is distributed as ``of_means`` takes it, in the tail too: its excess
    kurtosis beyond that of the gamma distribution is .05 at most. Rare values ask for many rows."""
    return np.abs(peaked - 1.5 * lean**2) <= 0.05 * np.asarray(rows)


def holm(p_values: Floats, weights: Floats, alpha: float) -> Any:
    """Which are rejected so that all are right with probability 1 - alpha; those of more weight need less
    evidence (the weighted procedure of Holm 1979)."""
    order = np.argsort(p_values / weights, kind="stable")
    left = np.cumsum(weights[order][::-1])[::-1]  # of this one and all that come after it
    over = p_values[order] > alpha * weights[order] / left
    first = int(np.argmax(over)) if over.any() else len(p_values)
    rejected = np.zeros(len(p_values), dtype=bool)
    rejected[order[:first]] = True
    return rejected


def weights(known: Any) -> Floats:
    """``known``: of which tests it is known that they have something to tell. They get as much weight as all
    others together, at least."""
    known = np.asarray(known, dtype=bool)
    ours = known.sum()
    return np.where(known, max(1.0, (len(known) - ours) / max(ours, 1)), 1.0)
