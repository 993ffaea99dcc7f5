"""Sample-ratio mismatch: do the arms get the units that their weights say? If not, nothing can be compared.

Lindon & Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022, arXiv:2011.03567): the
likelihood of the counts averaged over a Dirichlet distribution about the weights, over that of the weights
themselves. It exceeds 1/alpha at any look with probability alpha at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln, xlogy

Floats = NDArray[np.float64]
ALPHA = 0.0005
NEEDED = 1 / ALPHA
CONCENTRATION = 100.0
_LARGEST = 700.0


def evidence(counts: Any, weights: Sequence[float]) -> Floats:
    """The e-value against "units fall to arms as ``weights``". ``counts``: (..., arms)."""
    counts = np.asarray(counts, dtype=np.float64)
    shares = _shares(weights)
    prior = CONCENTRATION * shares
    total = counts.sum(axis=-1)
    log = gammaln(CONCENTRATION) - gammaln(CONCENTRATION + total)
    log = log + (gammaln(prior + counts) - gammaln(prior) - xlogy(counts, shares)).sum(axis=-1)
    return np.asarray(np.exp(np.minimum(log, _LARGEST)))


def chi_square_p(counts: Any, weights: Sequence[float]) -> Floats:
    """Pearson's chi-square p-value: what one look alone would say. For words, not for verdicts."""
    counts = np.asarray(counts, dtype=np.float64)
    shares = _shares(weights)
    expected = counts.sum(axis=-1, keepdims=True) * shares
    distance = ((counts - expected) ** 2 / np.maximum(expected, 1e-300)).sum(axis=-1)
    return np.asarray(chdtrc(len(shares) - 1, distance))


def _shares(weights: Sequence[float]) -> Floats:
    return np.asarray(weights, dtype=np.float64) / sum(weights)
