"""Arrays without their encodings: the one form of values that every hash is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from .types import unsupported

_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # per second
_DAY_MS = 86_400_000
_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])

Numbers = npt.NDArray[Any]
Piece = Any  # bytes, pa.Buffer or an array: what has the buffer protocol


def joined(column: pa.ChunkedArray) -> pa.Array:
    """All of a column as one array; strings become large ones first, so that no offset overflows."""
    if column.num_chunks == 1:
        return column.chunk(0)
    if kinds.is_string(column.type):
        column = column.cast(pa.large_string())
    elif kinds.is_binary(column.type):
        column = column.cast(pa.large_binary())
    return column.combine_chunks()


def decoded(array: pa.Array) -> pa.Array:
    """``array`` as one of: null, bool, integer, float, decimal256, a time, large_string, large_binary,
    struct, or some list with a ``flatten`` that leaves out what stands under nulls."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return decoded(array.storage)
    if kinds.is_dictionary(kind):
        return decoded(without_dictionary(array))
    if kinds.is_run_end_encoded(kind):
        return decoded(pc.run_end_decode(array))
    if kinds.is_string(kind) or kinds.is_string_view(kind):
        return array.cast(pa.large_string())
    if kinds.is_binary(kind) or kinds.is_binary_view(kind) or kinds.is_fixed_size_binary(kind):
        return array.cast(pa.large_binary())
    if kinds.is_decimal(kind):
        return array.cast(pa.decimal256(kind.precision, kind.scale))
    if kinds.is_map(kind):
        pair = pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)])
        return array.cast(pa.list_(pair))
    return array


def without_dictionary(array: pa.Array) -> pa.Array:
    """The values that the codes of a dictionary stand for."""
    if isinstance(array.type.value_type, pa.BaseExtensionType):  # whose decoding Arrow lacks
        return array.dictionary.take(array.indices)
    return array.dictionary_decode()


def null_positions(array: pa.Array) -> npt.NDArray[np.int64]:
    """Where a decoded array has no value, ascending."""
    if not array.null_count:
        return np.empty(0, np.int64)
    return np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)


def is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_large_string(kind) or kinds.is_large_binary(kind))


def is_list(kind: pa.DataType) -> bool:
    return bool(kinds.is_nested(kind) and not kinds.is_struct(kind) and not kinds.is_union(kind))


def lengths(array: pa.Array) -> npt.NDArray[np.int64]:
    """Of lists: how many items; 0 under nulls."""
    sizes = pc.list_value_length(array).fill_null(0)
    return np.asarray(sizes.to_numpy(zero_copy_only=False), np.int64)


def text(array: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Buffer]:
    """Of large strings or binaries: bytes per value (0 under nulls) and all bytes, one after the other."""
    if array.null_count and hides(array):
        array = array.fill_null(pa.scalar(b"" if kinds.is_large_binary(array.type) else "", array.type))
    ends, data = _ends(array)
    if data is None or not len(array):
        return np.diff(ends), pa.py_buffer(b"")
    return np.diff(ends), data.slice(int(ends[0]), int(ends[-1] - ends[0]))


def hides(array: pa.Array) -> bool:
    """Whether there are bytes under nulls."""
    ends, _ = _ends(array)
    return bool(np.diff(ends)[null_positions(array)].any())


def _ends(array: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Buffer | None]:
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.zeros(len(array) + 1, np.int64), None
    return np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8), data


def pieces(array: pa.Array) -> Iterator[Piece]:
    """What an array holds, in the order in which it is hashed: how many values, where they are missing, and
    the values; a struct's and a list's own values after that."""
    array = decoded(array)
    nulls = null_positions(array)
    yield len(array).to_bytes(8, "little")
    if kinds.is_null(array.type):
        return
    yield nulls
    if kinds.is_struct(array.type):
        for child in array.flatten():
            yield from pieces(child)
    elif is_list(array.type):
        yield lengths(array)
        yield from pieces(array.flatten())
    elif is_text(array.type):
        yield from text(array)
    else:
        yield from numbers(array, nulls)


def numbers(array: pa.Array, nulls: npt.NDArray[np.int64]) -> tuple[Numbers, ...]:
    """Fixed-width values as one or more arrays of one number per row, zero under ``nulls``.

    Times are (seconds, nanoseconds), dates days, calendar intervals (months, days, nanoseconds), decimals
    four 64-bit words of the unscaled number.
    Every NaN has the same bits; -0.0 stays different from 0.0.
    """
    return tuple(_zeroed(part, nulls) for part in _numbers(array))


def _numbers(array: pa.Array) -> tuple[Numbers, ...]:
    kind = array.type
    if kinds.is_boolean(kind):
        return (_values(array.cast(pa.uint8()), np.dtype(np.uint8)),)
    if kinds.is_integer(kind):
        return (_values(array, np.dtype(str(kind))),)
    if kinds.is_floating(kind):
        return (_one_nan(_values(array, np.dtype(f"f{kind.bit_width // 8}"))),)
    if kinds.is_decimal256(kind):
        words = _values(array, np.dtype((np.uint64, 4)))
        return tuple(np.ascontiguousarray(words[:, i]) for i in range(4))
    if kinds.is_date32(kind):
        return (_values(array, np.dtype(np.int32)).astype(np.int64),)
    if kinds.is_date64(kind):
        return (_values(array, np.dtype(np.int64)) // _DAY_MS,)
    if kinds.is_timestamp(kind) or kinds.is_time(kind) or kinds.is_duration(kind):
        return _seconds(_values(array, np.dtype(f"i{kind.bit_width // 8}")).astype(np.int64), kind.unit)
    if kinds.is_interval(kind):
        parts = _values(array, _INTERVAL)
        return tuple(np.ascontiguousarray(parts[name]) for name in _INTERVAL.names or ())
    raise unsupported(kind)


def _seconds(values: npt.NDArray[np.int64], unit: str) -> tuple[Numbers, Numbers]:
    ticks = _TICKS[unit]
    seconds = values // ticks
    return seconds, ((values - seconds * ticks) * (1_000_000_000 // ticks)).astype(np.int32)


def _values(array: pa.Array, kind: np.dtype[Any]) -> Numbers:
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.zeros(len(array), kind)
    return np.frombuffer(data, kind, len(array), array.offset * kind.itemsize)


def _one_nan(values: Numbers) -> Numbers:
    unknown = np.isnan(values)
    if not unknown.any():
        return values
    values = values.copy()
    values[unknown] = np.nan
    return values


def _zeroed(values: Numbers, nulls: npt.NDArray[np.int64]) -> Numbers:
    if not len(nulls):
        return values
    values = values.copy()
    values[nulls] = 0
    return values
