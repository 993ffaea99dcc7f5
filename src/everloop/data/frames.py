"""Tables as the frames that people work with."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.errors import Invalid, MissingExtra, WrongType, nearest

KINDS = ("arrow", "pandas", "polars")
_FAILURES = (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError)
_ODD = (*_FAILURES, AssertionError, AttributeError, RecursionError)


def convert(table: pa.Table, into: str) -> Any:
    """``table`` as it is ("arrow"), as a pandas DataFrame with the index and attributes that its content
    had when it was first registered, as far as pandas can use them, or as a Polars one. Categories that
    repeat a level or have a missing one come without. Raises Invalid for another kind, MissingExtra,
    WrongType for a column that pandas or Polars cannot hold."""
    if into not in KINDS:
        raise Invalid(f"'{into}' is no kind of table.", remedy=nearest(str(into), KINDS))
    if into == "arrow":
        return table
    for field in table.schema:
        if _repeats_a_name(field.type):
            raise _refused(field, into, "a struct in it has two fields of one name")
    if into == "pandas":
        return _converted(table, into, _pandas, _FAILURES)
    try:
        polars = import_module("polars")
    except ImportError as error:
        raise MissingExtra("polars", "polars") from error
    failures = (polars.exceptions.PolarsError, polars.exceptions.PanicException, *_FAILURES)
    return _converted(table.replace_schema_metadata(), into, polars.from_arrow, failures)


def _converted(
    table: pa.Table, into: str, make: Callable[[pa.Table], Any], failures: tuple[type[BaseException], ...]
) -> Any:
    try:
        return make(table)
    except failures as error:
        if isinstance(error, MemoryError):
            raise
        for field in table.schema:
            try:
                make(table.select([field.name]).replace_schema_metadata())
            except failures as reason:
                raise _refused(field, into, str(reason).strip().split("\n")[0].rstrip(".")) from reason
        raise


def _refused(field: pa.Field, into: str, reason: str) -> WrongType:
    return WrongType(
        f"Column '{field.name}' of the Arrow type {field.type} cannot be loaded into {into}: {reason}.",
        remedy='Load the table with into="arrow", or only other columns: columns=[…].',
    )


def _repeats_a_name(kind: pa.DataType) -> bool:
    if not kinds.is_nested(kind):
        return False
    fields = [kind.field(i) for i in range(kind.num_fields)]
    twice = kinds.is_struct(kind) and len({field.name for field in fields}) < len(fields)
    return twice or any(_repeats_a_name(field.type) for field in fields)


def _pandas(table: pa.Table) -> Any:
    """Of what the schema says to pandas only what can be used: any other program may have written it."""
    try:
        return table.to_pandas()
    except MemoryError:
        raise
    except _ODD:  # pandas says so of missing and of repeated levels, among others
        sound = with_sound_levels(table)
    try:
        return sound.to_pandas()
    except MemoryError:
        raise
    except _ODD:
        return sound.replace_schema_metadata().to_pandas()


def with_sound_levels(table: pa.Table) -> pa.Table:
    """The table without missing and repeated levels; the others keep their order."""
    for position, field in enumerate(table.schema):
        if kinds.is_dictionary(field.type) and not kinds.is_nested(field.type.value_type):
            column = table.column(position)
            if any(_is_unsound(chunk.dictionary) for chunk in column.chunks):
                table = table.set_column(position, field.name, _sound(column))
    return table


def _is_unsound(levels: pa.Array) -> bool:
    return bool(levels.null_count) or pc.count_distinct(levels).as_py() < len(levels)


def _sound(column: pa.ChunkedArray) -> pa.ChunkedArray:
    every = pa.chunked_array([chunk.dictionary for chunk in column.chunks])
    levels = pc.drop_null(pc.unique(every))
    return pa.chunked_array(
        pa.DictionaryArray.from_arrays(
            pc.index_in(chunk.dictionary_decode(), levels), levels, ordered=column.type.ordered
        )
        for chunk in column.chunks
    )
