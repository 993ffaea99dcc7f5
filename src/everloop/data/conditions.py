"""Which rows meet conditions on columns, found by reading those columns only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
_ORDERED = ("<", "<=", ">", ">=")
_AMONG = ("in", "not in")
_SHOWN = 12
_FAILURES = (pa.ArrowException, TypeError, ValueError, OverflowError)


def parse(text: str) -> Condition:
    """A condition as it is typed: ``amount>=100``, ``city==Rome``. The value is read by the column's type."""
    for sign in ("==", "!=", "<=", ">=", "<", ">", "="):
        name, found, value = text.partition(sign)
        if found and name.strip():
            return name.strip(), "==" if sign == "=" else sign, value.strip()
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
    try:
        if sign not in _AMONG:
            return _COMPARED[sign](column, _typed(column.type, name, value))
        among = pa.array([_typed(column.type, name, one).as_py() for one in value if one is not None])
        held = pc.is_in(column, value_set=among if len(among) else pa.array([], column.type))
        return pc.and_(pc.is_valid(column), held if sign == "in" else pc.invert(held))
    except _FAILURES as error:
        raise WrongType(
            f"Column '{name}' ({column.type}) cannot be compared with {value!r}: {_first_line(error)}",
            remedy="Compare it with a value of its own type; 'everloop data show' tells the types.",
        ) from error


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
        if kinds.is_unsigned_integer(kind) and isinstance(value, int) and value > 0:
            return pa.scalar(value, pa.uint64())
        if isinstance(value, str) and not (kinds.is_string(kind) or kinds.is_large_string(kind)):
            return pa.scalar(value).cast(kind)
        return pa.scalar(value)
    except (*_FAILURES, ArithmeticError) as error:
        raise WrongType(
            f"{value!r} is no value of column '{name}' ({kind}).",
            remedy="Write one of the column's type: 100, 2.5, true, 2024-05-01, '2024-05-01 12:00:00'.",
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
