"""Confidence sequences: intervals that hold at every look at once, however often one looks.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (Annals of Statistics 2024, arXiv:2103.06476), one-sided form. A mean of n independent units with
standard error s lies above its estimate by more than ``s * reach(n, alpha)`` at any n with probability
alpha at most, once n is large (the burn-in). Half-widths are smallest about n = 5,000.

Where the units that will come were agreed on, ``reach_of`` is smaller: the boundary of O'Brien and Fleming
(Biometrics 1979) for looks without end, which says how many standard deviations of the *last* sum the sum may
be off at any time before it. A Brownian motion W crosses b in [0, 1] with probability 2(1 - Phi(b))
(reflection). Units beyond those agreed on may be looked at too: t W(1/t) is a Brownian motion as well, so the
same boundary is laid on it. Given W(1) the two halves are independent bridges, and a bridge to x crosses b
with probability exp(-2b(b - x)): together 3 Phi(-b) - exp(4b²) Phi(-3b).

All functions take numbers or arrays of one shape: the fields of ``Sums`` may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from everloop.core.releases import Sums

Floats = NDArray[np.float64]
TUNED = 5_000
_PADDING = 7


@dataclass(frozen=True)
class Estimate:
    """A difference and its standard error. ``units`` and ``rows`` are those it rests on; ``least``: the units
    of the arm that has fewer."""

    difference: Floats
    error: Floats
    units: Floats
    rows: Floats
    least: Floats

    def bounds(self, low: float, high: float, size: int = 0) -> tuple[Floats, Floats]:
        """Lower end at level ``low`` and upper end at level ``high``, each one-sided."""
        below, above = (self.error * self.reach(level, size) for level in (low, high))
        return self.difference - below, self.difference + above

    def reach(self, level: float, size: int = 0) -> Floats:
        """In standard errors. ``size``: the units of an arm that were agreed on. Where none were: units that
        come again add rows, so what is known grows between the pace of units and that of rows, and the wider
        of the two counts."""
        if size:
            return reach_of(self.least / size, level)
        return np.maximum(reach(self.units, level), reach(self.rows, level))


def reach(n: Any, alpha: float) -> Floats:
    """Standard errors from the estimate to a one-sided bound of level ``alpha`` that holds over all n."""
    twice = -2 * np.log(2 * alpha)
    scaled = np.maximum(n, 1) * (twice + np.log(twice + 1)) / TUNED
    return np.asarray(np.sqrt(2 * (scaled + 1) / scaled * np.log1p(np.sqrt(scaled + 1) / (2 * alpha))))


def reach_of(part: Any, alpha: float) -> Floats:
    """The same where it was agreed on how many units there will be, and so large a ``part`` of them is there
    (above 1: more than were agreed on)."""
    part = np.maximum(part, 1e-12)
    return np.asarray(_furthest(alpha) * np.sqrt(np.maximum(part, 1 / part)))


@cache
def _furthest(alpha: float) -> float:
    """By halving: the probability to cross falls with the boundary."""
    low, high = 0.0, 40.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        crossed = 3 * ndtr(-middle) - np.exp(4 * middle**2 + log_ndtr(-3 * middle))
        low, high = (middle, high) if crossed > alpha else (low, middle)
    return high


def between(candidate: Sums, control: Sums, *, bounded: bool = False) -> Estimate:
    """The candidate's mean minus the control's."""
    pairs = [(arm, _padded(arm, 0.0, 1.0) if bounded else arm) for arm in (candidate, control)]
    means = [_ratio(arm.total, arm.rows) for arm, _ in pairs]
    variances = [_variance(padded) for _, padded in pairs]
    return Estimate(
        means[0] - means[1],
        np.sqrt(variances[0] + variances[1]),
        np.asarray(candidate.units + control.units, dtype=np.float64),
        np.asarray(candidate.rows + control.rows, dtype=np.float64),
        np.minimum(candidate.units, control.units).astype(np.float64),
    )


def within(differences: Sums, *, bounded: bool = False) -> Estimate:
    """The mean of differences, candidate minus control, on the same rows (a shadow's)."""
    units = np.asarray(differences.units, dtype=np.float64)
    return Estimate(
        _ratio(differences.total, differences.rows),
        np.sqrt(_variance(_padded(differences, -1.0, 1.0) if bounded else differences)),
        units,
        np.asarray(differences.rows, dtype=np.float64),
        units,
    )


def together(one: Sums, other: Sums) -> Sums:
    """Of two sets of units."""
    return Sums(*(getattr(one, each.name) + getattr(other, each.name) for each in fields(Sums)))


def mean_error(sums: Sums) -> tuple[Floats, Floats]:
    """The mean of one arm and its standard error."""
    return _ratio(sums.total, sums.rows), np.sqrt(_variance(sums))


def _variance(sums: Sums) -> Floats:
    """Of a ratio of sums over units (delta method), so that rows of one unit need not be independent."""
    units, mean = np.asarray(sums.units, dtype=np.float64), _ratio(sums.total, sums.rows)
    squares = sums.total_squared - 2 * mean * sums.rows_by_total + mean**2 * sums.rows_squared
    scale = _ratio(units, units - 1)
    with np.errstate(invalid="ignore"):
        variance = scale * np.maximum(squares, 0.0) / np.maximum(sums.rows, 1e-300) ** 2
    return np.where(units < 2, np.inf, variance)


def _padded(sums: Sums, low: float, high: float) -> Sums:
    """With more units, as many with the lowest values as with the highest, so that an arm which has made few
    mistakes yet is not taken to be certain. Agresti & Coull (1998) add z²/2 of each for an interval of z
    standard errors; 7 are for 3.75. Each has the root of an average unit's rows, which is between what rows
    that depend on each other ask for and what independent ones do. It widens intervals of few units only."""
    size = _ratio(sums.rows, sums.units) * _PADDING
    rows = np.sqrt(size * _PADDING)
    return Sums(
        sums.units + 2 * _PADDING,
        sums.rows + 2 * rows,
        sums.total + rows * (low + high),
        sums.rows_squared + 2 * size,
        sums.total_squared + size * (low**2 + high**2),
        sums.rows_by_total + size * (low + high),
    )


def _ratio(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
