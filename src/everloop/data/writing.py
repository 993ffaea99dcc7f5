"""A table as the bytes of a file that others read: Parquet, CSV or Feather, all at once or part by part."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from everloop.core.errors import Invalid, WrongType


def to_bytes(table: pa.Table, ending: str) -> bytes:
    """``ending`` is ``.parquet``, ``.csv`` or ``.feather``. CSV cannot hold nested columns: WrongType."""
    return b"".join(pieces(table.schema, [table], ending))


def pieces(schema: pa.Schema, tables: Iterable[pa.Table], ending: str) -> Iterator[bytes]:
    """The bytes of a file with the rows of some tables, as they come. Raises as ``to_bytes`` does."""
    sink = _Sink()
    try:
        with _writer(sink, schema, ending) as writer:
            for table in tables:
                writer.write_table(table)
                yield sink.taken()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        kind = ending.removeprefix(".")
        raise WrongType(
            f"The table does not fit in {kind}: {error}.", remedy="Write it as .parquet."
        ) from error
    yield sink.taken()


def _writer(sink: io.RawIOBase, schema: pa.Schema, ending: str) -> Any:
    if ending == ".parquet":
        return pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")
    if ending in (".feather", ".arrow"):
        return pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
    if ending == ".csv":
        return pyarrow.csv.CSVWriter(sink, schema)
    raise Invalid(
        f"'{ending or 'a file without ending'}' is no kind of file that is written.",
        remedy="End the name in .parquet, .csv or .feather.",
    )


class _Sink(io.RawIOBase):
    """Takes what a writer writes and gives it away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def taken(self) -> bytes:
        """What was written since the last time."""
        data, self._parts = b"".join(self._parts), []
        return data
