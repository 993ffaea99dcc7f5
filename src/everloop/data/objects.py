"""Python objects in columns of pandas: which of them Arrow does not keep as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from datetime import date, datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

_NONE = type(None)
_NUMBERS = {int, float, np.int64, np.float64}
_ALIKE = ({str, float, _NONE}, {bytes, _NONE}, {bool, _NONE}, {date, _NONE}, {*_NUMBERS, _NONE})
_MISSING = ("NAType", "NaTType")  # pandas.NA and NaT
_ROWS = 65_536  # compared at once

Change = tuple[int, Any, Any]


def first_change(values: Collection[Any], kept: pa.ChunkedArray) -> Change | None:
    """The row, the value in it (or within the value in it) and what Arrow made of that, where the two differ.

    What is missing may come back as another missing value, a tuple or array as a list, a whole number as an
    equal float, a time as the same moment in another zone, a dict with more keys, whose values are missing.
    """
    if _is_plain(values):
        return None
    for row, (given, back) in enumerate(zip(values, _each(kept), strict=True)):
        if (change := _change(given, back)) is not None:
            return row, *change
    return None


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN or one of pandas' kind. Decimal("NaN") is not."""
    if isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)):
        return bool(value != value)
    return value is None or type(value).__name__ in _MISSING


def _is_plain(values: Collection[Any]) -> bool:
    """Whether all values, or all within them, are of one type that Arrow keeps: then none needs a look."""
    types = {kind for kind in set(map(type, values)) if kind.__name__ not in _MISSING}
    if any(types <= alike for alike in _ALIKE):
        return True
    types.discard(_NONE)
    if types == {datetime}:
        return all(value.tzinfo is None for value in values if isinstance(value, datetime))
    if types == {np.ndarray}:
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        dtypes = {array.dtype for array in arrays}
        if len(dtypes) == 1 and dtypes.pop().kind in "iufb":
            return True
        return all(array.dtype == object for array in arrays) and _is_plain(list(chain.from_iterable(arrays)))
    if types == {list} or types == {tuple}:
        return _is_plain(list(chain.from_iterable(v for v in values if isinstance(v, (list, tuple)))))
    if types == {dict}:
        every = [value for value in values if isinstance(value, dict)]
        names = set().union(*every)
        return set(map(type, names)) <= {str} and all(_is_plain([d.get(n) for d in every]) for n in names)
    return False


def _each(kept: pa.ChunkedArray) -> Iterator[Any]:
    for begin in range(0, len(kept), _ROWS):
        yield from kept.slice(begin, _ROWS).to_pylist()


def _change(given: Any, back: Any) -> tuple[Any, Any] | None:
    """What differs, as deep within the two as it can be found."""
    if isinstance(given, pa.Scalar):
        given = given.as_py()
    if is_missing(given) or back is None:
        same = is_missing(given) and is_missing(back)
        return None if same else (given, back)
    if isinstance(given, Mapping):
        if not isinstance(back, dict) or given.keys() - back.keys():
            return given, back
        pairs: Iterable[tuple[Any, Any]] = ((given.get(name), value) for name, value in back.items())
    elif isinstance(back, list):
        if isinstance(given, Set) or not isinstance(given, Collection) or len(given) != len(back):
            return given, back
        pairs = zip(given, back, strict=True)
    else:
        return None if _is_same(given, back) else (given, back)
    return next((change for pair in pairs if (change := _change(*pair)) is not None), None)


def _is_same(given: Any, back: Any) -> bool:
    if isinstance(back, pa.MonthDayNano):  # of an offset of pandas
        return True
    return isinstance(given, (bool, np.bool_)) == isinstance(back, bool) and bool(given == back)
