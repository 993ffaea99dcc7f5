"""CSV, Parquet and Feather files as tables."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import os
import re
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

from everloop.core.errors import (
    EmptyTable,
    FileMissing,
    InvalidSettings,
    StorageDenied,
    Unavailable,
    Unreadable,
    nearest,
)

_CSV = (".csv", ".csv.gz", ".csv.zip")
_PARQUET = (".parquet",)
_FEATHER = (".feather", ".arrow")
_BLOCK = 4 << 20  # bytes
_LONGEST = 256 << 20  # bytes of a row
_EXACT = 2**53  # up to here a float holds every whole number
_WHOLE = r"^[ \t]*[+-]?[0-9]+[ \t]*$"
_TORN = re.compile(r"Expected (\d+) columns, got \d+")
_SEARCHED = 5_000_000  # lines, for a row that is not like the others: seconds
_HEAD = 1024  # bytes
_KINDS = {  # how files begin
    b"PAR1": ("a Parquet file", ".parquet"),
    b"ARROW1": ("a Feather file", ".feather"),
    b"PK\3\4": ("a zip archive", ".csv.zip"),
    b"\x1f\x8b": ("packed by gzip", ".csv.gz"),
}


def parse_options(*, alone: bool) -> pacsv.ParseOptions:
    """How the rows of a CSV file are told apart. Where a column is ``alone``, a blank line is a missing value
    of it; else it is nothing."""
    return pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=not alone)


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
    except FileNotFoundError as error:
        raise FileMissing(
            f"'{path}' was removed while it was read.", remedy="Put it back and register it again."
        ) from error
    except PermissionError as error:
        raise _denied(path) from error
    except (pa.ArrowException, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        hint = _hint(path.name.lower())
        raise Unreadable(f"'{path}' cannot be read: {_first_line(error)}", remedy=hint) from error


def is_there(path: Path) -> bool:
    """Whether there is such a file. Raises StorageDenied where its folder may not be looked into."""
    try:
        return path.is_file()
    except PermissionError as error:
        raise _denied(path) from error


def _denied(path: Path) -> StorageDenied:
    return StorageDenied(
        f"'{path}' cannot be read: {os.strerror(errno.EACCES)}.", remedy="Check its owner and permissions."
    )


def _refuse_missing(path: Path) -> None:
    try:
        _look_for(path)
    except PermissionError as error:
        raise _denied(path) from error


def _look_for(path: Path) -> None:
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
        table, alone = _parse(path, encoding), False
        types = dict(zip(table.column_names, table.schema.types, strict=True))  # this decodes the names
        if len(types) == 1:
            again = _parse(path, encoding, alone=True)
            if again.column_names == table.column_names:  # else there are blank lines before the header
                table, alone = again, True
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        explain(path, error, encoding)
        raise
    if any(kinds.is_binary(kind) for kind in types.values()):  # so pyarrow takes text that is not UTF-8
        refuse_other_encoding(path)
    refuse_open_quote(path, table, encoding)
    table = _with_whole_numbers(table, path, encoding, alone=alone)
    return _with_quoted_gaps(table, path, encoding, alone=alone)


def explain(path: Path, error: Exception, encoding: str = "utf-8") -> None:
    """Raises what is wrong with a CSV file that pyarrow does not take, where it can be told."""
    _refuse_other_kind(path)
    if "Empty CSV file" in str(error):
        raise _empty(path) from error
    if codecs.lookup(encoding).name == "utf-8":
        refuse_other_encoding(path)
    if torn := _TORN.search(str(error)):
        _refuse_torn_row(path, encoding, int(torn[1]))


def is_vast(column: pa.ChunkedArray) -> bool:
    """Whether floats are so large that they may be whole numbers which lost digits."""
    ends = pc.min_max(column).as_py().values()
    return any(end is not None and abs(end) >= _EXACT for end in ends)


def is_whole(texts: pa.ChunkedArray) -> bool:
    """Whether every text is a whole number."""
    return bool(pc.all(pc.match_substring_regex(texts, _WHOLE), min_count=0).as_py())


def refuse_open_quote(path: Path, table: pa.Table, encoding: str = "utf-8") -> None:
    """Raises Unreadable where the last field of a CSV file began with a quote that is not closed: all lines
    behind it were taken for its text. ``table`` has the file's last rows."""
    if not table.num_columns or not table.num_rows or not _is_text(table.schema.types[-1]):
        return
    last = table.column(table.num_columns - 1)[-1].as_py()
    if last is None or "\n" not in last:
        return
    quotes = lines = 0
    with _utf8(path, encoding) as stream:
        while block := stream.read(_BLOCK):
            quotes += block.count(b'"')
            lines += block.count(b"\n")
    if quotes % 2:
        raise Unreadable(
            f"'{path}' has a quote in line {lines - last.count(chr(10)) + 1} that is not closed.",
            remedy="Close it, or write it twice where it is part of the text.",
        )


def refuse_other_encoding(path: Path) -> None:
    """Raises Unreadable with the first byte of a CSV file that is not UTF-8, or for another kind of file."""
    _refuse_other_kind(path)
    at, rest = 0, b""
    with _open(path) as stream:
        while True:
            block = stream.read(_BLOCK)
            data = rest + block
            try:
                data.decode()
                rest = b""
            except UnicodeDecodeError as error:
                if not block or len(data) - error.start > 3:  # not the beginning of a letter
                    raise _other_encoding(path, "utf-8", data[error.start :], at + error.start) from error
                rest = data[error.start :]
            at += len(data) - len(rest)
            if not block:
                return


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind))


def _with_whole_numbers(
    table: pa.Table, path: Path, encoding: str, *, alone: bool, quoted_gaps: bool = False
) -> pa.Table:
    """Whole numbers beyond int64, which pyarrow rounds to floats, as uint64, or as text where that does not
    hold them."""
    if len(set(table.column_names)) < table.num_columns:
        return table
    vast = [f.name for f in table.schema if kinds.is_float64(f.type) and is_vast(table[f.name])]
    if not vast:
        return table
    types = dict.fromkeys(vast, pa.string())
    texts = _parse(
        path, encoding, alone=alone, quoted_gaps=quoted_gaps, include_columns=vast, column_types=types
    )
    for name in vast:
        if is_whole(texts[name]):
            at = table.column_names.index(name)
            table = table.set_column(at, name, _as_unsigned(texts[name]))
    return table


def _as_unsigned(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return pc.cast(pc.ascii_trim(texts, " \t"), pa.uint64())
    except pa.ArrowInvalid:
        return texts


def _with_quoted_gaps(table: pa.Table, path: Path, encoding: str, *, alone: bool) -> pa.Table:
    """Exports that quote every field write a missing number as "", which makes all of its column text. Where
    a column is something other than text but for such fields, they are taken as missing."""
    if len(set(table.column_names)) < table.num_columns:
        return table
    texts = [
        f.name for f in table.schema if kinds.is_string(f.type) and pc.index(table[f.name], "").as_py() >= 0
    ]
    if not texts:
        return table
    again = _parse(path, encoding, alone=alone, quoted_gaps=True, include_columns=texts)
    again = _with_whole_numbers(again, path, encoding, alone=alone, quoted_gaps=True)
    for name in texts:
        if not (kinds.is_string(again[name].type) or kinds.is_null(again[name].type)):
            table = table.set_column(table.column_names.index(name), name, again[name])
    return table


def _parse(
    path: Path,
    encoding: str,
    *,
    alone: bool = False,
    quoted_gaps: bool = False,
    block: int | None = None,
    **options: Any,
) -> pa.Table:
    """The table in a CSV file, read in blocks of so many bytes [Arrow's], or of many if a row is longer."""
    try:
        with _utf8(path, encoding) as stream:
            return pacsv.read_csv(
                stream,
                read_options=pacsv.ReadOptions(block_size=block),
                parse_options=parse_options(alone=alone),
                convert_options=pacsv.ConvertOptions(
                    strings_can_be_null=True, quoted_strings_can_be_null=quoted_gaps, **options
                ),
            )
    except pa.ArrowInvalid as error:
        if block or "straddling" not in str(error):
            raise
        return _parse(path, encoding, alone=alone, quoted_gaps=quoted_gaps, block=_LONGEST, **options)


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
        raise _other_encoding(path, codec, data[error.start :], error.start) from error


def _other_encoding(path: Path, codec: str, data: bytes, position: int) -> Unreadable:
    likely, name = "the encoding of the file (for example latin-1 or cp1252)", "latin1"
    if position == 0 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        likely = name = "utf-16"
    return Unreadable(
        f"'{path}' is not {codec} text: byte {data[0]:#04x} at position {position}.",
        remedy=f"Set `encoding` to {likely}, or convert it: "
        f"iconv -f {name} -t utf-8 '{path.name}' > converted.csv",
    )


def _refuse_other_kind(path: Path) -> None:
    """Raises Unreadable for a file of another kind that is named like a CSV file."""
    with _open(path) as stream:
        head = stream.read(_HEAD)
    for begin, (kind, ending) in _KINDS.items():
        if head.startswith(begin) and b"\0" in head:  # CSV may begin with the same letters
            raise Unreadable(
                f"'{path}' is {kind}, not CSV text.", remedy=f"Rename it: its name must end in {ending}."
            )


def _refuse_torn_row(path: Path, encoding: str, expected: int) -> None:
    """Raises Unreadable with the first line that has more or fewer fields, if it is among the first ones."""
    with _utf8(path, encoding) as stream:
        rows, begin = csv.reader(io.TextIOWrapper(stream, "utf-8", errors="replace", newline="")), 1
        try:
            for row in rows:
                if row and len(row) != expected:
                    raise Unreadable(
                        f"'{path}' cannot be read: line {begin}: Expected {expected} columns, "
                        f"got {len(row)}: {_cut(','.join(row))}.",
                        remedy=_hint(path.name.lower()),
                    )
                begin = rows.line_num + 1
                if begin > _SEARCHED:
                    return
        except csv.Error:  # a field longer than that module takes
            return


def _first_line(error: BaseException) -> str:
    return _cut(str(error).strip().split("\n")[0]) or type(error).__name__


def _cut(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."


def _hint(name: str) -> str:
    if name.endswith(_CSV):
        return (
            "Check that it is comma-separated text with one header line and as many fields in every row, and "
            "that every quote is closed."
        )
    return "The file is damaged or not what its ending says: write it again, or rename it."
