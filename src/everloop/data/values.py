"""A column's values in the form they are stored in, free of chunks, offsets and what stands under nulls.

Three kinds: ``Numbers`` (fixed width, as the words of their bits), ``Texts`` (strings and binaries) and
``Others`` (decimals, lists, structs …, as Arrow holds them). Dictionaries are stored as values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from . import canonical, numbers, parts

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """``words``: the bits of each value, 0 where missing; ``valid``: where there is one (None: all over)."""

    kind: pa.DataType
    words: npt.NDArray[Any]
    valid: Mask | None

    def __len__(self) -> int:
        return len(self.words)

    def cut(self, start: int, stop: int) -> Numbers:
        valid = None if self.valid is None else self.valid[start:stop]
        if valid is not None and valid.all():
            valid = None
        return replace(self, words=self.words[start:stop], valid=valid)

    def at(self, places: Places) -> Numbers:
        """The values at ``places``; missing ones where a place is negative."""
        words = self.words[places]
        valid = None if self.valid is None else self.valid[places]
        if len(places) and places.min() < 0:
            absent = places < 0
            words[absent] = 0
            valid = ~absent if valid is None else valid & ~absent
        if valid is not None and valid.all():
            valid = None
        return replace(self, words=words, valid=valid)

    def differs(self, other: Numbers) -> Mask:
        different: Mask = self.words != other.words
        if self.valid is not None or other.valid is not None:
            different |= present(self) != present(other)
        return different

    @cached_property
    def fingerprint(self) -> bytes:
        return _digest(self.kind, len(self), bits_of(self.valid), self.words.data)

    def encode(self) -> bytes:
        floating = kinds.is_float32(self.kind) or kinds.is_float64(self.kind)
        return parts.join([bits_of(self.valid), numbers.encode(self.words, floating=floating)])

    def to_arrow(self) -> pa.Array:
        missing = None if self.valid is None else pa.py_buffer(bits_of(self.valid))
        data = bits_of(self.words.astype(bool)) if kinds.is_boolean(self.kind) else self.words
        return pa.Array.from_buffers(self.kind, len(self), [missing, pa.py_buffer(data)])


@dataclass(frozen=True)
class Texts:
    """``array``: a large_string or large_binary, nothing under its nulls; ``kind``: what it stands for."""

    kind: pa.DataType
    array: pa.Array

    def __len__(self) -> int:
        return len(self.array)

    def cut(self, start: int, stop: int) -> Texts:
        return replace(self, array=self.array.slice(start, stop - start))

    def at(self, places: Places) -> Texts:
        return replace(self, array=_taken(self.array, places))

    def differs(self, other: Texts) -> Mask:
        different = pc.not_equal(self.array, other.array).fill_null(False)
        gaps = pc.xor(self.array.is_null(), other.array.is_null())
        mask: Mask = pc.or_(different, gaps).to_numpy(zero_copy_only=False)
        return mask

    @cached_property
    def fingerprint(self) -> bytes:
        ends, text = text_of(self.array)
        return _digest(self.kind, len(self), bits_of(_valid(self.array)), ends.data, text)

    @cached_property
    def sampled(self) -> float:
        """The share of different ones in a sample of the values."""
        sample = self.array.take(pa.array(np.arange(0, len(self), max(1, len(self) // 256))))
        return float(pc.count_distinct(sample).as_py() / max(len(sample), 1))

    @cached_property
    def coded(self) -> pa.DictionaryArray | None:
        """Codes and the values they stand for, where many values are equal."""
        if self.sampled > 0.5:
            return None
        found = self.array.dictionary_encode()
        return found if len(found.dictionary) <= len(self) // 4 else None

    def encode(self) -> bytes:
        missing = bits_of(_valid(self.array))
        if self.coded is not None:
            codes = self.coded.indices.fill_null(0).to_numpy().astype(np.uint32)
            ends, text = text_of(self.coded.dictionary)
            levels = numbers.encode(np.diff(ends).view(np.uint64), floating=False)
            return parts.join([missing, numbers.encode(codes, floating=False), levels, text])
        ends, text = text_of(self.array)
        return parts.join([missing, numbers.encode(np.diff(ends).view(np.uint64), floating=False), text])

    def to_arrow(self) -> pa.Array:
        return self.array if self.array.type == self.kind else self.array.cast(self.kind)


@dataclass(frozen=True)
class Others:
    """Anything else. Its segments are stored as Arrow streams and compared by what they hold, as a whole."""

    kind: pa.DataType
    array: pa.Array

    def __len__(self) -> int:
        return len(self.array)

    def cut(self, start: int, stop: int) -> Others:
        return replace(self, array=self.array.slice(start, stop - start))

    def at(self, places: Places) -> Others:
        return replace(self, array=_taken(self.array, places))

    @cached_property
    def fingerprint(self) -> bytes:
        return _digest(self.kind, len(self), *canonical.pieces(self.array))

    def encode(self) -> bytes:
        compact = self.array.take(pa.array(np.arange(len(self))))  # leaves out what slices and nulls hide
        sink = pa.BufferOutputStream()
        schema = pa.schema([pa.field("values", self.kind)])
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.record_batch([compact], schema=schema))
        return parts.join([sink.getvalue()])

    def to_arrow(self) -> pa.Array:
        return self.array


Values = Numbers | Texts | Others


@dataclass(frozen=True)
class Column:
    """A column of numbers or texts that comes in chunks, of which parts are read as they are asked for: as a
    whole it would be copied."""

    column: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.column)

    def cut(self, start: int, stop: int) -> Values:
        return of(self.column.slice(start, stop - start))

    def at(self, places: Places) -> Values:
        return self._whole.at(places)

    @cached_property
    def _whole(self) -> Values:
        return of(self.column)


def parted(column: pa.ChunkedArray) -> Values | Column:
    """The values of a column most of whose parts are only compared."""
    plain = width_of(column.type) or text_kind(column.type) is not None
    return Column(column) if plain and column.num_chunks > 1 else of(column)


def of(column: pa.ChunkedArray) -> Values:
    """The values of a column. Dictionaries, run-end encodings and extensions come as what they stand for."""
    array = canonical.joined(column)
    while True:
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        elif kinds.is_dictionary(array.type):
            array = canonical.without_dictionary(array)
        elif kinds.is_run_end_encoded(array.type):
            array = pc.run_end_decode(array)
        else:
            break
    kind = array.type
    if kinds.is_string(column.type) or kinds.is_binary(column.type):
        kind = column.type  # whether or not it came in chunks, so that its parts have one fingerprint
    if kinds.is_boolean(kind):
        return replace(_numbers(array.cast(pa.uint8()), 1), kind=kind)
    width = width_of(kind)
    if width:
        return _numbers(array, width)
    text = text_kind(kind)
    if text is not None:
        whole = _widened(array, text)
        return Texts(kind, _emptied(whole) if whole.null_count and canonical.hides(whole) else whole)
    return Others(kind, array)


def plain(found: Values) -> pa.Array:
    """Values as an array, of large texts where they are texts."""
    return found.to_arrow() if isinstance(found, Numbers) else found.array


def stored_kind(kind: pa.DataType) -> pa.DataType:
    """The type that the values of a column of type ``kind`` are stored as."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def joined(pieces: Sequence[Values]) -> Values:
    """Values of one kind, one after the other (at least one piece)."""
    first = pieces[0]
    if len(pieces) == 1:
        return first
    if not isinstance(first, Numbers):
        arrays = [piece.array for piece in pieces if not isinstance(piece, Numbers)]
        return replace(first, array=pa.concat_arrays(arrays))
    several = [piece for piece in pieces if isinstance(piece, Numbers)]
    gaps = any(piece.valid is not None for piece in several)
    valid = np.concatenate([present(piece) for piece in several]) if gaps else None
    return replace(first, words=np.concatenate([piece.words for piece in several]), valid=valid)


def _numbers(array: pa.Array, width: int) -> Numbers:
    kind = np.dtype(f"u{width}")
    data = array.buffers()[1]
    size = len(array)
    words = np.zeros(size, kind) if data is None else np.frombuffer(data, kind, size, array.offset * width)
    valid = _valid(array)
    if valid is not None:
        words = np.where(valid, words, kind.type(0))
    return Numbers(array.type, words, valid)


def _taken(array: pa.Array, places: Places) -> pa.Array:
    gaps = len(places) and places.min() < 0
    return array.take(pa.array(places, mask=places < 0) if gaps else pa.array(places))


def _widened(array: pa.Array, text: pa.DataType) -> pa.Array:
    """Texts with offsets of 64 bits. Arrow's cast writes those before a slice, too."""
    if not (kinds.is_string(array.type) or kinds.is_binary(array.type)) or not len(array):
        return array.cast(text)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
    missing = pa.py_buffer(bits_of(_valid(array))) if array.null_count else None
    held = pa.py_buffer(b"") if data is None else data
    return pa.Array.from_buffers(text, len(array), [missing, pa.py_buffer(ends), held])


def _emptied(array: pa.Array) -> pa.Array:
    """A text array with no bytes under its nulls."""
    empty = pa.scalar(b"" if kinds.is_large_binary(array.type) else "", array.type)
    bare = array.fill_null(empty)
    buffers = bare.buffers()
    missing = pa.py_buffer(bits_of(_valid(array)))
    if bare.offset:
        bare = pa.concat_arrays([bare, bare.slice(0, 0)])
        buffers = bare.buffers()
    return pa.Array.from_buffers(array.type, len(array), [missing, *buffers[1:]])


def text_of(array: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Buffer]:
    """Where each value ends, from 0 on, and all bytes."""
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.zeros(1, np.int64), pa.py_buffer(b"")
    ends = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    first, last = int(ends[0]), int(ends[-1])
    text = pa.py_buffer(b"") if data is None else data.slice(first, last - first)
    return (ends - first if first else ends), text


def width_of(kind: pa.DataType) -> int:
    """Bytes per value of what is held as numbers; 0 for everything else."""
    if kinds.is_boolean(kind):
        return 1
    if (
        kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or (kinds.is_temporal(kind) and not kinds.is_interval(kind))
    ):
        return int(kind.bit_width // 8)
    return 0


def text_kind(kind: pa.DataType) -> pa.DataType | None:
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pa.large_string()
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
        return pa.large_binary()
    return None


def _valid(array: pa.Array) -> Mask | None:
    if not array.null_count:
        return None
    mask: Mask = array.is_valid().to_numpy(zero_copy_only=False)
    return mask


def present(values: Numbers) -> Mask:
    return np.ones(len(values), bool) if values.valid is None else values.valid


def bits_of(valid: Mask | None) -> bytes:
    return b"" if valid is None else np.packbits(valid, bitorder="little").tobytes()


def _digest(kind: pa.DataType, rows: int, *pieces: bytes | memoryview | pa.Buffer) -> bytes:
    hasher = blake3.blake3(f"{kind}/{rows}".encode())
    for piece in pieces:
        view = memoryview(piece)
        hasher.update(view.nbytes.to_bytes(8, "little"))
        if view.nbytes:
            hasher.update(view.cast("B"))
    return bytes(hasher.digest())
