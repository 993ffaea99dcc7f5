"""Scores to probabilities: isotonic regression (Zadrozny & Elkan 2002, doi:10.1145/775047.775151) by pooling
adjacent violators, kept as few steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .outcomes import Codes, Floats

_MOST_BINS = 500


@dataclass(frozen=True)
class Steps:
    """Between scores ``low`` and ``high`` the share of outcomes is ``share``, learnt from so many ``rows``;
    straight lines lie between the steps."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    share: tuple[float, ...]
    rows: tuple[int, ...]

    def __call__(self, scores: Floats) -> Floats:
        ends = np.column_stack([self.low, self.high]).ravel()
        return np.asarray(np.interp(scores, ends, np.repeat(self.share, 2)))

    def of(self, scores: Floats) -> Codes:
        """The step that each score belongs to, or the one above."""
        return np.minimum(np.searchsorted(self.high, scores), len(self.high) - 1)

    def variance(self) -> Floats:
        """Of each share, from its rows; a share of 0 or 1 is not certain (half a row of each is added)."""
        rows = np.asarray(self.rows, dtype=np.float64)
        share = (np.asarray(self.share) * rows + 0.5) / (rows + 1)
        return np.asarray(share * (1 - share) / rows)


def isotonic(scores: Floats, outcomes: Floats) -> Steps:
    """The rising steps that fit the outcomes (0 to 1) best in squares."""
    values, at = np.unique(scores, return_inverse=True)
    counts = np.bincount(at)
    if len(values) > _MOST_BINS:  # bins of about equally many rows, so that a million scores cost no more
        bins = np.minimum((np.cumsum(counts) - 1) * _MOST_BINS // len(scores), _MOST_BINS - 1)
        bins = np.unique(bins, return_inverse=True)[1]
    else:
        bins = np.arange(len(values))
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    low, high = values[starts], values[np.append(starts[1:], len(values)) - 1]
    rows = np.bincount(bins[at])
    shares = np.bincount(bins[at], weights=outcomes) / rows
    firsts, sizes, means = _pooled(shares, rows)
    lasts = np.append(firsts[1:], len(rows)) - 1
    return Steps(
        tuple(map(float, low[firsts])),
        tuple(map(float, high[lasts])),
        tuple(map(float, means)),
        tuple(map(int, sizes)),
    )


def _pooled(shares: Floats, rows: Codes) -> tuple[Codes, list[int], list[float]]:
    firsts: list[int] = []
    sizes: list[int] = []
    means: list[float] = []
    for first, (share, size) in enumerate(zip(shares.tolist(), rows.tolist(), strict=True)):
        firsts.append(first)
        sizes.append(size)
        means.append(share)
        while len(means) > 1 and means[-2] >= means[-1]:
            firsts.pop()
            size, mean = sizes.pop(), means.pop()
            both = sizes[-1] + size
            means[-1] = (means[-1] * sizes[-1] + mean * size) / both
            sizes[-1] = both
    return np.asarray(firsts, dtype=np.intp), sizes, means
