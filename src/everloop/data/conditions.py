"""Which rows meet conditions on columns, found by reading those columns only."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.errors import Invalid, WrongType, nearest

from .stored import Places, Stored

Condition = tuple[str, str, Any]
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda field, many: field.isin(list(many)),
    "not in": lambda field, many: field.is_valid() & ~field.isin(list(many)),
}


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


def matching(
    stored: Stored, conditions: Sequence[Condition], start: int = 0, stop: int | None = None
) -> Places:
    """The rows, by number, for which every condition holds. A missing value meets none.

    Raises UnknownColumn, Invalid for an unknown comparison, WrongType for a value that is not of the column's
    type.
    """
    names = list(dict.fromkeys(name for name, _, _ in conditions))
    table = stored.table(names, start, stop)
    wanted = None
    for name, sign, value in conditions:
        if sign not in _COMPARED:
            raise Invalid(f"'{sign}' is no comparison.", remedy=nearest(sign, _COMPARED))
        one = _COMPARED[sign](pc.field(name), _typed(table.schema.field(name).type, name, value))
        wanted = one if wanted is None else wanted & one
    numbered = table.append_column("", pa.array(np.arange(start, start + table.num_rows)))
    try:
        return np.asarray(numbered.filter(wanted)[""], np.int64)
    except pa.ArrowException as error:
        raise WrongType(f"The condition cannot be checked: {error}") from error


def _typed(kind: pa.DataType, name: str, value: Any) -> Any:
    """A value that came as text, as one of the column's type."""
    while isinstance(kind, pa.DictionaryType):
        kind = kind.value_type
    if not isinstance(value, str) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return value
    try:
        return pa.scalar(value).cast(kind)
    except pa.ArrowException as error:
        raise WrongType(f"'{value}' is no value of column '{name}' ({kind}).") from error
