"""Which rows meet conditions on columns, found by reading those columns only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.errors import Invalid, WrongType, nearest

from .stored import Places, Stored

Condition = tuple[str, str, Any]
_COMPARED = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_WRITTEN = re.compile(r"(?P<name>.*?)(?P<sign>==|!=|<=|>=|<|>|=)(?P<value>.*)", re.DOTALL)
_ORDERED = ("<", "<=", ">", ">=")
_AMONG = ("in", "not in")
_SHOWN = 12
_FAILURES = (pa.ArrowException, TypeError, ValueError, OverflowError)


def parse(text: str) -> Condition:
    """A condition as it is typed: ``amount>=100``, ``city==Rome``. The value is read by the column's type."""
    found = _WRITTEN.match(text)
    if found and found["name"].strip():
        sign = "==" if found["sign"] == "=" else found["sign"]
        return found["name"].strip(), sign, found["value"].strip()
    raise Invalid(
        f"'{text}' is no condition.",
        remedy="Write COLUMN, one of == != < <= > >=, and a value: 'amount>=100'.",
    )


def checked(conditions: object) -> list[Condition]:
    """``conditions`` as a list of (column, comparison, value). Raises Invalid for anything else."""
    remedy = 'Write a list of (column, comparison, value), such as [("amount", ">=", 100)].'
    if not isinstance(conditions, (list, tuple)):
        raise Invalid(f"{conditions!r} is no list of conditions.", remedy=remedy)
    for one in conditions:
        if not isinstance(one, (list, tuple)) or len(one) != 3 or not isinstance(one[0], str):
            raise Invalid(f"{one!r} is no condition.", remedy=remedy)
        _, sign, value = one
        if sign not in (*_COMPARED, *_AMONG):
            raise Invalid(f"{sign!r} is no comparison.", remedy=nearest(str(sign), (*_COMPARED, *_AMONG)))
        if sign in _AMONG and (isinstance(value, (str, bytes)) or not isinstance(value, Iterable)):
            raise Invalid(
                f"'{sign}' needs several values, not {value!r}.",
                remedy=f'Write them as a list: ("{one[0]}", "{sign}", [{value!r}]).',
            )
    return [(name, sign, value) for name, sign, value in conditions]


def matching(
    stored: Stored, conditions: Sequence[Condition], start: int = 0, stop: int | None = None
) -> Places:
    """The rows, by number, for which every condition holds. A missing value meets none. Ordered categories
    are compared by their levels.

    Raises UnknownColumn, Invalid for what is no condition, WrongType for a value that is not of the column's
    type.
    """
    asked = checked(conditions)
    table = stored.table(list(dict.fromkeys(name for name, _, _ in asked)), start, stop)
    wanted = np.ones(table.num_rows, bool)
    for name, sign, value in asked:
        held = _held(table.column(name), name, sign, value)
        wanted &= pc.fill_null(held, False).to_numpy()
    places: Places = np.flatnonzero(wanted) + start
    return places


def _held(column: pa.ChunkedArray, name: str, sign: str, value: Any) -> pa.ChunkedArray:
    """Whether the condition holds in each row; missing where the value is."""
    if kinds.is_dictionary(column.type):
        if column.type.ordered and sign in _ORDERED:
            column, value = _by_level(column.unify_dictionaries(), name, value)
        else:
            column = column.cast(column.type.value_type)
    elif kinds.is_run_end_encoded(column.type):
        column = pa.chunked_array(
            [pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type
        )
    if kinds.is_null(column.type) or value is None:
        return pa.chunked_array([pa.nulls(len(column), pa.bool_())])
    if kinds.is_float16(column.type):
        column = column.cast(pa.float32())
    try:
        if sign not in _AMONG:
            return _compared(column, name, sign, value)
        held = _among(column, name, [one for one in value if one is not None])
        return held if sign == "in" else pc.invert(held)
    except _FAILURES as error:
        raise WrongType(
            f"Column '{name}' ({column.type}) cannot be compared with {value!r}: {_first_line(error)}",
            remedy="Compare it with a value of its own type; 'everloop data show' tells the types.",
        ) from error


def _among(column: pa.ChunkedArray, name: str, several: Sequence[Any]) -> pa.ChunkedArray:
    """Whether each value equals one of several; missing where it is."""
    kind = column.type
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        wrong = next((one for one in several if not isinstance(one, str)), None)
        if wrong is not None:
            raise _no_value(kind, name, wrong)
        found = pc.is_in(column, value_set=pa.array(several, kind))
        return pc.if_else(pc.is_valid(column), found, None)
    held = pc.and_(pc.is_null(column), False)
    for one in several:
        held = pc.or_(held, _compared(column, name, "==", one))
    return pc.if_else(pc.is_valid(column), held, None)


def _compared(column: pa.ChunkedArray, name: str, sign: str, value: Any) -> pa.ChunkedArray:
    """Whether each value stands so to ``value``; missing where it is."""
    if kinds.is_integer(column.type):
        return _whole(column, sign, _number(column.type, name, value))
    return _COMPARED[sign](column, _typed(column.type, name, value))


def _whole(column: pa.ChunkedArray, sign: str, value: Any) -> pa.ChunkedArray:
    """Whole numbers beside any number, exactly: neither is rounded to the other's type."""
    bits, signed = column.type.bit_width, not kinds.is_unsigned_integer(column.type)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    never = pc.if_else(pc.is_valid(column), False, None)
    if value != value:  # NaN equals nothing
        return pc.invert(never) if sign == "!=" else never
    below = math.floor(min(max(value, least - 1), most + 1))
    exact = below == value
    if sign in ("==", "!="):
        same = pc.equal(column, pa.scalar(below, column.type)) if exact and least <= below <= most else never
        return same if sign == "==" else pc.invert(same)
    if sign in ("<", "<="):
        last = below - 1 if sign == "<" and exact else below
        if last >= most:
            return pc.invert(never)
        return never if last < least else pc.less_equal(column, pa.scalar(last, column.type))
    first = below if sign == ">=" and exact else below + 1
    if first <= least:
        return pc.invert(never)
    return never if first > most else pc.greater_equal(column, pa.scalar(first, column.type))


def _number(kind: pa.DataType, name: str, value: Any) -> Any:
    """A number that Python compares exactly."""
    try:
        if isinstance(value, str):
            return int(value) if value.strip().lstrip("+-").isdigit() else Decimal(value.strip())
        if isinstance(value, (int, float, Decimal, np.number, np.bool_)):
            return value.item() if isinstance(value, np.generic) else value
    except ArithmeticError:
        pass
    raise _no_value(kind, name, value)


def _by_level(column: pa.ChunkedArray, name: str, value: Any) -> tuple[pa.ChunkedArray, int]:
    """An ordered category as the numbers of its levels, and the number of the level ``value``."""
    levels = column.chunk(0).dictionary if column.num_chunks else pa.array([], column.type.value_type)
    known = levels.to_pylist()
    sought = _typed(levels.type, name, value).as_py()
    if column.num_chunks and sought not in known:
        shown = ", ".join(map(repr, known[:_SHOWN])) + (" and more" if len(known) > _SHOWN else "")
        raise WrongType(
            f"{value!r} is no level of column '{name}'.", remedy=f"Its levels, in their order: {shown}."
        )
    codes = pa.chunked_array([chunk.indices for chunk in column.chunks], column.type.index_type)
    return codes, known.index(sought) if known else 0


def _typed(kind: pa.DataType, name: str, value: Any) -> pa.Scalar:
    """``value`` as one of the column's type where it came as text, or as a number that the type also has."""
    try:
        if kinds.is_boolean(kind) and not isinstance(value, str) and value in (0, 1):
            return pa.scalar(bool(value))
        if kinds.is_decimal(kind) and isinstance(value, (int, float, str)):
            return pa.scalar(Decimal(str(value)))
        if kinds.is_floating(kind):
            return pa.scalar(float(value), pa.float64()).cast(kind, safe=False)
        if kinds.is_timestamp(kind) or kinds.is_duration(kind) or kinds.is_time(kind):
            return _time(kind, value)
        if isinstance(value, str) and not (kinds.is_string(kind) or kinds.is_large_string(kind)):
            return pa.scalar(value).cast(kind)
        return pa.scalar(value)
    except (*_FAILURES, ArithmeticError) as error:
        raise _no_value(kind, name, value) from error


def _time(kind: pa.DataType, value: Any) -> pa.Scalar:
    """A time to the nanosecond. Text without a zone is in the column's."""
    if not isinstance(value, str):
        fine = pa.timestamp("ns", kind.tz) if kinds.is_timestamp(kind) else pa.duration("ns")
        if hasattr(value, "nanosecond") or hasattr(value, "nanoseconds"):  # pandas' own
            aware = getattr(value, "tzinfo", None) is not None
            return pa.scalar(value, fine if aware or not kinds.is_timestamp(kind) else pa.timestamp("ns"))
        return pa.scalar(value)
    if kinds.is_time(kind):
        return pa.scalar(time.fromisoformat(value.strip()), pa.time64("us"))
    if kinds.is_timestamp(kind) and kind.tz:
        try:
            return pa.scalar(value).cast(pa.timestamp("ns", kind.tz))
        except pa.ArrowException:
            return pc.assume_timezone(pa.scalar(value).cast(pa.timestamp("ns")), kind.tz)
    return pa.scalar(value).cast(pa.timestamp("ns") if kinds.is_timestamp(kind) else kind)


def _no_value(kind: pa.DataType, name: str, value: Any) -> WrongType:
    if kinds.is_duration(kind):
        hint = "a length of time: a timedelta, from Python"
    elif kinds.is_time(kind):
        hint = "a time of day such as 12:30:00"
    elif kinds.is_timestamp(kind):
        hint = "a time such as '2024-05-01 12:00:00'"
    else:
        hint = "one of the column's type: 100, 2.5, true, 2024-05-01, or a text"
    return WrongType(f"{value!r} is no value of column '{name}' ({kind}).", remedy=f"Write {hint}.")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
