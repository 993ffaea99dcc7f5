"""Are there more units with an event (a failure, a refusal, a slow answer) than may be? Exact at every
look.

With two arms: when a unit with an event turns up, it is the candidate's with probability w/(w + v) if the
rates are equal, where w and v are the buckets of both; and with ``limit`` = w*ratio/(w*ratio + v) at most
if the candidate's rate is up to ``ratio`` times the control's. Each such unit is a toss of that coin,
whatever the rates are and however they change. With one arm: each unit has an event with probability
``limit`` at most.

The e-value is the likelihood ratio of tosses at theta against ``limit``, averaged over theta from ``limit``
to 1 with the density of Beta(1/2, 1/2) cut off there. It exceeds 1/alpha at any look with probability alpha
at most (Ville 1939; Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021, doi:10.1214/20-AOS1991). It
needs no burn-in. Functions take numbers or arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc, betaln, xlog1py, xlogy

_HALF = 0.5
_LARGEST = 700.0  # exp() of more is no number
_MOST_IN_A_ROW = 10_000


def limit_of(weight: int, control_weight: int, ratio: float) -> float:
    """The largest probability that a unit with an event is the candidate's."""
    return weight * ratio / (weight * ratio + control_weight)


def evidence(hits: Any, misses: Any, limit: Any) -> NDArray[np.float64]:
    """The e-value against "``hits`` have probability ``limit`` at most". Hits and misses are the candidate's
    and the control's units with an event; of one arm: its units with an event and without."""
    a, b = np.asarray(hits) + _HALF, np.asarray(misses) + _HALF
    with np.errstate(divide="ignore"):
        above = betaln(a, b) + np.log(betaincc(a, b, limit))
        prior = betaln(_HALF, _HALF) + np.log(betaincc(_HALF, _HALF, limit))
    log = above - prior - xlogy(hits, limit) - xlog1py(misses, -np.asarray(limit))
    return np.asarray(np.exp(np.minimum(log, _LARGEST)))


def in_a_row(limit: float, needed: float) -> int | None:
    """How many events, all of them the candidate's, reach the evidence; None where not even very many do."""
    counts = np.arange(1, _MOST_IN_A_ROW)
    reached = evidence(counts, 0, limit) >= needed
    return int(counts[reached][0]) if reached.any() else None
