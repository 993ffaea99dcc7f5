"""Files larger than memory, read a batch of rows at a time; the rows and types are those of ``reading``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as kinds

from . import files, reading

_ROWS, _BYTES = 65_536, 16 << 20  # of a batch, at most
_BLOCK = 4 << 20  # bytes of CSV text that are parsed at once
_LADDER = (  # in the order in which Arrow tries the types of CSV columns; uint64 is ours (``files``)
    pa.null(),
    pa.int64(),
    pa.uint64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)
_REFUSED = re.compile(r"In CSV column #(\d+)")

Done = Callable[[], int]


@dataclass(frozen=True)
class Batches:
    """A file's rows. ``size``: what ``each`` tells as done at the end, in bytes or rows."""

    schema: pa.Schema
    size: int
    each: Callable[[], Iterator[tuple[pa.Table, int]]]


def is_streamable(path: Path, encoding: str) -> bool:
    """Whether the file can be read a batch at a time: CSV in UTF-8, Parquet, Feather of format 2."""
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    return name.endswith((".parquet", ".feather", ".arrow"))


def size_in_memory(path: Path) -> int:
    """About how many bytes the table takes when it is held in memory."""
    size = path.stat().st_size
    name = path.name.lower()
    if name.endswith(".parquet"):
        with files.readable(path), pq.ParquetFile(path) as file:
            groups = (file.metadata.row_group(at) for at in range(file.metadata.num_row_groups))
            return sum(int(group.total_byte_size) for group in groups)
    return size * 5 if name.endswith(".gz") else size


def open_file(path: Path) -> Batches:
    """The rows of a file. Raises what ``reading.read_file`` raises, also while they are read."""
    name = path.name.lower()
    with files.readable(path):
        if name.endswith(".parquet"):
            return _parquet(path)
        return _csv(path) if ".csv" in name else _feather(path)


def _parquet(path: Path) -> Batches:
    with pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    at_once = max(1, min(_ROWS, _BYTES * rows // max(size_in_memory(path), 1)))

    def each() -> Iterator[tuple[pa.Table, int]]:
        done = 0
        # With pre_buffer, which is the default, what was read stays in memory until the end.
        with (
            files.readable(path),
            pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file,
        ):
            for batch in file.iter_batches(at_once, use_threads=False):
                done += batch.num_rows
                yield reading.checked(pa.Table.from_batches([batch], schema), f"'{path}'"), done

    return Batches(reading.checked(schema.empty_table(), f"'{path}'").schema, rows, each)


def _feather(path: Path) -> Batches:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        schema, count = file.schema, file.num_record_batches

    def each() -> Iterator[tuple[pa.Table, int]]:
        with files.readable(path), pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
            for number in range(count):
                table = pa.Table.from_batches([file.get_batch(number)], schema)
                yield reading.checked(table, f"'{path}'"), number + 1

    return Batches(reading.checked(schema.empty_table(), f"'{path}'").schema, count, each)


def _csv(path: Path) -> Batches:
    try:
        names = _names(path, alone=False)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        files.explain(path, error)
        raise
    reading.checked(pa.schema([pa.field(n, pa.null()) for n in names]).empty_table(), f"'{path}'")
    alone = len(names) == 1 and _names(path, alone=True) == names  # else blank lines are before the header
    plain, gaps = _types(path, names, alone=alone)
    schema = pa.schema([pa.field(name, gaps.get(name, kind)) for name, kind in plain.items()])
    checked = reading.checked(schema.empty_table(), f"'{path}'").schema

    def each() -> Iterator[tuple[pa.Table, int]]:
        with files.readable(path), _opened(path, plain, alone=alone) as (batches, done):
            if not gaps:
                for batch in batches:
                    yield pa.Table.from_batches([batch]).cast(checked), done()
                return
            with _opened(path, gaps, alone=alone, quoted_gaps=True) as (others, _):
                for batch, other in zip(batches, others, strict=True):
                    table = pa.Table.from_batches([batch])
                    for name in gaps:
                        at = table.column_names.index(name)
                        table = table.set_column(at, name, pa.chunked_array([other[name]]))
                    yield table.cast(checked), done()

    return Batches(checked, path.stat().st_size, each)


def _names(path: Path, *, alone: bool) -> list[str]:
    options = files.parse_options(alone=alone)
    with pacsv.open_csv(path, parse_options=options, read_options=_reading()) as reader:
        return list(reader.schema.names)


def _types(
    path: Path, names: list[str], *, alone: bool
) -> tuple[dict[str, pa.DataType], dict[str, pa.DataType]]:
    """Of each column the first type in Arrow's order that all its values have; and those of text columns that
    are something other than text but for fields of "" (``files``)."""
    plain, quoted = _settled(path, names, dict.fromkeys(names, pa.null()), alone=alone)
    if not quoted:
        return plain, {}
    again, _ = _settled(path, names, dict.fromkeys(quoted, pa.null()), alone=alone, quoted_gaps=True)
    return plain, {n: kind for n, kind in again.items() if not (kinds.is_string(kind) or kinds.is_null(kind))}


def _settled(
    path: Path, names: list[str], types: dict[str, pa.DataType], *, alone: bool, quoted_gaps: bool = False
) -> tuple[dict[str, pa.DataType], list[str]]:
    """Types that all values have, and which text columns hold "" somewhere. Raises Unreadable for text that
    is not UTF-8, and for a quote that is not closed."""
    while True:
        empty: set[str] = set()
        vast: set[str] = set()
        last: list[pa.RecordBatch] = []
        try:
            with _opened(path, types, alone=alone, quoted_gaps=quoted_gaps) as (batches, _):
                for batch in batches:
                    texts = [f.name for f in batch.schema if kinds.is_string(f.type) and f.name not in empty]
                    empty.update(n for n in texts if pc.index(batch[n], "").as_py() >= 0)
                    floats = [f.name for f in batch.schema if kinds.is_float64(f.type) and f.name not in vast]
                    vast.update(n for n in floats if files.is_vast(batch[n]))
                    last = [batch] if batch.num_rows else last
            if last and not quoted_gaps:
                files.refuse_open_quote(path, pa.Table.from_batches(last))
            whole = _whole(path, vast, alone=alone, quoted_gaps=quoted_gaps)
            return {**types, **dict.fromkeys(whole, pa.string())}, [name for name in types if name in empty]
        except pa.ArrowInvalid as error:
            refused = _REFUSED.search(str(error))
            if refused is None:
                files.explain(path, error)
                raise
            name = names[int(refused.group(1))]
            if kinds.is_string(types[name]):
                files.refuse_other_encoding(path)
                raise
            types = {**types, name: _LADDER[_LADDER.index(types[name]) + 1]}


def _whole(path: Path, names: set[str], *, alone: bool, quoted_gaps: bool) -> set[str]:
    """Which columns hold whole numbers only."""
    if not names:
        return names
    texts: dict[str, pa.DataType] = dict.fromkeys(sorted(names), pa.string())
    with _opened(path, texts, alone=alone, quoted_gaps=quoted_gaps) as (batches, _):
        others = {name for batch in batches for name in names if not files.is_whole(batch.column(name))}
    return names - others


@contextmanager
def _opened(
    path: Path, types: dict[str, pa.DataType], *, alone: bool, quoted_gaps: bool = False
) -> Iterator[tuple[Any, Done]]:
    """The batches of some columns, and how many bytes of the file have been read."""
    convert = pacsv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        strings_can_be_null=True,
        quoted_strings_can_be_null=quoted_gaps,
    )
    # Not closed by hand: a read ahead may still be under way, and would then take bytes of the next file that
    # gets the same number from the system. It is closed when nobody has it any more.
    raw = pa.OSFile(str(path))
    source = pa.CompressedInputStream(raw, "gzip") if path.suffix.lower() == ".gz" else raw
    with pacsv.open_csv(
        source,
        parse_options=files.parse_options(alone=alone),
        read_options=_reading(),
        convert_options=convert,
    ) as reader:
        yield reader, raw.tell


def _reading() -> pacsv.ReadOptions:
    return pacsv.ReadOptions(block_size=_BLOCK, use_threads=False)
