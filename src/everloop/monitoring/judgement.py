"""Is a metric of a window worse than usual? One-sided tests that know how errors follow each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from .dependence import Dependence, dependence
from .outcomes import Floats


@dataclass(frozen=True)
class Usual:
    """A metric of the reference: its ``value`` over ``rows``, how its rows vary (``spread``) and follow
    each other."""

    value: float
    rows: int
    spread: float
    follows: Dependence

    def error(self) -> float:
        """Standard error of the value itself."""
        return self.spread * math.sqrt(self.follows.at(self.rows) / max(self.rows, 1))


@dataclass(frozen=True)
class Compared:
    """A window's metric beside the usual one. ``harm`` is positive where the window is worse; ``error`` is
    the standard error of the window's value, ``freedom`` the degrees of freedom behind it; ``p_value``: that
    chance makes such harm where there is none."""

    harm: float
    error: float
    freedom: int
    p_value: float

    def reach(self, alpha: float) -> float:
        """Half the width of the two-sided interval of the window's value."""
        return self.error * float(stdtrit(self.freedom, 1 - alpha / 2))


def usual(rows: Floats, *, ordered: bool) -> Usual:
    """Of a metric's pseudo-values of the reference, in the order of time where ``ordered``."""
    follows = dependence(rows) if ordered else Dependence()
    return Usual(float(rows.mean()), len(rows), float(rows.std()), follows)


def compare(value: float, rows: Floats, reference: Usual, sign: int, *, ordered: bool) -> Compared:
    """``rows`` are the window's pseudo-values. Of the reference's and the window's own spread and dependence
    the larger counts: a window may be burstier than a reference that was drawn at random, and the few large
    losses that make a mean look bad make its spread large, too. Few rows of the reference without an error
    do not say that there is none: its own value is as uncertain as the spread of both together makes it."""
    n, spread = len(rows), float(rows.std())
    effect = reference.follows.at(n)
    if ordered:
        effect = max(effect, dependence(rows).surely_at(n))
    error = max(reference.spread, spread) * math.sqrt(effect / n)
    freedom = min(reference.follows.freedom(n), n - 1)
    both = math.sqrt((reference.rows * reference.spread**2 + n * spread**2) / (reference.rows + n))
    known = replace(reference, spread=max(reference.spread, both))
    return tested(-sign * (value - reference.value), error, freedom, known)


def tested(harm: float, error: float, freedom: int, reference: Usual) -> Compared:
    """By Student's t, for what few chunks tell of the error."""
    both = math.hypot(error, reference.error())
    if both == 0:
        return Compared(harm, error, freedom, 1.0 if harm <= 0 else 0.0)
    return Compared(harm, error, freedom, float(stdtr(freedom, -harm / both)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting those up to alpha makes any false one with probability alpha at most,
    however they depend on each other (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    grown = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(grown, 1.0)
    return [float(each) for each in adjusted]


def smallest(reference: Usual, rows: int, alpha: float, power: float) -> float:
    """The smallest harm that a window of so many rows proves at level ``alpha`` with this power."""
    error = reference.spread * math.sqrt(reference.follows.at(rows) / max(rows, 1))
    freedom = reference.follows.freedom(rows)
    reach = float(stdtrit(freedom, 1 - alpha)) + float(stdtrit(freedom, power))
    return reach * math.hypot(error, reference.error())


def sentence(text: str) -> str:
    """With a capital letter."""
    return text[0].upper() + text[1:]
