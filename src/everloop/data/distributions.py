"""How a column's values are spread in two versions, in few numbers: what a small picture needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from . import canonical, statistics

_BINS = 30
_LEVELS = 6
_OTHERS = "all others"

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Spread:
    """Shares of the rows, before and after: between ``edges`` (times as seconds since 1970), or by level."""

    name: str
    before: Numbers
    after: Numbers
    edges: Numbers
    levels: tuple[str, ...] = ()
    is_time: bool = False


def spread(name: str, before: pa.ChunkedArray, after: pa.ChunkedArray) -> Spread | None:
    """Both columns over the same bins or levels. None for what has no order and no names: lists, bytes …"""
    old, new = (canonical.decoded(canonical.joined(column)) for column in (before, after))
    kind = (new if kinds.is_null(old.type) else old).type
    if kinds.is_large_string(kind) or kinds.is_boolean(kind):
        return _by_level(name, old, new)
    is_time = kinds.is_temporal(kind) and not kinds.is_duration(kind) and not kinds.is_time(kind)
    if any(kinds.is_nested(each.type) or canonical.is_text(each.type) for each in (old, new)):
        return None
    return _by_value(name, _doubles(old), _doubles(new), is_time=is_time)


def _by_value(name: str, old: Numbers, new: Numbers, *, is_time: bool) -> Spread | None:
    values = [each[np.isfinite(each)] for each in (old, new)]
    filled = [each for each in values if len(each)]
    if not filled:
        return None
    edges = _edges(filled)
    shares = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / max(len(v), 1) for v in values]
    return Spread(name, shares[0], shares[1], edges, is_time=is_time)


def _edges(filled: list[Numbers]) -> Numbers:
    """Bins of all but the outermost values: one outlier must not flatten all others."""
    ends = [np.quantile(each, (0.005, 0.995)) for each in filled]
    low, high = float(min(e[0] for e in ends)), float(max(e[1] for e in ends))
    if high - low <= _BINS and all((each == np.floor(each)).all() for each in filled):
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)  # few whole numbers: one bin each
    margin = 0.0 if low < high else max(abs(low) * 0.05, 0.5)
    return np.linspace(low - margin, high + margin, _BINS + 1)


def _by_level(name: str, old: pa.Array, new: pa.Array) -> Spread | None:
    counts = [_counted(array) for array in (old, new)]
    totals = [max(sum(count.values()), 1) for count in counts]
    shares = [
        {level: n / total for level, n in count.items()} for count, total in zip(counts, totals, strict=True)
    ]
    names = sorted({*shares[0], *shares[1]}, key=lambda n: -(shares[0].get(n, 0.0) + shares[1].get(n, 0.0)))
    if not names:
        return None
    chosen = names[:_LEVELS]
    found = [[share.get(level, 0.0) for level in chosen] for share in shares]
    if len(names) > _LEVELS:
        chosen = [*chosen, _OTHERS]
        found = [[*each, 1 - sum(each)] for each in found]
    return Spread(name, np.array(found[0]), np.array(found[1]), np.empty(0), tuple(chosen))


def _counted(array: pa.Array) -> dict[str, int]:
    counted = pc.value_counts(array.cast(pa.large_string()).drop_null())
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return {str(value): int(count) for value, count in pairs}


def _doubles(array: pa.Array) -> Numbers:
    array = array.drop_null()
    return np.empty(0) if kinds.is_null(array.type) else statistics.as_doubles(array)
