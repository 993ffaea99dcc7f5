"""Segments back to a column's values: decoded, changed by patches and put in order, each value moved once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from everloop.core.errors import Corrupt

from . import numbers, parts
from .values import Mask, Numbers, Others, Places, Texts, Values, bits_of, present, text_kind, width_of

Segment = bytes | memoryview
Patch = tuple[Places, Values]


def decode(segments: Sequence[Segment], kind: pa.DataType, patches: Sequence[Patch] = ()) -> Values:
    """The values of segments, one after the other, with those of patches in their places. ``kind``: the type
    that is stored."""
    if width_of(kind):
        return _numbers(segments, kind, patches)
    if text_kind(kind) is not None:
        pool = TextPool(segments, kind)
        for places, changed in patches:
            pool.change(places, changed)
        return pool.texts()
    streams = [_stream(segment) for segment in segments]
    return Others(kind, pa.concat_arrays(streams) if streams else pa.nulls(0, kind))


class TextPool:
    """Texts as places in a pool, so that repeated ones are not copied until all is in order."""

    def __init__(self, segments: Sequence[Segment], kind: pa.DataType) -> None:
        self._kind = kind
        self._type = text_kind(kind)
        self._pools: list[pa.Array] = [pa.array([None], self._type)]
        self._size = 1
        self._as_they_are = True
        self._found = [self._add(parts.split(segment)) for segment in segments]
        self._changes: list[tuple[Places, int]] = []

    def change(self, places: Places, changed: Values) -> None:
        if not isinstance(changed, Texts):
            raise Corrupt("A patch of texts holds something else.")
        self._changes.append((places, self._pooled(changed.array)))
        self._as_they_are = False

    def texts(self, places: Places | None = None) -> Texts:
        """All of them, or those at ``places``, in that order."""
        if self._as_they_are and places is None:
            return Texts(self._kind, pa.concat_arrays(self._pools[1:] or [pa.array([], self._type)]))
        codes = self._codes() if places is None else self._codes()[places]
        return Texts(self._kind, pa.concat_arrays(self._pools).take(pa.array(codes)))

    def _codes(self) -> npt.NDArray[Any]:
        """The place in the pool of each text."""
        narrow = np.int32 if self._size < 2**31 else np.int64
        whole = np.empty(sum(rows for rows, *_ in self._found), narrow)
        begin = 0
        for rows, codes, first, mask in self._found:
            some = whole[begin : begin + rows]
            if codes is None:
                some[:] = np.arange(first, first + rows)
            else:
                np.add(codes, narrow(first), out=some, dtype=narrow, casting="unsafe")
            if mask is not None:
                some[~mask] = 0
            begin += rows
        for places, first in self._changes:
            whole[places] = np.arange(first, first + len(places))
        return whole

    def _add(self, inner: list[pa.Buffer]) -> tuple[int, npt.NDArray[Any] | None, int, Mask | None]:
        """How many texts a segment holds, their codes where they are coded, where in the pool code 0 is, and
        which of them are there."""
        if len(inner) == 3:
            lengths = numbers.decode(inner[1])
            texts = _texts(self._type, lengths, inner[2], _mask(inner[0], len(lengths)))
            return len(texts), None, self._pooled(texts), None
        self._as_they_are = False
        codes = numbers.decode(inner[1])
        first = self._pooled(_texts(self._type, numbers.decode(inner[2]), inner[3], None))
        return len(codes), codes, first, _mask(inner[0], len(codes))

    def _pooled(self, texts: pa.Array) -> int:
        """Where texts begin in the pool, now that they are there."""
        first = self._size
        self._pools.append(texts)
        self._size += len(texts)
        return first


def _numbers(segments: Sequence[Segment], kind: pa.DataType, patches: Sequence[Patch]) -> Numbers:
    inner = [parts.split(segment) for segment in segments]
    if len(segments) == 1 and not patches:
        words = numbers.decode(inner[0][1])
    else:
        words = numbers.decode_all([both[1] for both in inner], np.dtype(f"u{width_of(kind)}"))
    changes = [(places, changed) for places, changed in patches if isinstance(changed, Numbers)]
    if len(changes) < len(patches):
        raise Corrupt("A patch of numbers holds something else.")
    valid = None
    if any(both[0].size for both in inner) or any(changed.valid is not None for _, changed in changes):
        sizes = [numbers.rows_of(both[1]) for both in inner]
        masks = [_mask(both[0], size) for both, size in zip(inner, sizes, strict=True)]
        filled = [np.ones(n, bool) if mask is None else mask for n, mask in zip(sizes, masks, strict=True)]
        valid = np.concatenate([np.empty(0, bool), *filled])
    for places, changed in changes:
        words[places] = changed.words
        if valid is not None:
            valid[places] = present(changed)
    return Numbers(kind, words, valid)


def _texts(kind: pa.DataType, lengths: npt.NDArray[Any], text: pa.Buffer, valid: Mask | None) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] != text.size:
        raise Corrupt("A stored segment of text is not as long as its lengths say.")
    missing = None if valid is None else pa.py_buffer(bits_of(valid))
    return pa.Array.from_buffers(kind, len(lengths), [missing, pa.py_buffer(offsets), text])


def _stream(segment: Segment) -> pa.Array:
    with pa.ipc.open_stream(parts.split(segment)[0]) as reader:
        return reader.read_all()["values"].combine_chunks()


def _mask(bits: pa.Buffer, rows: int) -> Mask | None:
    if not bits.size:
        return None
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=rows, bitorder="little").astype(bool)
