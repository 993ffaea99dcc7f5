"""What is in a table: its schema and the statistics of each column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.data import Column, ColumnStatistics

from . import canonical, identity
from .types import type_name
from .workers import workers

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_LEVELS = 100
MAX_LEVEL_LENGTH = 200


def schema(of: pa.Schema) -> tuple[Column, ...]:
    """Name and logical type of each column, in order."""
    return tuple(Column(field.name, type_name(field)) for field in of)


def describe(table: pa.Table) -> dict[str, ColumnStatistics]:
    """The statistics of each column. NaN counts as missing.

    Mean, std, minimum, maximum and quantiles are of the finite values only; a figure that is not finite
    itself (the mean of numbers near 1e308) is None. Times of day are seconds since midnight.
    Levels longer than 200 characters are left out. ``distinct`` of nested values counts hashes.

    All figures are exact. Of large tables they are put together from blocks instead (``summaries``).
    """
    with workers() as pool:
        return dict(zip(table.column_names, pool.map(_describe, table.columns), strict=True))


def _describe(column: pa.ChunkedArray) -> ColumnStatistics:
    array = canonical.joined(column)
    if kinds.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    array = canonical.decoded(array)
    rows = len(array)
    if kinds.is_floating(array.type):
        array = array.cast(pa.float64())
        unknown = pc.is_nan(array)
        if pc.any(unknown).as_py():
            array = array.filter(pc.invert(unknown))
    if array.null_count:
        array = array.drop_null()
    missing = rows - len(array)
    if kinds.is_large_string(array.type):
        return _of_levels(array, missing)
    if kinds.is_boolean(array.type):
        yes = pc.sum(array).as_py() or 0
        found = {"true": yes, "false": rows - missing - yes}
        levels = dict(
            sorted(((k, n) for k, n in found.items() if n), key=lambda level: (-level[1], level[0]))
        )
        return _of_numbers(array.cast(pa.float64()).to_numpy(), missing, len(levels), levels)
    if kinds.is_null(array.type):
        return ColumnStatistics(0, missing, 0)
    if kinds.is_nested(array.type) or kinds.is_large_binary(array.type) or kinds.is_interval(array.type):
        hashes = identity.row_hashes(pa.table({"": array}))
        return ColumnStatistics(len(array), missing, len(np.unique(hashes)))
    return _of_numbers(as_doubles(array), missing, pc.count_distinct(array).as_py())


def as_doubles(array: pa.Array) -> npt.NDArray[np.float64]:
    """Of a decoded array: numbers as doubles, times as seconds."""
    if kinds.is_temporal(array.type):
        parts = canonical.numbers(array, canonical.null_positions(array))
        if kinds.is_date(array.type):
            return parts[0] * 86_400.0
        return parts[0] + parts[1] * 1e-9
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _of_levels(array: pa.Array, missing: int) -> ColumnStatistics:
    if not len(array):
        return ColumnStatistics(0, missing, 0)
    counted = array.value_counts()
    table = pa.table({"values": counted.field("values"), "counts": counted.field("counts")})
    keys = [("counts", "descending"), ("values", "ascending")]
    shown = table.take(pc.select_k_unstable(table, min(MAX_LEVELS, len(table)), keys))
    pairs = zip(shown["values"].to_pylist(), shown["counts"].to_pylist(), strict=True)
    levels = {value: count for value, count in pairs if len(value) <= MAX_LEVEL_LENGTH}
    return ColumnStatistics(len(array), missing, len(table), levels=levels)


def _of_numbers(
    values: npt.NDArray[np.float64], missing: int, distinct: int, levels: Mapping[str, int] | None = None
) -> ColumnStatistics:
    known = np.isfinite(values)
    usable = values if known.all() else values[known]
    if not len(usable):
        return ColumnStatistics(len(values), missing, distinct, levels=levels or {})
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = np.quantile(usable, QUANTILES)
        mean = usable.mean()
        around = usable - mean
        squares = np.multiply(around, around, out=around).sum()
        std = math.sqrt(squares / (len(usable) - 1)) if len(usable) > 1 else math.nan
    return ColumnStatistics(
        count=len(values),
        missing=missing,
        distinct=distinct,
        mean=finite(mean),
        std=finite(std),
        minimum=float(usable.min()),
        maximum=float(usable.max()),
        quantiles={str(q): float(v) for q, v in zip(QUANTILES, quantiles, strict=True) if math.isfinite(v)},
        levels=levels or {},
    )


def spread(values: npt.NDArray[np.float64], least: int) -> npt.NDArray[np.float64]:
    """All values, or about ``least`` of them (at most twice as many) from everywhere, always the same."""
    size = len(values) // least
    if size < 2:
        return values
    starts = np.arange(0, len(values) - size + 1, size)
    steps = identity.mixed(np.arange(len(starts), dtype=np.uint64)) % np.uint64(size)
    return values[starts + steps.astype(np.int64)]


def finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
