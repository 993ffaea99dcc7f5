"""How far means of so many rows in a row usually lie from the mean of all: read off the reference's own
chunks of time.

Rows that follow each other are alike, so a mean of n rows varies more than that of n independent rows: by the
*design effect*. It is measured at several sizes of chunk, because it grows until chunks are longer than the
memory of the data, and so it is known for a window of any size. Where no size shows dependence, rows are
taken as independent and exact tests hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from .columns import Floats, Ints

FEWEST = 20  # chunks; fewer cannot tell what is usual
_DIRECT = 80  # sizes with at least so many chunks are believed as they are
_SHORTEST = 8  # rows of a chunk
_DOUBLINGS = 6
_SURE = 3.3  # standard errors of a design effect before rows count as dependent
_STEP = 32  # stored effects are powers of 2 to 1/32
_STEEPEST = 1.0
_KEPT = 64  # window sizes whose answer is remembered


@dataclass(frozen=True)
class Usual:
    """For each statistic at one window size: by how much its variance exceeds that of independent rows, the
    chunks that this was read from (infinite where rows are taken as independent), and how much farther its
    most extreme chunk lay than that of as many normal ones, 1 at least."""

    effect: Floats
    freedom: Floats
    peak: Floats


@dataclass(frozen=True, eq=False)
class Dependence:
    """``sizes``: rows of a chunk; ``counts``: how many chunks there were. ``effects`` and ``peaks`` are
    (sizes, statistics), in 1/32 of a doubling and in 1/32."""

    sizes: Ints
    counts: Ints
    effects: Ints
    peaks: Ints

    @property
    def calibrated(self) -> bool:
        return bool(self.sizes.size)

    @cached_property
    def _effects(self) -> Floats:
        return np.asarray(2.0 ** (self.effects / _STEP))

    @cached_property
    def _known(self) -> dict[float, Usual]:
        return {}

    def at(self, rows: float) -> Usual:
        """For windows of so many rows."""
        if rows not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[rows] = self._at(rows)
        return self._known[rows]

    def _at(self, rows: float) -> Usual:
        width = self.effects.shape[1]
        if not self.calibrated or rows <= 1:
            return Usual(np.ones(width), np.full(width, np.inf), np.ones(width))
        effects, peaks = self._effects, self.peaks / _STEP
        direct = np.flatnonzero(self.counts >= _DIRECT)
        last = int(direct[-1]) if direct.size else 0
        above = int(np.searchsorted(self.sizes, rows))
        if above <= last:
            near = slice(max(above - 1, 0), above + 1)
            effect, peak, at = effects[near].max(axis=0), peaks[near].max(axis=0), above
        else:
            growth = (rows / self.sizes[last]) ** self._slope(effects, last)
            effect, peak, at = effects[last] * growth, peaks[last], last
        effect = np.minimum(effect, rows)
        free = np.where(effect > 1, float(self.counts[at] - 1), np.inf)
        return Usual(effect, free, np.where(effect > 1, np.maximum(peak, 1.0), 1.0))

    def _slope(self, effects: Floats, last: int) -> Floats:
        """How the effect grows with the size beyond the largest that is believed (a power; 0: no more)."""
        slopes = [np.zeros(effects.shape[1])]
        for first, end in ((last - 2, last), (last, len(self.sizes) - 1)):
            if 0 <= first < end:
                rise = np.log(effects[end] / effects[first]) / np.log(self.sizes[end] / self.sizes[first])
                noise = np.sqrt(2 / self.counts[end] + 2 / self.counts[first])
                slopes.append(rise - noise / np.log(self.sizes[end] / self.sizes[first]))
        return np.asarray(np.clip(np.max(slopes, axis=0), 0.0, _STEEPEST))


def count_of(rows: int) -> int:
    """Of the smallest chunks: 20, doubled up to six times; 0 where 20 chunks of 8 rows do not fit."""
    doubled = FEWEST
    if rows < doubled * _SHORTEST:
        return 0
    while doubled < FEWEST * 2**_DOUBLINGS and rows >= 2 * doubled * _SHORTEST:
        doubled *= 2
    return doubled


def fit(
    sums: Floats,
    rows: float,
    variance: Any,
    kurtosis: Any = 0.0,
    *,
    fewest: int = FEWEST,
    margin: float = 0.0,
) -> Dependence:
    """Of ``sums`` (smallest chunks, statistics): over the rows of a chunk, less what is expected of them.

    ``rows``: of a smallest chunk. ``variance`` and excess ``kurtosis`` are those of one row. Neighbours are
    joined until ``fewest`` chunks are left. ``margin``: more standard errors, where statistics are many.
    """
    count, width = sums.shape
    if count < fewest:
        return nothing(width)
    variance = np.broadcast_to(np.asarray(variance, dtype=np.float64), (width,))
    sizes, counts, effects, peaks = [], [], [], []
    shown = np.zeros(width, dtype=bool)
    while True:
        scale = np.where(variance > 0, variance, 1.0) * rows
        effect = (sums**2).mean(axis=0) * count / (count - 1) / scale
        error = (2 + np.asarray(kurtosis) / rows) / count / 9
        limit = (1 - error + (_SURE + margin) * np.sqrt(error)) ** 3  # Wilson & Hilferty 1931
        shown |= (effect > limit) & (variance > 0)
        spread = np.sqrt(np.where(effect > 0, effect, 1.0) * scale)
        peak = np.abs(sums).max(axis=0) / spread / ndtri(1 - 0.35 / count)
        sizes.append(round(rows))
        counts.append(count)
        effects.append(np.where(shown, np.maximum(effect, 1.0), 1.0))
        peaks.append(np.clip(peak, 1.0, 100.0))
        if count % 2 or count // 2 < fewest:
            break
        count, rows = count // 2, rows * 2
        sums = sums.reshape(count, 2, width).sum(axis=1)
    return Dependence(
        np.asarray(sizes, dtype=np.int64),
        np.asarray(counts, dtype=np.int64),
        np.ceil(np.log2(np.asarray(effects)) * _STEP - 1e-9).astype(np.int64),
        np.ceil(np.asarray(peaks) * _STEP).astype(np.int64),
    )


def nothing(width: int) -> Dependence:
    """Uncalibrated: rows are taken as independent."""
    none = np.zeros((0, width), dtype=np.int64)
    return Dependence(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), none, none)


def highest(each: Dependence) -> Dependence:
    """The largest effect of all statistics as one, with the peak that goes with it."""
    if not each.calibrated:
        return nothing(1)
    most = each.effects.argmax(axis=1)[:, None]
    return Dependence(
        each.sizes,
        each.counts,
        np.take_along_axis(each.effects, most, axis=1),
        np.take_along_axis(each.peaks, most, axis=1),
    )


def beside(parts: list[Dependence]) -> Dependence:
    """Statistics of one reference side by side."""
    return Dependence(
        parts[0].sizes,
        parts[0].counts,
        np.concatenate([part.effects for part in parts], axis=1),
        np.concatenate([part.peaks for part in parts], axis=1),
    )
