"""Whether rows are distributed as a feature of the reference is: what a fault would turn them into is fitted,
and what honest change could have made as well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from .columns import Coded, Floats, Ints, Numbers, read
from .reference import FeatureReference
from .texture import codes_of, decimals_of

LEAST = 150  # independent rows; fewer fit too many things
_SURE = 1.95  # 99.9 % of Kolmogorov's distance times the root of the rows


@dataclass(frozen=True, eq=False)
class Sample:
    """A feature's values in the rows that are looked at, in the order of time."""

    feature: FeatureReference
    held: Numbers | Coded

    @cached_property
    def values(self) -> Floats:
        """Of a number: those that are there."""
        return self.held.values[np.isfinite(self.held.values)] if isinstance(self.held, Numbers) else _NONE

    @cached_property
    def codes(self) -> Ints:
        """A whole number for each value, -1 where it is missing."""
        return codes_of(self.held)

    @cached_property
    def free(self) -> float:
        """Rows that count as independent."""
        return free_rows(self.feature, self.values.size)


_NONE = np.zeros(0)


def sample(feature: FeatureReference, column: pa.ChunkedArray) -> Sample | None:
    """None where the type does not fit."""
    held = read(column, feature.kind)
    return None if held is None else Sample(feature, held)


def free_rows(feature: FeatureReference, rows: int) -> float:
    effects = feature.dependence.at(rows).effect[:-1]
    return rows / float(effects.max(initial=1.0))


def limit(free: float) -> float:
    """The largest distance that is put down to chance."""
    return _SURE / float(np.sqrt(max(free, 1.0)))


def distance(feature: FeatureReference, values: Floats) -> float:
    """The largest distance of the distribution functions; 1 where nothing can be compared."""
    if feature.bins is None or not values.size or not feature.bins.total:
        return 1.0
    counts = np.bincount(feature.bins.locate(values), minlength=feature.bins.counts.size)
    return float(np.abs(np.cumsum(counts / values.size - feature.bins.shares)).max())


def variation(feature: FeatureReference, held: Coded) -> float:
    """The total variation distance of two distributions of levels, less what chance makes."""
    levels, rows = feature.levels, held.codes[held.codes >= 0]
    if levels is None or not rows.size:
        return 1.0
    places, _ = levels.located(held)
    seen = np.bincount(places[rows], minlength=levels.counts.size) / rows.size
    raw = float(np.abs(seen - levels.shares).sum()) / 2
    noise = float(np.sqrt(levels.shares * (1 - levels.shares) / free_rows(feature, rows.size)).sum())
    return max(0.0, raw - 0.4 * noise)


def apart(feature: FeatureReference, column: pa.ChunkedArray) -> float:
    """How far a column is from the feature, 0 to 1; 1 where its type does not fit."""
    held = read(column, feature.kind)
    if isinstance(held, Coded):
        return variation(feature, held)
    return 1.0 if held is None else distance(feature, held.values[np.isfinite(held.values)])


def quantiles(feature: FeatureReference, at: Floats) -> Floats:
    """Of the reference, within a bin in proportion, and written to as many decimals as it is."""
    bins = feature.bins
    if bins is None or not bins.total:
        return np.full(at.shape, np.nan)
    inner = np.asarray(bins.counts[1:-1])
    upper = np.cumsum(inner) / max(inner.sum(), 1)
    place = np.minimum(np.searchsorted(upper, at), inner.size - 1)
    left, right = bins.edges[:-1][place], bins.edges[1:][place]
    below = np.where(place > 0, upper[place - 1], 0.0)
    part = np.clip((at - below) / np.maximum(upper[place] - below, 1e-12), 0.0, 1.0)
    found = left + part * (right - left)
    places = decimals(feature)
    if places is None:
        return np.asarray(found)
    return np.asarray(np.ceil(found * 10.0**places - 1e-6) / 10.0**places)  # bins hold their right end


def share_below(feature: FeatureReference, value: float) -> float:
    """Of the reference, within a bin in proportion."""
    bins = feature.bins
    if bins is None or not bins.total or value <= bins.edges[0]:
        return 0.0
    upper = np.cumsum(bins.shares)[:-1]
    return float(np.interp(value, bins.edges, upper))


def unusual(feature: FeatureReference, values: Floats) -> Floats:
    """Without values that many rows of the reference share, such as zero."""
    bins = feature.bins
    if bins is None:
        return values
    return np.asarray(values[bins.shares[bins.locate(values)] < 0.02])


def decimals(feature: FeatureReference) -> int | None:
    """To which its values are written, None where they are not rounded: edges are values that were seen."""
    return None if feature.bins is None else decimals_of(feature.bins.edges)
