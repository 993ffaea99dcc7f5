"""A fault begins and ends when it likes: the one stretch of rows, in the order of time, that is not as the
reference, while the rows around it are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .columns import Coded, Floats, Ints, Numbers
from .fits import LEAST, Sample, free_rows, limit
from .reference import FeatureReference

BLOCKS = 40  # of which a stretch is made
_NEAR = 0.1  # the rest is nearer to the reference
_ODD = 0.15  # and some block is farther


@dataclass(frozen=True)
class Stretch:
    """Rows from ``first`` to ``last`` (excluded) of ``rows``."""

    first: int
    last: int
    rows: int

    @property
    def since(self) -> float:
        return self.first / max(self.rows, 1)

    @property
    def until(self) -> float:
        return self.last / max(self.rows, 1)

    @property
    def words(self) -> str:
        """Where it is; nothing of all rows."""
        share = f"{self.until - self.since:.0%} of the rows"
        if self.last < self.rows:
            return f" in {share}, from {self.since:.0%} on" if self.first else f" in the oldest {share}"
        return f" in the newest {share}" if self.first else ""


def candidates(sample: Sample | None, rows: int) -> list[Stretch]:
    """All rows; then the stretch, where there is one. ``sample``: None where its type does not fit."""
    found = None
    if sample is not None and rows >= LEAST:
        found = _stretch(sample.feature, *_placed(sample.feature, sample.held))
    return [Stretch(0, rows, rows), *([] if found is None else [found])]


def _placed(feature: FeatureReference, held: Numbers | Coded) -> tuple[Ints, Floats]:
    """Each row's place in the reference, -1 where it is missing; and the share of each place."""
    if isinstance(held, Numbers):
        if feature.bins is None:
            return np.full(held.values.size, -1), np.ones(1)
        there = np.isfinite(held.values)
        places = np.full(held.values.size, -1)
        places[there] = feature.bins.locate(held.values[there])
        return places, feature.bins.shares
    if feature.levels is None or not held.levels:
        return np.full(held.codes.size, -1), np.ones(1)
    located, _ = feature.levels.located(held)
    return np.where(held.codes >= 0, located[held.codes], -1), feature.levels.shares


def _stretch(feature: FeatureReference, places: Ints, shares: Floats) -> Stretch | None:
    """Of all the one that is farthest from the reference, and the rest nearest, each for its number of rows;
    without a block at its ends where others follow, of which a part may not belong to it."""
    rows = places.size
    ends = np.linspace(0, rows, BLOCKS + 1).astype(int)
    block = np.repeat(np.arange(BLOCKS), np.diff(ends))
    kept = places >= 0
    counts = np.bincount(block[kept] * shares.size + places[kept], minlength=BLOCKS * shares.size)
    blocks = counts.reshape(BLOCKS, shares.size).astype(np.float64)
    sizes, ordered = blocks.sum(axis=1), feature.bins is not None
    if ordered:
        blocks, shares = blocks.cumsum(axis=1), shares.cumsum()
    if (_far(blocks, shares, ordered) <= _ODD * np.sqrt(sizes)).all():
        return None
    before = np.concatenate([np.zeros((1, shares.size)), blocks.cumsum(axis=0)])
    first, last = np.triu_indices(BLOCKS + 1, 1)
    inside = before[last] - before[first]
    best = int(np.argmax(_far(inside, shares, ordered) - _far(before[-1] - inside, shares, ordered)))
    begin, end = int(first[best]), int(last[best])
    around = before[-1] - (before[min(end + 1, BLOCKS)] - before[max(begin - 1, 0)])
    size = float(_rows(around[None], ordered)[0])
    if size:
        near = 2 * limit(free_rows(feature, int(size)))
        if _far(around[None], shares, ordered)[0] / np.sqrt(size) > max(near, _NEAR):
            return None
    begin, end = begin + (begin > 0), end - (end < BLOCKS)
    if end - begin in (BLOCKS, 0, -1):
        return None
    return Stretch(int(ends[begin]), int(ends[end]), rows)


def _far(counts: Floats, shares: Floats, ordered: bool) -> Floats:
    """(n,): the distance of each of n counts, of Kolmogorov where there is an order, else of total variation,
    times the root of its rows. Where there is an order, counts and shares are cumulated ones."""
    rows = _rows(counts, ordered)
    apart = counts / np.maximum(rows, 1.0)[:, None]
    apart -= shares
    np.abs(apart, out=apart)
    far = apart.max(axis=1) if ordered else apart.sum(axis=1) / 2
    return np.asarray(np.where(rows > 0, far * np.sqrt(rows), 0.0))


def _rows(counts: Floats, ordered: bool) -> Floats:
    return np.asarray(counts[:, -1] if ordered else counts.sum(axis=1))
