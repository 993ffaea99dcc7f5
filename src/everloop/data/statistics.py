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

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MAX_LEVELS = 100
_MAX_LEVEL_LENGTH = 200


def schema(table: pa.Table) -> tuple[Column, ...]:
    """Name and logical type of each column, in order."""
    return tuple(Column(field.name, type_name(field)) for field in table.schema)


def describe(table: pa.Table) -> dict[str, ColumnStatistics]:
    """The statistics of each column. NaN counts as missing.

    Mean, std, minimum, maximum and quantiles are of the finite values only; a figure that is not finite
    itself (the mean of numbers near 1e308) is None. Times of day are seconds since midnight.
    Levels longer than 200 characters are left out. ``distinct`` of nested values counts hashes.
    """
    return {name: _describe(table[name]) for name in table.column_names}


def _describe(column: pa.ChunkedArray) -> ColumnStatistics:
    array = canonical.joined(column)
    if kinds.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    array = canonical.decoded(array)
    rows = len(array)
    if kinds.is_floating(array.type):
        array = array.cast(pa.float64())
        array = array.filter(pc.invert(pc.is_nan(array)))
    array = array.drop_null()
    missing = rows - len(array)
    if kinds.is_large_string(array.type):
        return _of_levels(array, missing)
    if kinds.is_boolean(array.type):
        levels = _of_levels(array.cast(pa.large_string()), missing)
        return _of_numbers(array.cast(pa.float64()).to_numpy(), missing, levels.distinct, levels.levels)
    if kinds.is_null(array.type):
        return ColumnStatistics(0, missing, 0)
    if kinds.is_nested(array.type) or kinds.is_large_binary(array.type):
        hashes = identity.row_hashes(pa.table({"": array}))
        return ColumnStatistics(len(array), missing, len(np.unique(hashes)))
    return _of_numbers(_numbers(array), missing, pc.count_distinct(array).as_py())


def _numbers(array: pa.Array) -> npt.NDArray[np.float64]:
    """Numbers as doubles, times as seconds."""
    if kinds.is_temporal(array.type):
        parts = canonical.numbers(array, canonical.null_positions(array))
        if kinds.is_date(array.type):
            return parts[0] * 86_400.0
        return parts[0] + parts[1] * 1e-9
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _of_levels(array: pa.Array, missing: int) -> ColumnStatistics:
    counted = array.value_counts()
    values, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    shown = sorted(zip(values, counts, strict=True), key=lambda level: (-level[1], level[0]))[:_MAX_LEVELS]
    levels = {value: count for value, count in shown if len(value) <= _MAX_LEVEL_LENGTH}
    return ColumnStatistics(len(array), missing, len(values), levels=levels)


def _of_numbers(
    values: npt.NDArray[np.float64], missing: int, distinct: int, levels: Mapping[str, int] | None = None
) -> ColumnStatistics:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ColumnStatistics(len(values), missing, distinct, levels=levels or {})
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = np.quantile(finite, QUANTILES)
        mean, std = finite.mean(), finite.std(ddof=1) if len(finite) > 1 else math.nan
    return ColumnStatistics(
        count=len(values),
        missing=missing,
        distinct=distinct,
        mean=_finite(mean),
        std=_finite(std),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        quantiles={str(q): float(v) for q, v in zip(QUANTILES, quantiles, strict=True) if math.isfinite(v)},
        levels=levels or {},
    )


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
