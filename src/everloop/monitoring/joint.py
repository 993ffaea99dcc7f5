"""How numbers go together: sums of products of their normal scores, which add up exactly.

A normal score is what a value's rank would be on a normal curve (Waerden), so a correlation of scores is not
changed by outliers or by the shape of a distribution. A sample of runs of neighbouring rows is enough: what
counts as a change, .1, is far above the noise of 16,384 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .bins import SCORES
from .chunks import Dependence
from .columns import Floats, Ints

MOST = 100  # features
_RUN = 1_024
_BLOCK = 4_096  # rows whose products a float32 can sum exactly


@dataclass(frozen=True, eq=False)
class Sums:
    """Over rows where both are there: ``pairs`` counts them, ``totals[i, j]`` sums the score of i, and
    ``squares[i, j]`` its square; ``products`` sums the products. (features, features) each."""

    pairs: Ints
    totals: Ints
    squares: Ints
    products: Ints

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.pairs + other.pairs,
            self.totals + other.totals,
            self.squares + other.squares,
            self.products + other.products,
        )

    @cached_property
    def variances(self) -> Floats:
        """Of the score of each feature."""
        rows = np.maximum(np.diag(self.pairs), 1)
        return np.asarray(np.diag(self.squares) / rows - (np.diag(self.totals) / rows) ** 2)

    @cached_property
    def correlations(self) -> Floats:
        """Of each pair; 0 where a score does not vary."""
        rows = np.maximum(self.pairs, 1)
        means = self.totals / rows
        variances = np.maximum(self.squares / rows - means**2, 0.0)
        spread = np.sqrt(variances * variances.T)
        least = 1e-3 * SCORES**2
        together = self.products / rows - means * means.T
        return np.asarray(np.where(spread > least, together / np.maximum(spread, least), 0.0))


def empty(width: int) -> Sums:
    none = np.zeros((width, width), dtype=np.int64)
    return Sums(none, none, none, none)


@dataclass(frozen=True, eq=False)
class Joint:
    """Of the reference. ``dependence`` is that of the correlation of each pair, as ``triangle`` lists them;
    ``slots``: the mean score of each feature in each phase."""

    names: tuple[str, ...]
    sums: Sums
    dependence: Dependence
    slots: Ints

    @cached_property
    def triangle(self) -> tuple[Ints, Ints]:
        first, second = np.triu_indices(len(self.names), 1)
        return first, second


def sample(rows: int, most: int) -> tuple[Ints, int]:
    """Which rows: all, or ``most`` of them in evenly spread runs of 1,024; and how many are neighbours."""
    if rows <= most:
        return np.arange(rows), rows
    runs = most // _RUN
    starts = (np.arange(runs) * (rows - _RUN)) // max(runs - 1, 1)
    return (starts[:, None] + np.arange(_RUN)).ravel(), _RUN


def sums_of(scores: NDArray[np.int16], present: NDArray[np.bool_]) -> Sums:
    """Of (rows, features) scores, 0 where missing."""
    total = empty(scores.shape[1])
    for start in range(0, len(scores), _BLOCK):
        held = present[start : start + _BLOCK].astype(np.float32)
        score = scores[start : start + _BLOCK].astype(np.float32)
        parts = (held.T @ held, score.T @ held, (score * score).T @ held, score.T @ score)
        total = total + Sums(*(np.rint(part).astype(np.int64) for part in parts))
    return total


def influences(scores: NDArray[np.int16], present: NDArray[np.bool_], joint: Sums, chunks: int) -> Floats:
    """(chunks, pairs): by how much each chunk of rows moves the correlation of each pair, summed over its
    rows (influence function of Devlin, Gnanadesikan & Kettenring 1975)."""
    rows, width = scores.shape
    first, second = np.triu_indices(width, 1)
    held = np.maximum(present.sum(axis=0), 1)
    means = scores.sum(axis=0) / held
    spread = np.sqrt(np.maximum((scores.astype(np.float64) ** 2).sum(axis=0) / held - means**2, 1e-9))
    standard = np.where(present, (scores - means) / spread, 0.0).astype(np.float32)
    size = rows // chunks
    blocks = standard[: size * chunks].reshape(chunks, size, width)
    both = present[: size * chunks].reshape(chunks, size, width).astype(np.float32)
    together = np.swapaxes(blocks, 1, 2) @ blocks
    squares = np.swapaxes(blocks**2, 1, 2) @ both
    usual = joint.correlations
    moved = together - usual * (squares + np.swapaxes(squares, 1, 2)) / 2
    return np.asarray(moved[:, first, second], dtype=np.float64)
