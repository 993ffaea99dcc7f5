"""Anything with rows and columns -> one ``pyarrow.Table`` with unique names and no surprises."""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from everloop.core.errors import DuplicateColumns, EmptyTable, WrongType

from . import files
from .objects import first_change, is_missing
from .types import type_name
from .workers import workers

_ONE_TYPE = "Give every value of the column one type, for example with astype(str) or pandas.to_numeric."
_TIMES = (
    "Give all times a zone or none of them, convert the column with pandas.to_datetime or "
    "pandas.to_timedelta, or make it text with astype(str)."
)


def to_table(source: object) -> pa.Table:
    """A pandas or Polars DataFrame, an Arrow Table or RecordBatch, or the path of a file, as a table.

    From pandas, NaN becomes missing, a default index is left out and any other index is kept the way Arrow
    keeps it. A table may have no rows or no columns. Raises WrongType for anything else and for columns of
    mixed types, DuplicateColumns, and for files what ``read_file`` raises.
    """
    if isinstance(source, (str, PathLike)):
        return read_file(Path(source))
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return checked(_from_pandas(source))
    if isinstance(source, pa.Table):
        return checked(source)
    if isinstance(source, pa.RecordBatch):
        return checked(pa.Table.from_batches([source]))
    if hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns"):
        return checked(_from_stream(source))
    raise WrongType(
        f"A {type(source).__module__}.{type(source).__qualname__} is not a table.",
        remedy="Give a pandas or Polars DataFrame, a pyarrow Table, or the path of a CSV or Parquet file.",
    )


def refuse_lost_attributes(source: object) -> None:
    """Raises WrongType for a pandas DataFrame with ``attrs`` that would not come back, as JSON cannot hold
    them."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(source, pandas.DataFrame):
        return
    for name, value in source.attrs.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongType(
                f"The attribute {_shown(name)} in attrs is {_shown(value)}, which cannot be stored: {error}.",
                remedy="Make it text or numbers, or take it out of the DataFrame's attrs.",
            ) from error


def read_file(path: Path, *, encoding: str = "utf-8") -> pa.Table:
    """The table in a .csv, .csv.gz, .csv.zip, .parquet, .feather or .arrow file. ``encoding`` is of CSV text.

    In a CSV file an unquoted empty field is missing, and so are unquoted NA, N/A, NaN, null and their kind;
    quoted ones are text, but "" in a column that is not text otherwise is missing. Types come from whole
    columns; whole numbers too large for int64 are uint64, or text. Raises FileMissing,
    Unreadable, EmptyTable for a file with nothing in it, DuplicateColumns, and InvalidSettings for an unknown
    encoding.
    """
    return checked(files.read(path, encoding), f"'{path}'")


def refuse_empty(table: pa.Table, what: str = "The table") -> pa.Table:
    """The same table. Raises EmptyTable when it has no rows or no columns: nothing can be learnt from it."""
    if not table.num_columns or not table.num_rows:
        lacking = "rows" if table.num_columns else "columns"
        raise EmptyTable(f"{what} has no {lacking}.", remedy="Give at least one row and one column.")
    return table


def checked(table: pa.Table, what: str = "The table") -> pa.Table:
    """The table without views. Raises DuplicateColumns, WrongType for what cannot be versioned."""
    _refuse_duplicates(table.column_names, what)
    for field in table.schema:
        try:
            type_name(field)
        except WrongType as error:
            raise WrongType(f"Column '{field.name}': {error.message}", remedy=error.remedy) from error
    texts = [field.name for field in table.schema if _holds_text(field.type)]
    with workers() as pool:
        for _ in pool.map(lambda name: _refuse_other_text(table.column(name), name), texts):
            pass
    return _without_views(table)


def _holds_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_text(kind.storage_type)
    if kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return _holds_text(kind.value_type)
    if kinds.is_nested(kind):
        return any(_holds_text(kind.field(i).type) for i in range(kind.num_fields))
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _refuse_other_text(column: pa.ChunkedArray, name: str) -> None:
    """Raises WrongType for text that is not UTF-8: other programs can put it into an Arrow table or file."""
    try:
        column.validate()
        if not all(map(_is_plainly_sound, column.chunks)):
            column.validate(full=True)
    except pa.ArrowInvalid as error:
        reason = str(error).rpartition(": ")[2]
        raise WrongType(
            f"Column '{name}' holds something other than its type {column.type} says: {reason}.",
            remedy="Write text as UTF-8, or give the column the type binary.",
        ) from error


def _is_plainly_sound(array: pa.Array) -> bool:
    """Whether an array is of sound texts, seen in a fraction of the time that a look at each of them takes:
    all together are UTF-8, and none begins within a character. Its buffers have to be as long as its type
    says (``validate``)."""
    if not (kinds.is_string(array.type) or kinds.is_large_string(array.type)):
        return False
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return True
    kind = np.dtype(np.int64 if kinds.is_large_string(array.type) else np.int32)
    ends = np.frombuffer(offsets, kind, len(array) + 1, array.offset * kind.itemsize)
    if (ends[1:] < ends[:-1]).any():
        return False
    text = np.frombuffer(data or b"", np.uint8)[: ends[-1]]
    if not len(text[ends[0] :]) or text[ends[0] :].max() < 0x80:
        return True
    whole = [None, pa.py_buffer(ends[[0, -1]].astype(np.int64)), pa.py_buffer(text)]
    try:
        pa.Array.from_buffers(pa.large_string(), 1, whole).validate(full=True)
    except pa.ArrowInvalid:
        return False
    starts = ends[:-1]
    return not np.any(text[starts[starts < len(text)]] & 0xC0 == 0x80)


def _refuse_duplicates(names: list[str], what: str = "The table") -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        shown = ", ".join(f"'{name}'" for name in twice)
        raise DuplicateColumns(
            f"{what} has more than one column named {shown}.", remedy="Rename or drop one."
        )


def _from_stream(source: Any) -> pa.Table:
    for name, kind in zip(source.columns, getattr(source, "dtypes", ()), strict=False):
        for each in (name, *_names_within(kind)):
            if "\0" in each:  # Polars then ends the process
                raise WrongType(
                    f"The name {each!r} has a zero in it, which ends names in Arrow.", remedy="Rename it."
                )
        if str(kind) == "Object":
            raise WrongType(
                f"Column '{name}' holds Python objects, which have no stable content.",
                remedy="Convert the column to numbers, text or times.",
            )
    try:
        return pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise WrongType(
            f"The table cannot be read as Arrow: {error}",
            remedy="Convert the column to a type that Arrow has, such as Int64, Float64 or String.",
        ) from error


def _names_within(kind: Any) -> Iterator[str]:
    """Names of fields in a type of Polars."""
    for field in getattr(kind, "fields", ()):
        yield field.name
        yield from _names_within(field.dtype)
    if hasattr(kind, "inner"):
        yield from _names_within(kind.inner)


def _from_pandas(frame: Any) -> pa.Table:
    names = [str(name) for name in frame.columns]
    _refuse_duplicates(names)
    if frame.columns.nlevels == 1 and len({type(name) for name in frame.columns}) > 1:
        frame = frame.set_axis(names, axis=1)
    try:
        with warnings.catch_warnings():
            # pyarrow still takes times with a zone in a way that pandas 3.1 announces the end of
            warnings.simplefilter("ignore", DeprecationWarning)
            table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise _pandas_error(frame, error) from error
    columns = [frame.iloc[:, position] for position in range(len(names))]
    if table.num_columns > len(names):
        columns.extend(frame.index.get_level_values(level) for level in range(frame.index.nlevels))
    for name, column, kept in zip(table.column_names, columns, table.columns, strict=True):
        if column.dtype == object:
            _refuse_changed(column, name, kept)
    return table


def _refuse_changed(column: Any, name: str, kept: pa.ChunkedArray) -> None:
    """Raises WrongType for Python objects that Arrow took, and changed without a word."""
    change = first_change(column, kept)
    if change is None:
        return
    row, value, back = change
    if isinstance(value, (set, frozenset)):
        raise WrongType(
            f"Column '{name}' holds a {type(value).__name__}, which has no order, in row {row}: "
            f"{_shown(value)}.",
            remedy="Make a list of each: .map(sorted).",
        )
    if isinstance(value, Decimal) and not value.is_finite():
        raise WrongType(
            f"Column '{name}' holds {_shown(value)} in row {row}, which is no number.",
            remedy="Put None where a value is missing.",
        )
    first = next(each for each in column if not is_missing(each))
    here = list(column)[row]
    related = isinstance(here, type(first)) or isinstance(first, type(here))
    if not related or isinstance(here, datetime) != isinstance(first, datetime):
        raise WrongType(f"Column '{name}' {_offence(column)}", remedy=_ONE_TYPE)
    raise WrongType(
        f"Column '{name}' holds {_shown(value)} in row {row}, which would come back as {_shown(back)}.",
        remedy=_TIMES if isinstance(value, (date, time, timedelta)) else _ONE_TYPE,
    )


def _pandas_error(frame: Any, error: Exception) -> WrongType:
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        try:
            pa.array(column, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return WrongType(f"Column '{name}' {_offence(column)}", remedy=_ONE_TYPE)
    return WrongType(f"The index or a column cannot be stored: {error}", remedy=_ONE_TYPE)


def _offence(column: Any) -> str:
    """What stands in the way: the first value of another type than the first, if any."""
    if column.dtype != object:
        return f"has the type {column.dtype}, which cannot be stored."
    held = [(row, value) for row, value in enumerate(column) if value is not None]
    present = [(row, value) for row, value in held if not is_missing(value)] or held
    _, first = present[0]
    for row, value in present:
        if type(value) is not type(first):
            return (
                f"mixes types: row {row} holds {_shown(value)} ({type(value).__name__}), rows before it hold "
                f"{type(first).__name__} such as {_shown(first)}."
            )
    for row, value in present:
        try:
            pa.array([value])
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return f"holds {_shown(value)} ({type(value).__name__}) in row {row}, which cannot be stored."
    return f"holds {type(first).__name__} values that cannot be stored together, such as {_shown(first)}."


def _shown(value: object) -> str:
    text = repr(value).replace("\n", "")
    return text if len(text) <= 60 else text[:57] + "..."


def _without_views(table: pa.Table) -> pa.Table:
    """String and binary views (Polars sends them) as large ones, which every function takes."""
    fields = [field.with_type(_without_view(field.type)) for field in table.schema]
    schema = pa.schema(fields, metadata=table.schema.metadata)
    return table if schema.equals(table.schema) else table.cast(schema)


def _without_view(kind: pa.DataType) -> pa.DataType:
    if kinds.is_string_view(kind):
        return pa.large_string()
    if kinds.is_binary_view(kind):
        return pa.large_binary()
    if kinds.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_view(kind.value_type), kind.ordered)
    if kinds.is_struct(kind):
        return pa.struct([_field_without_view(kind.field(i)) for i in range(kind.num_fields)])
    if kinds.is_map(kind):
        key, item = _field_without_view(kind.key_field), _field_without_view(kind.item_field)
        return pa.map_(key, item, keys_sorted=kind.keys_sorted)
    if kinds.is_list(kind):
        return pa.list_(_field_without_view(kind.value_field))
    if kinds.is_large_list(kind):
        return pa.large_list(_field_without_view(kind.value_field))
    if kinds.is_fixed_size_list(kind):
        return pa.list_(_field_without_view(kind.value_field), kind.list_size)
    return kind


def _field_without_view(field: pa.Field) -> pa.Field:
    return field.with_type(_without_view(field.type))
