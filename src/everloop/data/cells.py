"""Values of two columns side by side: brought to one form, compared exactly, shown to people.

Two values are equal where they say the same: whatever the width of integers and floats, the unit of times,
the scale of decimals, the encoding of texts. NaN equals NaN, a missing value a missing one; -0.0 is not 0.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.data import Cell

from . import canonical, identity
from .types import type_name

Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_EXACT = 2**53  # from here on not every integer has a double


def aligned(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[pa.Array, pa.Array] | None:
    """Both columns in one form; None where their types have nothing in common (text and numbers …)."""
    return _aligned(canonical.joined(before), canonical.joined(after))


def differ(before: pa.Array, after: pa.Array) -> Mask:
    """Of two aligned arrays of one length: where they differ."""
    gaps = _missing(before) ^ _missing(after)
    kind = before.type
    if kinds.is_null(kind):
        return gaps
    if canonical.is_text(kind):
        gaps |= pc.not_equal(before, after).fill_null(False).to_numpy(zero_copy_only=False)
        return gaps
    if kinds.is_struct(kind):
        for one, other in zip(before.flatten(), after.flatten(), strict=True):
            gaps |= _differ_inside(one, other)
        return gaps
    if canonical.is_list(kind):
        return _differ_lists(before, after, gaps)
    for one, other in zip(_numbers(before), _numbers(after), strict=True):
        gaps |= one != other
    return gaps


def words(before: pa.Array, after: pa.Array) -> list[tuple[Words, Words]]:
    """Each value of two aligned arrays as numbers: two values are equal where all their numbers are.

    Of lists and structs the number is a hash, so that equal numbers do not prove equal values.
    """
    kind = before.type
    if kinds.is_null(kind):
        return []
    if canonical.is_text(kind):
        codes = pa.concat_arrays([before, after]).dictionary_encode(null_encoding="encode").indices
        return [_split(codes.to_numpy(zero_copy_only=False), len(before))]
    if kinds.is_nested(kind):
        hashes = [identity.row_hashes(pa.table({"": array})) for array in (before, after)]
        return [(hashes[0], hashes[1])]
    found = [(_word(a), _word(b)) for a, b in zip(_numbers(before), _numbers(after), strict=True)]
    if before.null_count or after.null_count:
        found.append((_missing(before).astype(np.uint64), _missing(after).astype(np.uint64)))
    return [pair for pair in found if len(found) == 1 or any(part.any() for part in pair)]


def shown(array: pa.Array, places: Places | Sequence[int]) -> list[Cell]:
    """The values at some places, as people and JSON read them."""
    return [_cell(scalar) for scalar in array.take(pa.array(places, pa.int64()))]


def _aligned(before: pa.Array, after: pa.Array) -> tuple[pa.Array, pa.Array] | None:
    before, after = canonical.decoded(before), canonical.decoded(after)
    one, other = before.type, after.type
    if kinds.is_null(one) or kinds.is_null(other):
        kind = other if kinds.is_null(one) else one
        empty = [pa.nulls(len(array), kind) for array in (before, after)]
        return (empty[0] if kinds.is_null(one) else before), (empty[1] if kinds.is_null(other) else after)
    if _is_number(one) and _is_number(other):
        return _aligned_numbers(before, after)
    if kinds.is_decimal(one) and kinds.is_decimal(other):
        return _cast(before, after, pa.decimal256(76, max(one.scale, other.scale)))
    if kinds.is_timestamp(one) and kinds.is_timestamp(other):
        return (before, after) if bool(one.tz) == bool(other.tz) else None
    families = (kinds.is_date, kinds.is_time, kinds.is_duration)
    if any(is_one(one) and is_one(other) for is_one in families):
        return before, after
    if kinds.is_nested(one) or kinds.is_nested(other):
        same = type_name(pa.field("", one)) == type_name(pa.field("", other))
        return (before, after) if same else None
    return (before, after) if one == other else None


def _aligned_numbers(before: pa.Array, after: pa.Array) -> tuple[pa.Array, pa.Array] | None:
    one, other = before.type, after.type
    if kinds.is_floating(one) and kinds.is_floating(other):
        return before.cast(pa.float64()), after.cast(pa.float64())
    if kinds.is_integer(one) and kinds.is_integer(other):
        if pa.uint64() not in (one, other):
            return before.cast(pa.int64()), after.cast(pa.int64())
        return _cast(before, after, pa.uint64()) or _cast(before, after, pa.decimal256(76, 0))
    whole = before if kinds.is_integer(one) else after
    ends = pc.min_max(whole).as_py()
    if ends["min"] is not None and max(-ends["min"], ends["max"]) > _EXACT:
        return None
    return pc.add(before.cast(pa.float64()), 0.0), pc.add(after.cast(pa.float64()), 0.0)


def _cast(before: pa.Array, after: pa.Array, kind: pa.DataType) -> tuple[pa.Array, pa.Array] | None:
    try:
        return before.cast(kind), after.cast(kind)
    except pa.ArrowInvalid:  # a value does not fit
        return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind))


def _differ_inside(before: pa.Array, after: pa.Array) -> Mask:
    pair = _aligned(before, after)
    return differ(*pair) if pair else np.ones(len(before), bool)


def _differ_lists(before: pa.Array, after: pa.Array, gaps: Mask) -> Mask:
    sizes = canonical.lengths(before)
    different: Mask = gaps | (sizes != canonical.lengths(after))
    same = np.flatnonzero(~different & (sizes > 0))
    if len(same):
        places = pa.array(same)
        inner = _differ_inside(before.take(places).flatten(), after.take(places).flatten())
        starts = np.concatenate([[0], np.cumsum(sizes[same])[:-1]])
        different[same] = np.logical_or.reduceat(inner, starts)
    return different


def _numbers(array: pa.Array) -> tuple[npt.NDArray[Any], ...]:
    """Fixed-width values as whole numbers: of floats the bits, each NaN the same."""
    parts = canonical.numbers(array, canonical.null_positions(array))
    return tuple(part.view(f"u{part.dtype.itemsize}") if part.dtype.kind == "f" else part for part in parts)


def _word(values: npt.NDArray[Any]) -> Words:
    if values.dtype == np.uint64:
        return values
    return values.astype(np.uint64) if values.dtype.kind == "u" else values.astype(np.int64).view(np.uint64)


def _split(codes: npt.NDArray[Any], at: int) -> tuple[Words, Words]:
    found = codes.astype(np.uint64)
    return found[:at], found[at:]


def _missing(array: pa.Array) -> Mask:
    if not array.null_count:
        return np.zeros(len(array), bool)
    mask: Mask = array.is_null().to_numpy(zero_copy_only=False)
    return mask.copy()


def _cell(scalar: pa.Scalar) -> Cell:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # a time that Python has no object for
        return str(scalar)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
