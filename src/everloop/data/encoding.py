"""Tables as stored bytes: Parquet (zstd) that gives back exactly what was given and notices damage.

The bytes are an ordinary Parquet file with three additions. Its Arrow schema stands under ``everloop.schema``
because Parquet itself forgets seconds, date64, dictionaries of numbers and more; levels of categories that
Parquet would forget stand under ``everloop.levels.<position>``. And 8 bytes before the footer, in a gap that
readers skip, seal the file with the CRC-32 of everything else: page checksums leave the footer, with the
names of columns, unprotected.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as kinds

from everloop.core.errors import Corrupt, UnknownColumn, WrongType, nearest

from . import canonical, identity

_SCHEMA = b"everloop.schema"
_LEVELS = b"everloop.levels."
_SEAL = b"EVL1"
_END = 8  # length of the footer and the magic "PAR1"


def encode(table: pa.Table) -> bytes:
    """``table`` as Parquet bytes, schema metadata (pandas' too) included.

    Raises WrongType if a column cannot be stored so that it comes back the same.
    """
    columns, metadata = [], {_SCHEMA: base64.b64encode(table.schema.serialize())}
    for position, column in enumerate(table.columns):
        if _loses_levels(column.type):
            array = canonical.joined(column)
            metadata[_LEVELS + str(position).encode()] = base64.b64encode(_to_ipc(array.dictionary))
            column = pa.chunked_array([array.dictionary_decode()])
        columns.append(_storable(column))
    sink = pa.BufferOutputStream()
    try:
        written = pa.table(columns, names=table.column_names).replace_schema_metadata(metadata)
        pq.write_table(written, sink, compression="zstd", write_page_checksum=True)
    except pa.ArrowException as error:
        raise WrongType(f"The table cannot be stored: {error}", remedy="Convert the column.") from error
    data = _sealed(sink.getvalue())
    _prove(table, data)
    return data


def decode(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in ``data``, or only ``columns`` of it in the order asked for.

    Raises Corrupt if any byte differs from what was written, UnknownColumn.
    """
    _check_seal(data)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            metadata = file.metadata.metadata
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata[_SCHEMA])))
            chosen = schema.names if columns is None else list(columns)
            _refuse_unknown(chosen, schema.names)
            # a name also reads its nested columns ("a" reads "a.b"), so the wanted ones are picked below
            stored = file.read(columns=None if columns is None else chosen)
        positions = [schema.get_field_index(name) for name in chosen]
        fields = [schema.field(position) for position in positions]
        restored = [
            _restored(stored[field.name], field.type, metadata.get(_LEVELS + str(position).encode()))
            for field, position in zip(fields, positions, strict=True)
        ]
        return pa.table(restored, schema=pa.schema(fields, metadata=schema.metadata))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise Corrupt(
            f"A stored table cannot be decoded: {error}", remedy="Restore it from a copy."
        ) from error


def _refuse_unknown(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownColumn(f"The table has no column '{name}'.", remedy=nearest(name, known))


def _loses_levels(kind: pa.DataType) -> bool:
    """Whether Parquet would forget the categories, or their order, of a column of this type."""
    if not kinds.is_dictionary(kind):
        return False
    text = kinds.is_string(kind.value_type) or kinds.is_large_string(kind.value_type)
    return bool(kind.ordered or not text)


def _storable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if kinds.is_run_end_encoded(column.type):
        return pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type)
    if kinds.is_fixed_size_list(column.type) and column.null_count:
        # pyarrow cannot read these back; taking all rows empties the lists that stand under nulls
        return column.cast(pa.list_(column.type.value_field)).take(np.arange(len(column)))
    return column


def _restored(column: pa.ChunkedArray, kind: pa.DataType, levels: bytes | None) -> pa.ChunkedArray:
    if levels is not None:
        dictionary = _from_ipc(base64.b64decode(levels))
        codes = pc.index_in(canonical.joined(column), value_set=dictionary).cast(kind.index_type)
        array = pa.DictionaryArray.from_arrays(codes, dictionary, ordered=kind.ordered)
        return pa.chunked_array([array], kind)
    if kinds.is_run_end_encoded(kind):
        return pa.chunked_array(
            [pc.run_end_encode(chunk, kind.run_end_type) for chunk in column.chunks], kind
        )
    return column if column.type == kind else column.cast(kind)


def _to_ipc(array: pa.Array) -> bytes:
    batch = pa.record_batch([array], names=["levels"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _from_ipc(data: bytes) -> pa.Array:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()["levels"].combine_chunks()


def _sealed(data: pa.Buffer) -> bytes:
    view = memoryview(data)
    split = len(view) - _END - int.from_bytes(view[-8:-4], "little")
    return b"".join([view[:split], _SEAL, zlib.crc32(view).to_bytes(4, "little"), view[split:]])


def _check_seal(data: bytes) -> None:
    view = memoryview(data)
    split = len(view) - _END - int.from_bytes(view[-8:-4], "little")
    seal = view[split - 8 : split] if split >= 8 else b""
    if seal != _SEAL + zlib.crc32(view[split:], zlib.crc32(view[: split - 8])).to_bytes(4, "little"):
        raise Corrupt(
            f"A stored table of {len(view)} bytes is damaged: its checksum does not match.",
            remedy="Restore it from a copy, or register the same data again.",
        )


def _delicate(kind: pa.DataType) -> bool:
    wrapped = kinds.is_nested(kind) or kinds.is_run_end_encoded(kind)
    return bool(wrapped or _loses_levels(kind) or isinstance(kind, pa.BaseExtensionType))


def _prove(table: pa.Table, data: bytes) -> None:
    """Read back what Parquet is known to be weak at, before anybody relies on it."""
    for name in [field.name for field in table.schema if _delicate(field.type)]:
        try:
            same = identity.version_id(decode(data, [name])) == identity.version_id(table.select([name]))
        except Corrupt:
            same = False
        if not same:
            raise WrongType(
                f"Column '{name}' of type {table.schema.field(name).type} does not survive being stored.",
                remedy="Convert it to a simpler type.",
            )
