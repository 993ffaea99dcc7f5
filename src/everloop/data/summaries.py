"""Statistics of large tables, block by block: what is known of a block is kept, and blocks are merged.

A block's summary holds counts, moments and extremes (merged exactly, after Chan, Golub and LeVeque 1983), 64
quantiles of a spread sample (merged by weight: ranks are right within 1 %), the most frequent levels, and the
smallest 512 hashes of its values, from which the number of different ones is estimated (Beyer et al. 2007:
exact up to 512 in every block, else right within about 10 %).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.data import ColumnStatistics

from . import identity, parts, rows, statistics
from .values import Numbers, Texts, Values

LARGE = 131_072  # rows: below, statistics are those of all values at once
EXACT = 512  # different values that are counted, and not estimated, however many rows there are
_POINTS = 64
_SPREAD = 4_096
_HASHES = EXACT
_LEVELS = 200
_UNIQUE = 0.95  # of a sample of texts
_BITS = 40  # of each hash that are kept


@dataclass(frozen=True)
class Summary:
    """``values`` finite ones were averaged; ``m2``: the sum of squares around their mean. ``all_hashes`` and
    ``all_levels``: nothing was left out."""

    count: int
    missing: int
    values: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    levels: dict[str, int] = field(default_factory=dict)
    all_hashes: bool = True
    points: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    hashes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))


def summarise(found: Values) -> Summary:
    """The summary of a block."""
    if isinstance(found, Texts):
        return _of_texts(found)
    if isinstance(found, Numbers):
        return _of_numbers(found)
    array = found.array.drop_null()
    hashes = identity.row_hashes(pa.table({"": array}))
    kept, complete = _smallest(hashes)
    return Summary(len(array), len(found) - len(array), hashes=kept, all_hashes=complete)


def encode(summary: Summary) -> bytes:
    """A summary as a segment."""
    plain = {k: v for k, v in vars(summary).items() if k not in ("points", "hashes")}
    text = json.dumps({k: _told(v) for k, v in plain.items()}, separators=(",", ":")).encode()
    return parts.join([text, summary.points.tobytes(), summary.hashes.astype("<u8").tobytes()])


def mark_of(segment: bytes) -> bytes:
    """The fingerprint of an encoded summary."""
    return bytes(blake3.blake3(segment).digest())


def decode(segment: bytes | memoryview) -> Summary:
    """The summary in a segment."""
    text, points, hashes = parts.split(segment)
    plain = json.loads(bytes(text))
    plain["minimum"] = math.inf if plain["minimum"] is None else plain["minimum"]
    plain["maximum"] = -math.inf if plain["maximum"] is None else plain["maximum"]
    return Summary(**plain, points=np.frombuffer(points), hashes=np.frombuffer(hashes, "<u8"))


def merge(summaries: Sequence[Summary]) -> ColumnStatistics:
    """The statistics of blocks taken together."""
    count = sum(s.count for s in summaries)
    missing = sum(s.missing for s in summaries)
    levels: Counter[str] = Counter()
    for summary in summaries:
        levels.update(summary.levels)
    shown = sorted(levels.items(), key=lambda level: (-level[1], level[0]))[: statistics.MAX_LEVELS]
    kept = {name: n for name, n in shown if len(name) <= statistics.MAX_LEVEL_LENGTH}
    distinct = min(_distinct(summaries), count)
    some = [s for s in summaries if s.values]
    if not some:
        return ColumnStatistics(count, missing, distinct, levels=kept)
    total = sum(s.values for s in some)
    mean = math.fsum(s.mean * (s.values / total) for s in some)
    m2 = math.fsum(s.m2 + s.values * (s.mean - mean) ** 2 for s in some)
    return ColumnStatistics(
        count=count,
        missing=missing,
        distinct=distinct,
        mean=statistics.finite(mean),
        std=statistics.finite(math.sqrt(m2 / (total - 1))) if total > 1 else None,
        minimum=min(s.minimum for s in some),
        maximum=max(s.maximum for s in some),
        quantiles=_quantiles(some),
        levels=kept,
    )


def _of_texts(found: Texts) -> Summary:
    count = len(found) - found.array.null_count
    if found.sampled > _UNIQUE and count > _LEVELS:  # its levels tell nothing
        present = Texts(found.kind, found.array.drop_null() if found.array.null_count else found.array)
        kept, complete = _smallest(rows.hashes({"": present}, ("",), count))
        return Summary(count, len(found) - count, hashes=kept, all_hashes=complete)
    if found.coded is not None:
        codes = found.coded.indices.drop_null().to_numpy()
        values, counts = (
            found.coded.dictionary,
            pa.array(np.bincount(codes, minlength=len(found.coded.dictionary))),
        )
    else:
        counted = found.array.value_counts()
        counted = counted.filter(counted.field("values").is_valid())
        values, counts = counted.field("values"), counted.field("counts")
    kept, complete = _smallest(rows.hashes({"": Texts(values.type, values)}, ("",), len(values)))
    levels: dict[str, int] = {}
    if kinds.is_large_string(values.type):
        table = pa.table({"values": values, "counts": counts})
        if len(table) > _LEVELS:  # of so many those that come once tell nothing
            table = table.filter(pc.field("counts") > 1)
        keys = [("counts", "descending"), ("values", "ascending")]
        top = table.take(pc.select_k_unstable(table, _LEVELS, keys)) if len(table) else table
        levels = dict(zip(top["values"].to_pylist(), top["counts"].to_pylist(), strict=True))
        levels = {name: n for name, n in levels.items() if len(name) <= statistics.MAX_LEVEL_LENGTH}
    return Summary(count, len(found) - count, levels=levels, hashes=kept, all_hashes=complete)


def _of_numbers(found: Numbers) -> Summary:
    words = found.words if found.valid is None else found.words[found.valid]
    present = Numbers(found.kind, words, None)
    numbers = statistics.as_doubles(present.to_arrow())
    if kinds.is_floating(found.kind):
        known = ~np.isnan(numbers)
        if not known.all():
            words, numbers = words[known], numbers[known]
    kept, complete = _smallest(identity.mixed(words.astype(np.uint64)))
    levels = {}
    if kinds.is_boolean(found.kind):
        yes = int(words.sum())
        levels = {name: n for name, n in (("true", yes), ("false", len(words) - yes)) if n}
    finite = np.isfinite(numbers)
    values = numbers if finite.all() else numbers[finite]
    missing = len(found) - len(words)
    if not len(values):
        return Summary(len(words), missing, levels=levels, hashes=kept, all_hashes=complete)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        around = values - mean
        m2 = float(np.multiply(around, around, out=around).sum())
    sample = np.sort(statistics.spread(values, _SPREAD))
    places = (np.arange(_POINTS) + 0.5) / _POINTS * (len(sample) - 1)
    points = np.interp(places, np.arange(len(sample)), sample) if len(sample) > _POINTS else sample
    return Summary(
        len(words),
        missing,
        values=len(values),
        mean=mean,
        m2=m2,
        minimum=float(values.min()),
        maximum=float(values.max()),
        levels=levels,
        hashes=kept,
        all_hashes=complete,
        points=points,
    )


def _smallest(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], bool]:
    """The smallest of the different hashes, and whether that is all of them."""
    hashes = hashes >> np.uint64(64 - _BITS)
    few = hashes
    if len(hashes) > 8 * _HASHES:
        few = hashes[hashes < np.uint64(2**_BITS // len(hashes) * 4 * _HASHES)]
    different = _unique(few)
    if len(different) < _HASHES and len(few) < len(hashes):
        different = _unique(hashes)
    return different[:_HASHES], len(different) <= _HASHES


def _unique(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Ascending. Arrow finds the different ones of many equal ones without sorting all."""
    return np.sort(pa.array(hashes).unique().to_numpy())


def _distinct(summaries: Sequence[Summary]) -> int:
    ordered = np.sort(np.concatenate([np.empty(0, np.uint64), *(s.hashes for s in summaries)]))
    every = ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered
    limits: list[int] = [int(s.hashes[-1]) for s in summaries if not s.all_hashes]
    if not limits:
        return len(every)
    limit = min(limits)
    below = int(np.searchsorted(every, np.uint64(limit)))
    return round(below * (float(1 << _BITS) / limit))


def _quantiles(summaries: Sequence[Summary]) -> dict[str, float]:
    """Of weighted points: each stands for the middle of its share of the values."""
    points = np.concatenate([s.points for s in summaries])
    weights = np.concatenate([np.full(len(s.points), s.values / len(s.points)) for s in summaries])
    order = np.argsort(points, kind="stable")
    points, weights = points[order], weights[order]
    middles = (np.cumsum(weights) - weights / 2) / weights.sum()
    found = np.interp(statistics.QUANTILES, middles, points)
    named = zip(statistics.QUANTILES, found, strict=True)
    return {str(q): float(v) for q, v in named if math.isfinite(v)}


def _told(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
