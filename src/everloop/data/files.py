"""CSV, Parquet and Feather files as tables."""

from __future__ import annotations

import codecs
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from encodings.aliases import aliases
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pyarrow.types as kinds

from everloop.core.errors import EmptyTable, FileMissing, InvalidSettings, Unavailable, Unreadable, nearest

_CSV = (".csv", ".csv.gz", ".csv.zip")
_PARQUET = (".parquet",)
_FEATHER = (".feather", ".arrow")
PARSE = pacsv.ParseOptions(newlines_in_values=True)


def is_table(path: Path) -> bool:
    """Whether a file of this name is read as a table."""
    return path.name.lower().endswith(_CSV + _PARQUET + _FEATHER)


def read(path: Path, encoding: str) -> pa.Table:
    """The table in the file, as it is. ``encoding`` is of CSV text. See ``reading.read_file``."""
    _refuse_missing(path)
    name = path.name.lower()
    if not is_table(path):
        ending = path.suffix or "no ending"
        raise Unreadable(
            f"'{path}' has an ending that is not read ({ending}).",
            remedy=f"Files that are read: {', '.join(_CSV + _PARQUET + _FEATHER)}.",
        )
    with readable(path):
        if name.endswith(_CSV):
            return _read_csv(path, encoding)
        if name.endswith(_PARQUET):
            # not read_table: that one adds columns named in folders such as year=2013
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                return file.read()
        return feather.read_table(path, memory_map=False)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong with a file while it is read, as errors that say so."""
    _refuse_missing(path)
    try:
        if not path.stat().st_size:
            raise _empty(path)
        yield
    except (MemoryError, pa.ArrowMemoryError) as error:
        raise Unavailable(
            f"'{path}' takes more memory than there is.",
            remedy="Set data_versioning.memory to less than that: a larger file is registered in batches.",
        ) from error
    except (pa.ArrowException, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        hint = _hint(path.name.lower())
        raise Unreadable(f"'{path}' cannot be read: {_first_line(error)}", remedy=hint) from error


def _refuse_missing(path: Path) -> None:
    if path.is_dir():
        raise Unreadable(f"'{path}' is a folder, not a file.", remedy="Name one file in it.")
    if path.exists():
        return
    if not path.parent.is_dir():
        raise FileMissing(
            f"There is no file '{path}': the folder '{path.parent}' does not exist.", remedy="Check the path."
        )
    near = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    raise FileMissing(
        f"There is no file '{path}'.", remedy=nearest(path.name, near) if near else "Check the path."
    )


def _read_csv(path: Path, encoding: str) -> pa.Table:
    try:
        table = _parse(path, encoding)
        types = dict(zip(table.column_names, table.schema.types, strict=True))  # this decodes the names
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            raise _empty(path) from error
        _decoded(path, "utf-8")
        raise
    except UnicodeDecodeError:
        _decoded(path, "utf-8")
        raise
    if any(kinds.is_binary(kind) for kind in types.values()):  # so pyarrow takes text that is not UTF-8
        _decoded(path, "utf-8")
    return _with_quoted_gaps(table, path, encoding)


def _with_quoted_gaps(table: pa.Table, path: Path, encoding: str) -> pa.Table:
    """Exports that quote every field write a missing number as "", which makes all of its column text. Where
    a column is something other than text but for such fields, they are taken as missing."""
    if len(set(table.column_names)) < table.num_columns:
        return table
    texts = [
        f.name for f in table.schema if kinds.is_string(f.type) and pc.index(table[f.name], "").as_py() >= 0
    ]
    if not texts:
        return table
    again = _parse(path, encoding, quoted_gaps=True, include_columns=texts)
    for name in texts:
        if not (kinds.is_string(again[name].type) or kinds.is_null(again[name].type)):
            table = table.set_column(table.column_names.index(name), name, again[name])
    return table


def _parse(path: Path, encoding: str, *, quoted_gaps: bool = False, **options: Any) -> pa.Table:
    with _utf8(path, encoding) as stream:
        return pacsv.read_csv(
            stream,
            parse_options=PARSE,
            convert_options=pacsv.ConvertOptions(
                strings_can_be_null=True, quoted_strings_can_be_null=quoted_gaps, **options
            ),
        )


def _utf8(path: Path, encoding: str) -> BinaryIO:
    try:
        codec = codecs.lookup(encoding).name
        # other encodings are not left to pyarrow: its thread that calls Python can abort a process that ends
        return _open(path) if codec == "utf-8" else pa.BufferReader(_decoded(path, codec).encode())
    except LookupError as error:
        raise InvalidSettings(
            f"There is no text encoding '{encoding}'.", remedy=nearest(encoding, aliases.values())
        ) from error


def _open(path: Path) -> BinaryIO:
    """The bytes of the CSV text, unpacked."""
    if path.suffix.lower() != ".zip":
        stream: BinaryIO = pa.input_stream(path, compression="gzip" if path.suffix.lower() == ".gz" else None)
        return stream
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise Unreadable(
                f"'{path}' holds {len(names)} CSV files; exactly one is read.",
                remedy="Unpack it and name one file.",
            )
        return pa.BufferReader(archive.read(names[0]))  # type: ignore[no-any-return]


def _empty(path: Path) -> EmptyTable:
    return EmptyTable(f"'{path}' is empty.", remedy="Give a table with at least one row.")


def _decoded(path: Path, codec: str) -> str:
    """The whole CSV text. Raises Unreadable with the first byte that ``codec`` refuses."""
    with _open(path) as stream:
        data = stream.read()
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"'{path}' is not {codec} text: byte {data[error.start]:#04x} at position {error.start}.",
            remedy="Set `encoding` to the encoding of the file (for example latin-1 or cp1252), or convert "
            f"it: iconv -f latin1 -t utf-8 '{path.name}' > converted.csv",
        ) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return (text if len(text) <= 200 else text[:197] + "...") or type(error).__name__


def _hint(name: str) -> str:
    if name.endswith(_CSV):
        return "Check that it is comma-separated text with one header line and as many fields in every row."
    return "The file is damaged or not what its ending says: write it again, or rename it."
