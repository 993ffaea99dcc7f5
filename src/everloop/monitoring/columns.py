"""Columns of a table as what monitoring counts: numbers, or levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Kind = Literal["number", "category", "boolean", "date", "text", "other"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_LEVELS = 10_000  # strings with more different values are text
_SAMPLE = 20_000
_FEW = 20
_WORDS = {  # by how the name begins; the first that fits
    "dictionary<values=": "categories",
    "bool": "boolean",
    "int": "whole number",
    "uint": "whole number",
    "float": "number",
    "double": "number",
    "halffloat": "number",
    "decimal": "decimal number",
    "string": "text",
    "large_string": "text",
    "binary": "bytes",
    "large_binary": "bytes",
    "fixed_size_binary": "bytes",
    "date": "date",
    "timestamp": "date and time",
    "time": "time of day",
    "duration": "duration",
    "month_day_nano_interval": "interval of time",
    "null": "nothing but missing values",
    "list": "lists",
    "large_list": "lists",
    "fixed_size_list": "lists",
    "struct": "dicts",
    "map": "maps",
}


def kind_of(column: pa.ChunkedArray) -> Kind:
    """What a column is watched as. Strings are ``text`` when among the first 20,000 rows more than 20 values
    differ and more than every second one (``MOST_LEVELS`` is another limit); of text the length is watched.
    Of types that are none of these (lists, structs, nothing but nulls) only missing values are: ``other``."""
    kind = family_of(column.type)
    if kind != "category":
        return kind
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return "text"
    rows = column.slice(0, _SAMPLE)
    different = len(rows.combine_chunks().unique())
    is_text = different > _FEW and different > (len(rows) - rows.null_count) / 2
    return "text" if is_text else "category"


def family_of(kind: pa.DataType) -> Kind:
    """By type alone: strings are ``category``."""
    if pa.types.is_dictionary(kind):
        return family_of(kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_temporal(kind):
        return "date"
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    binaries = (pa.types.is_binary, pa.types.is_large_binary)
    return "category" if any(is_one(kind) for is_one in (*texts, *binaries)) else "other"


def words_of(kind: str) -> str:
    """A type of Arrow, by its name there, in words that people know."""
    for beginning, words in _WORDS.items():
        if kind.startswith(beginning):
            return words
    return kind


@dataclass(frozen=True)
class Numbers:
    """``values``: a number a row, NaN where it is missing. ``empty``: rows with an empty text."""

    values: Floats
    empty: int = 0


@dataclass(frozen=True)
class Coded:
    """``codes``: for each row the place of its level in ``levels``, -1 where it is missing."""

    codes: Ints
    levels: list[str]


def read(column: pa.ChunkedArray, kind: Kind) -> Numbers | Coded | None:
    """The column as a feature of this kind; None where its type does not fit.

    Whole numbers and floats fit each other; zeros and ones fit a boolean, booleans a number; ISO texts fit a
    date; nothing but nulls fits any kind. NaN counts as missing.
    """
    if pa.types.is_null(column.type):
        return (
            Coded(np.full(len(column), -1, dtype=np.int64), [])
            if kind in ("category", "boolean")
            else Numbers(np.full(len(column), np.nan))
        )
    family = family_of(column.type)
    if kind == "other":
        return Numbers(np.where(column.is_null().to_numpy(), np.nan, 0.0))
    if kind in ("category", "text") and family == "category":
        return _lengths(column) if kind == "text" else _coded(column)
    if kind == "boolean" and family in ("boolean", "number"):
        return _coded(_as_texts(column))
    if kind == "number" and family in ("boolean", "number"):
        return Numbers(_floats(column))
    if kind == "date" and family in ("date", "category"):
        return _seconds(column)
    return None


def _floats(column: pa.ChunkedArray) -> Floats:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _seconds(column: pa.ChunkedArray) -> Numbers | None:
    """Seconds since 1970, or of the day, or of a duration."""
    kind = column.type
    try:
        if pa.types.is_dictionary(kind) or family_of(kind) == "category":
            column = column.cast(pa.string()).cast(pa.timestamp("us"))
        elif pa.types.is_date(kind):
            column = column.cast(pa.timestamp("s")).cast(pa.timestamp("us"))
        elif pa.types.is_time(kind):
            column = column.cast(pa.time64("us"), safe=False)
        elif pa.types.is_duration(kind):
            column = column.cast(pa.duration("us"), safe=False)
        else:
            column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    values = column.cast(pa.int64()).to_numpy()
    return Numbers(np.asarray(values, dtype=np.float64) / 1e6)


def _lengths(column: pa.ChunkedArray) -> Numbers:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    lengths = pc.binary_length(column) if is_binary else pc.utf8_length(column)
    values = np.asarray(lengths.to_numpy(), dtype=np.float64)
    return Numbers(values, int(np.count_nonzero(values == 0)))


def _coded(column: pa.ChunkedArray) -> Coded:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], type=column.type)
    codes = np.asarray(whole.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    levels: list[Any] = whole.dictionary.to_pylist()
    if None in levels:  # a dictionary may hold null as a value
        codes = np.where(codes == levels.index(None), -1, codes)
    return Coded(codes, ["" if level is None else str(level) for level in levels])


def _as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Booleans as ``true`` and ``false``; of numbers 1 and 0 are those, others stay what they are."""
    if pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    values = _floats(column)
    levels = np.where(values == 1, "true", np.where(values == 0, "false", values.astype(str)))
    return pa.chunked_array([pa.array(levels, mask=np.isnan(values), type=pa.string())])
