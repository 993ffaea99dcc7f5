"""Fixed bins of a number: edges from the reference, counts that add up.

Bin b holds ``edges[b-1] < value <= edges[b]``. The first lies below the reference's least value and the last
above its greatest, so both are empty in the reference. Edges split the reference into about 256 bins of
equal mass; a value that many rows share has a bin of its own, so that distances are exact there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from .columns import Floats, Ints

BINS = 256
SCORES = 16  # of normal scores: steps in one standard deviation
DEGREE = 4
_SAMPLE = 32_768
_CELLS = 8_192
_DEEPEST = 5
_BLOCK = 32_768


def edges_of(finite: Floats) -> Floats:
    """About ``BINS`` edges; from an even sample of the rows where there are many."""
    if not finite.size:
        return np.zeros(0)
    stride = -(-finite.size // _SAMPLE)
    ordered = np.sort(finite[::stride])
    least, most = finite.min(), finite.max()
    distinct = ordered[np.concatenate([[True], np.diff(ordered) > 0])]
    if distinct.size <= BINS:
        inner = distinct
    else:
        places = (np.arange(1, BINS) * ordered.size) // BINS
        picked = ordered[places]
        again = np.unique(picked[1:][np.diff(picked) == 0])  # values of more than a bin's mass
        inner = np.concatenate([picked, np.nextafter(again, -np.inf)])
    outer = [np.nextafter(least, -np.inf), most]
    edges = np.unique(np.concatenate([inner, outer]))
    return np.asarray(edges[np.isfinite(edges)])


@dataclass(frozen=True, eq=False)
class Bins:
    """``counts`` has one entry more than ``edges``."""

    edges: Floats
    counts: Ints

    @cached_property
    def total(self) -> int:
        return int(self.counts.sum())

    @cached_property
    def shares(self) -> Floats:
        return self.counts / max(self.total, 1)

    @cached_property
    def ranks(self) -> Floats:
        """The middle rank of each bin, 0 to 1."""
        upper = np.cumsum(self.shares)
        return np.asarray(upper - self.shares / 2)

    @cached_property
    def components(self) -> Floats:
        """(bins, at most 4): polynomials of the rank that have mean 0, variance 1 and no correlation in the
        reference (Neyman 1937, "smooth tests"): where the values lie, how far they spread, skewness, tails.
        """
        return orthonormal(self.ranks, self.shares)

    @cached_property
    def scores(self) -> Ints:
        """The normal score of each bin in steps of 1/16, so that sums of products stay exact."""
        lowest = 0.5 / BINS
        normal = ndtri(np.clip(self.ranks, lowest, 1 - lowest))
        return np.asarray(np.rint(SCORES * normal), dtype=np.int64)

    def locate(self, values: Floats) -> Ints:
        """The bin of each value, -1 where it is not finite."""
        finite = np.isfinite(values)
        clean = values if finite.all() else np.where(finite, values, 0.0)
        if self._table is None:
            found = np.searchsorted(self.edges, clean)
        else:
            found = np.empty(values.size, dtype=np.int64)
            for start in range(0, values.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                self._walk(clean[block], found[block], *self._table)
        if clean is not values:
            found[~finite] = -1
        return found

    @staticmethod
    def _walk(
        values: Floats, found: Ints, low: float, scale: float, starts: Ints, depth: int, ends: Floats
    ) -> None:
        """From the first edge of a value's cell up to its bin, in place, which is faster."""
        with np.errstate(over="ignore"):
            work = values - low
            np.multiply(work, scale, out=work)
        np.clip(work, 0, _CELLS - 1, out=work)
        np.take(starts, work.astype(np.intp), out=found, mode="clip")
        for _ in range(depth):
            np.take(ends, found, out=work, mode="clip")
            found += work < values

    @cached_property
    def _table(self) -> tuple[float, float, Ints, int, Floats] | None:
        """Where to start looking, by cells of equal width: five times faster than a binary search. None
        where too many edges fall into one cell."""
        if self.edges.size < 2:
            return None
        tail = self.edges.size // 100
        low, high = self.edges[tail], self.edges[-1 - tail]
        with np.errstate(over="ignore", divide="ignore"):
            scale = (_CELLS - 1) / (high - low)
        if not np.isfinite(scale) or scale == 0:
            return None
        with np.errstate(over="ignore"):
            cells = np.clip((self.edges - low) * scale, 0, _CELLS - 1).astype(np.int32)
        held = np.bincount(cells, minlength=_CELLS)
        if held.max() > _DEEPEST:
            return None
        starts = np.concatenate([[0], np.cumsum(held)[:-1]]).astype(np.int64)
        return float(low), float(scale), starts, int(held.max()), np.append(self.edges, np.inf)


def orthonormal(ranks: Floats, shares: Floats) -> Floats:
    """Polynomials of ``ranks`` up to the fourth degree, orthonormal where ``shares`` are the weights."""
    held = shares > 0
    degree = min(DEGREE, int(held.sum()) - 1)
    if degree < 1:
        return np.zeros((shares.size, 0))
    powers = np.vander(2 * ranks - 1, degree + 1, increasing=True)
    _, triangle = np.linalg.qr(np.sqrt(shares)[:, None] * powers)
    sign = np.sign(np.diag(triangle))
    return np.asarray(np.linalg.solve(triangle.T, powers.T).T * sign)[:, 1:]
