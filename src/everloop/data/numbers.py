"""Segments of fixed-width numbers as few bytes.

The values come as their bits, unsigned words of 1, 2, 4 or 8 bytes. What is stored is the first form of these
that fits and pays: offsets from the smallest value, offsets of the differences (sorted keys, times), whole
multiples of a decimal fraction (prices held as floats), a table of few distinct values, the upper 16 bits
apart from the rest (other floats), the words as they are. Parts are compressed afterwards (``parts``).

Decimal multiples follow ALP (Afroozeh, Kuffo and Boncz 2023), without its exceptions: all values or none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from . import parts

Words = npt.NDArray[Any]

_PLAIN, _OFFSET, _DELTA, _DECIMAL, _TABLE, _SPLIT = range(6)
_HEAD = struct.Struct("<BBBQQQ")  # form, bytes per word, bytes per stored number, rows, two figures
_SCALES = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_SAMPLE = 256
_LARGEST = 2.0**53


def encode(words: Words, *, floating: bool) -> bytes:
    """``words`` (unsigned) as bytes. ``floating``: they are the bits of IEEE floats of 4 or 8 bytes."""
    if not len(words):
        return _stored(_PLAIN, words, [b""])
    sample = words[:: max(1, len(words) // _SAMPLE)]
    if floating:
        found = next(
            ((scale, whole) for scale in _SCALES if (whole := _wholes(words, sample, scale)) is not None),
            None,
        )
        if found:
            scale, whole = found
            multiples = encode(whole, floating=False)
            return _stored(_DECIMAL, words, [multiples], first=int(scale))
    else:
        narrow = _narrowed(words)
        if narrow is not None:
            return narrow
    if words.itemsize > 2 and len(np.unique(sample)) <= len(sample) // 2:
        table = pa.array(words).dictionary_encode()
        if len(table.dictionary) <= len(words) // 4:
            codes = table.indices.to_numpy().view(np.uint32)
            inner: list[bytes | memoryview] = [
                encode(codes, floating=False),
                _plain(table.dictionary.to_numpy()),
            ]
            return _stored(_TABLE, words, inner, first=len(table.dictionary))
    if floating and words.itemsize == 8:
        lanes = words.view(np.uint16).reshape(-1, 4)
        top = np.ascontiguousarray(lanes[:, 3])
        halves = [_plain(top.view(np.uint8)[at::2]) for at in (1, 0)]
        return _stored(_SPLIT, words, [*halves, _plain(lanes[:, :3])])
    return _stored(_PLAIN, words, [_plain(words)])


def decode(data: bytes | memoryview) -> Words:
    """The words that were encoded."""
    view = memoryview(data)
    form, width, narrow, rows, first, second = _HEAD.unpack_from(view)
    inner = parts.split(view[_HEAD.size :])
    if form == _PLAIN:
        return np.frombuffer(inner[0], f"u{width}", rows)
    words: Words = np.empty(rows, f"u{width}")
    _DECODERS[form](words, inner, first, second, narrow)
    return words


def decode_all(segments: Sequence[bytes | memoryview], kind: np.dtype[Any]) -> Words:
    """The words of several segments, one after the other, each written once."""
    heads = [_HEAD.unpack_from(segment) for segment in segments]
    words: Words = np.empty(sum(head[3] for head in heads), kind)
    begin = 0
    for segment, (form, _, narrow, rows, first, second) in zip(segments, heads, strict=True):
        inner = parts.split(memoryview(segment)[_HEAD.size :])
        _DECODERS[form](words[begin : begin + rows], inner, first, second, narrow)
        begin += rows
    return words


def rows_of(data: bytes | memoryview) -> int:
    """How many words were encoded."""
    return int(_HEAD.unpack_from(data)[3])


def _stored(
    form: int,
    words: Words,
    inner: list[bytes | memoryview],
    *,
    narrow: int = 0,
    first: int = 0,
    second: int = 0,
) -> bytes:
    return _HEAD.pack(form, words.itemsize, narrow, len(words), first, second) + parts.join(inner)


def _plain(array: Words) -> memoryview:
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _narrowed(words: Words) -> bytes | None:
    """As offsets from the smallest value, or from the smallest difference, in fewer bytes each."""
    signed = words.view(f"i{words.itemsize}").astype(np.int64, copy=False)
    low, high = int(signed.min()), int(signed.max())
    across = _bytes_for(high - low)
    if across > 1 and len(words) > 2:
        steps = np.diff(signed) if high - low < 2**63 else None
        if steps is not None:
            smallest, largest = int(steps.min()), int(steps.max())
            within = _bytes_for(largest - smallest)
            if within < across and within < words.itemsize:
                rest = _cut(steps - np.int64(smallest), within)
                first, second = _unsigned(int(signed[0])), _unsigned(smallest)
                return _stored(_DELTA, words, [rest], narrow=within, first=first, second=second)
    if across >= words.itemsize:
        return None
    with np.errstate(over="ignore"):
        rest = _cut(signed - np.int64(low), across)
    return _stored(_OFFSET, words, [rest], narrow=across, first=_unsigned(low))


def _bytes_for(span: int) -> int:
    return 0 if span == 0 else next(n for n in (1, 2, 4, 8, 16) if span < 256**n)


def _cut(values: Words, width: int) -> memoryview:
    return _plain(values.astype(f"u{width}")) if width else memoryview(b"")


def _unsigned(value: int) -> int:
    return value & (2**64 - 1)


def _wholes(words: Words, sample: Words, scale: float) -> Words | None:
    """The whole numbers that, divided by ``scale``, give every float to the last bit; None if some do not."""
    if len(sample) < len(words) and _wholes(sample, sample, scale) is None:
        return None
    values = words.view(f"f{words.itemsize}").astype(np.float64, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.rint(values * scale)
        if not (np.abs(whole) < _LARGEST).all():
            return None
    numbers = whole.astype(np.int64)
    return numbers.view(np.uint64) if np.array_equal(_divided(numbers, scale, words.dtype), words) else None


def _divided(numbers: Words, scale: float, kind: np.dtype[Any]) -> Words:
    return (numbers / scale).astype(f"f{kind.itemsize}", copy=False).view(kind)


def _decode_plain(words: Words, inner: list[Any], *_: int) -> None:
    words[:] = np.frombuffer(inner[0], words.dtype, len(words))


def _decode_offset(words: Words, inner: list[Any], first: int, _: int, narrow: int) -> None:
    low = np.uint64(first).astype(words.dtype)
    if narrow:
        np.add(np.frombuffer(inner[0], f"u{narrow}", len(words)), low, out=words, dtype=words.dtype)
    else:
        words[:] = low


def _decode_delta(words: Words, inner: list[Any], first: int, second: int, narrow: int) -> None:
    steps = np.full(len(words), np.uint64(second), np.uint64)
    if narrow:
        steps[1:] += np.frombuffer(inner[0], f"u{narrow}", len(words) - 1)
    steps[0] = first
    words[:] = np.cumsum(steps, out=steps)


def _decode_decimal(words: Words, inner: list[Any], first: int, *_: int) -> None:
    words[:] = _divided(decode(inner[0]).view(np.int64), float(first), words.dtype)


def _decode_table(words: Words, inner: list[Any], first: int, *_: int) -> None:
    words[:] = np.frombuffer(inner[1], words.dtype, first)[decode(inner[0])]


def _decode_split(words: Words, inner: list[Any], *_: int) -> None:
    lanes = words.view(np.uint16).reshape(-1, 4)
    top = np.empty((len(words), 2), np.uint8)
    top[:, 1], top[:, 0] = np.frombuffer(inner[0], np.uint8), np.frombuffer(inner[1], np.uint8)
    lanes[:, 3] = top.view(np.uint16)[:, 0]
    lanes[:, :3] = np.frombuffer(inner[2], np.uint16).reshape(-1, 3)


_DECODERS: dict[int, Callable[..., None]] = {
    _PLAIN: _decode_plain,
    _OFFSET: _decode_offset,
    _DELTA: _decode_delta,
    _DECIMAL: _decode_decimal,
    _TABLE: _decode_table,
    _SPLIT: _decode_split,
}
