"""What a table is called: hashes of its logical content, never of Parquet or Arrow bytes.

Format ``everloop.table/2``. A leaf is 65,536 values of a column (the last one: what is left). Its digest is
the hash of these values in canonical form (``canonical``): first how many, then the positions of the missing
ones, then the values, each part preceded by its length in bytes. A column's digest is the hash of its number
of values and the digests of its leaves; in between, of an ordered category, the digest of its levels. The
version id is the hash of a small JSON document with the format, the row count and each column's name, logical
type and digest, in order. So the id does not change with chunks, encodings, time units, schema metadata, or
the version of any library. Golden tests pin it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as kinds
from blake3 import blake3

from everloop.core.errors import InvalidSettings, UnknownColumn, nearest

from . import canonical
from .types import type_name
from .workers import workers

FORMAT = "everloop.table/2"
LEAF = 65_536  # values
ALGORITHMS = (*sorted(a for a in hashlib.algorithms_guaranteed if not a.startswith("shake")), "blake3")

Hashes = npt.NDArray[np.uint64]


class Hasher(Protocol):
    def update(self, data: Any, /) -> Any: ...

    def digest(self) -> bytes: ...

    def hexdigest(self) -> str: ...


def version_id(table: pa.Table, algorithm: str = "sha256") -> str:
    """The hex digest of the table's schema and values. Column order and row order count.

    Raises InvalidSettings for an unknown algorithm, WrongType for unions.
    """
    return assemble(table.schema, table.num_rows, column_digests(table, algorithm), algorithm)


def column_digests(table: pa.Table, algorithm: str) -> list[str]:
    """The hex digest of each column's values, in order. Raises as ``version_id`` does."""
    check(table.schema, algorithm)
    with workers() as pool:
        return list(pool.map(lambda column: column_digest(column, algorithm), table.columns))


def check(schema: pa.Schema, algorithm: str) -> None:
    """Raises InvalidSettings for an unknown algorithm, WrongType for columns that cannot be versioned."""
    new_hasher(algorithm)
    for field in schema:
        type_name(field)


def assemble(schema: pa.Schema, rows: int, digests: Sequence[str], algorithm: str) -> str:
    """The version id of a table of which the digest of each column is known."""
    columns = [[f.name, type_name(f), digest] for f, digest in zip(schema, digests, strict=True)]
    document = {"format": FORMAT, "rows": rows, "columns": columns}
    hasher = new_hasher(algorithm)
    hasher.update(json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii"))
    return hasher.hexdigest()


def row_hashes(table: pa.Table, columns: Sequence[str] | None = None) -> Hashes:
    """One 64-bit hash per row over ``columns`` (all by default): equal rows, equal hashes.

    The order of columns, encodings, chunks, time units and the width of integers and floats make no
    difference; names of columns do. The same in every process and version. Not for secrets: values are mixed
    by the finaliser of splitmix64 (Steele, Lea and Flood 2014), texts by BLAKE2b.
    Raises UnknownColumn.
    """
    known = table.column_names
    total = np.zeros(table.num_rows, np.uint64)
    for name in known if columns is None else columns:
        if name not in known:
            raise UnknownColumn(f"The table has no column '{name}'.", remedy=nearest(name, known))
        total += mixed(_bits(canonical.joined(table[name])) + _digest64(name.encode()))
    return mixed(total)


def new_hasher(algorithm: str) -> Hasher:
    """Raises InvalidSettings for an unknown algorithm."""
    if algorithm not in ALGORITHMS:
        raise InvalidSettings(
            f"'{algorithm}' is not a hash algorithm for data versions.", remedy=nearest(algorithm, ALGORITHMS)
        )
    if algorithm == "blake3":
        hasher: Hasher = blake3()
        return hasher
    return hashlib.new(algorithm, usedforsecurity=False)


def column_digest(column: pa.ChunkedArray, algorithm: str) -> str:
    """The hex digest of one column's values."""
    array = canonical.joined(column)
    leaves = [leaf(array.slice(start, LEAF), algorithm) for start in range(0, len(array), LEAF)]
    return root(len(array), leaves, algorithm, levels_of(column, algorithm))


def leaf(array: pa.Array, algorithm: str) -> bytes:
    """The digest of some values."""
    hasher = new_hasher(algorithm)
    for piece in canonical.pieces(array):
        add_part(hasher, piece)
    return hasher.digest()


def root(count: int, leaves: Sequence[bytes], algorithm: str, levels: bytes = b"") -> str:
    """The hex digest of a column with ``count`` values, from the digests of its leaves."""
    hasher = new_hasher(algorithm)
    hasher.update(count.to_bytes(8, "little") + levels + b"".join(leaves))
    return hasher.hexdigest()


def levels_of(column: pa.ChunkedArray, algorithm: str) -> bytes:
    """The digest of an ordered category's levels, whose order is part of what it is; nothing of others."""
    kind = column.type
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if not (kinds.is_dictionary(kind) and kind.ordered):
        return b""
    array = canonical.joined(column)
    while isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    return bytes.fromhex(column_digest(pa.chunked_array([array.dictionary]), algorithm))


def add_part(hasher: Hasher, part: bytes | pa.Buffer | npt.NDArray[Any]) -> None:
    """Hash one thing: its length in bytes, then its bytes."""
    view = memoryview(part)  # type: ignore[arg-type]  # pa.Buffer has the buffer protocol
    hasher.update(view.nbytes.to_bytes(8, "little"))
    if view.nbytes:
        hasher.update(view.cast("B"))


_MISSING = np.uint64(0x9E3779B97F4A7C15)
_AT_ONCE = 16_384  # values that fit into the processor's cache


def _bits(array: pa.Array) -> Hashes:
    """64 bits per value, equal for equal values; not mixed where the value itself fits in."""
    if kinds.is_dictionary(array.type) and len(array.dictionary):
        levels = _bits(array.dictionary)
        codes = array.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return _without(levels[codes], canonical.null_positions(array.indices))
    array = canonical.decoded(array)
    nulls = canonical.null_positions(array)
    if kinds.is_null(array.type):
        return np.full(len(array), _MISSING)
    if kinds.is_struct(array.type):
        return _without(_chained([_bits(child) for child in array.flatten()], len(array)), nulls)
    if canonical.is_list(array.type):
        return _without(_list_bits(array), nulls)
    if canonical.is_text(array.type):
        return _text_bits(array)
    parts = canonical.numbers(array, nulls)
    words = [_widened(part) for part in parts]
    return _without(words[0] if len(words) == 1 else _chained(words, len(array)), nulls)


def _text_bits(array: pa.Array) -> Hashes:
    encoded = array.dictionary_encode()
    values = encoded.dictionary.cast(pa.large_binary()).to_pylist()
    if not values:
        return np.full(len(array), _MISSING)
    levels = np.fromiter(map(_digest64, values), np.uint64, len(values))
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return _without(levels[codes], canonical.null_positions(encoded.indices))


def _list_bits(array: pa.Array) -> Hashes:
    sizes = canonical.lengths(array)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    items = _bits(array.flatten())
    place = np.arange(len(items), dtype=np.uint64) - np.repeat(starts, sizes).astype(np.uint64)
    running = np.zeros(len(items) + 1, np.uint64)
    np.cumsum(mixed(mixed(place) ^ items), out=running[1:])
    return _chained([sizes.astype(np.uint64), running[ends] - running[starts]], len(array))


def _chained(parts: Sequence[Hashes], length: int) -> Hashes:
    total = np.full(length, _MISSING)
    for part in parts:
        total = mixed(total ^ part)
    return total


def _widened(values: npt.NDArray[Any]) -> Hashes:
    """Integers as 64-bit ones, floats as the bits of doubles."""
    wide = values.astype(np.float64) if values.dtype.kind == "f" else values.astype(np.int64)
    return wide.view(np.uint64)


def _without(bits: Hashes, nulls: npt.NDArray[np.int64]) -> Hashes:
    if len(nulls):
        bits[nulls] = _MISSING
    return bits


def _digest64(value: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little"))


def mixed(bits: Hashes) -> Hashes:
    """The finaliser of splitmix64: every input bit moves about half of the output bits."""
    out = np.array(bits, np.uint64)
    for start in range(0, len(out), _AT_ONCE):
        part = out[start : start + _AT_ONCE]
        part ^= part >> np.uint64(30)
        part *= np.uint64(0xBF58476D1CE4E5B9)
        part ^= part >> np.uint64(27)
        part *= np.uint64(0x94D049BB133111EB)
        part ^= part >> np.uint64(31)
    return out
