"""Python objects in columns of pandas: what Arrow would change is refused, everything else is taken."""

from __future__ import annotations

import subprocess
import sys
from collections import UserList, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from itertools import product
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from everloop.core.errors import WrongType
from everloop.data import objects
from everloop.data.reading import to_table

EAST = timezone(timedelta(hours=5))
NOON = datetime(2020, 1, 1, 12)


class Colour(StrEnum):
    RED = "red"


def column(values: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"o": pd.Series(values, dtype=object)})


@pytest.mark.parametrize(
    ("values", "row", "shown"),
    [
        ([pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01", tz="Asia/Tokyo")], 1, "Asia/Tokyo"),
        ([NOON.replace(tzinfo=EAST), NOON], 1, "datetime.datetime(2020, 1, 1, 12, 0)"),
        ([[NOON.replace(tzinfo=EAST), NOON]], 0, "datetime.datetime(2020, 1, 1, 12, 0)"),
        ([{"a": NOON.replace(tzinfo=EAST)}, {"a": NOON}], 1, "datetime.datetime(2020, 1, 1, 12, 0)"),
        ([[date(2020, 1, 1), NOON]], 0, "come back as datetime.date(2020, 1, 1)"),
        ([{"a": date(2020, 1, 1)}, {"a": NOON}], 1, "come back as datetime.date(2020, 1, 1)"),
        ([None, pd.Timestamp("2020-01-01 00:00:00.123456789")], 1, "123456789"),
        ([pd.Timedelta(1)], 0, "Timedelta('0 days 00:00:00.000000001')"),
        ([time(1, tzinfo=EAST)], 0, "come back as datetime.time(1, 0)"),
        ([time(1), time(1, tzinfo=UTC)], 1, "come back as datetime.time(1, 0)"),
        ([[Decimal("1.5")], [Decimal("NaN")]], 1, "Decimal('NaN')"),
        ([{"a": 1}, {"b": [{1}]}], 1, "a set, which has no order"),
        ([[{"x"}]], 0, "a set, which has no order"),
        ([[b"x", "y"]], 0, "holds 'y' in row 0, which would come back as b'y'"),
        ([{b"a": 1}], 0, "come back as {'a': 1}"),
        ([timedelta(1), 1.0], 1, "holds 1.0 (float)"),
        ([date(2020, 1, 1), 1.0], 1, "holds 1.0 (float)"),
        ([1.5, True], 1, "holds True (bool)"),
        ([[[b"x"], ["y"]]], 0, "come back as b'y'"),
    ],
)
def test_what_arrow_changes_is_refused_with_its_row(values: list[Any], row: int, shown: str) -> None:
    with pytest.raises(WrongType) as caught:
        to_table(column(values))
    assert caught.value.message.startswith("Column 'o' ")
    assert f"row {row}" in caught.value.message
    assert shown in caught.value.message
    assert caught.value.remedy


def test_an_array_of_two_dimensions_is_named() -> None:
    for values in ([np.zeros((2, 2))], [None, np.zeros((2, 2))]):
        with pytest.raises(WrongType, match=r"Column 'o' holds array\(.* in row \d, which cannot be stored"):
            to_table(column(values))


def test_an_index_that_arrow_changes_is_refused() -> None:
    index = pd.Index([NOON.replace(tzinfo=EAST), NOON], dtype=object, name="at")
    frame = pd.DataFrame({"a": [1, 2]}, index=index)
    with pytest.raises(WrongType, match=r"Column 'at' holds .* in row 1"):
        to_table(frame)
    with pytest.raises(WrongType, match=r"Column 'at' holds .* in row 1"):
        to_table(frame.set_index("a", append=True))


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([{"a": 1}, {"b": 2}], [{"a": 1, "b": None}, {"a": None, "b": 2}]),
        ([(1, 2), None, []], [[1, 2], None, []]),
        ([np.array([1.5, np.nan]), None], [[1.5, None], None]),
        ([np.array([b"x"], dtype=object)], [[b"x"]]),
        ([np.array(["2020-01-01T00:00:00.5"], "M8[ms]")], [[datetime(2020, 1, 1, microsecond=500_000)]]),
        ([1, 2.5, float("nan")], [1.0, 2.5, None]),
        ([[1], [2.5]], [[1.0], [2.5]]),
        ([Decimal("1.5"), 2, pd.NA], [Decimal("1.5"), Decimal(2), None]),
        ([Colour.RED, "blue"], ["red", "blue"]),
        ([pa.scalar(1), None], [1, None]),
        ([UUID(int=7)], [UUID(int=7)]),
        ([bytearray(b"x"), b"y"], [b"x", b"y"]),
        ([[{"a": (1,)}], []], [[{"a": [1]}], []]),
        ([NOON.replace(tzinfo=UTC), datetime(2020, 1, 1, 17, tzinfo=EAST)], [NOON.replace(tzinfo=UTC)] * 2),
        ([pd.Timestamp("2020-01-01 12:00"), NOON, pd.NaT], [NOON, NOON, None]),
        ([np.datetime64("2020-01-01T12", "us")], [NOON]),
        ([[time(1)], [None]], [[time(1)], [None]]),
    ],
)
def test_what_comes_back_equal_is_taken(values: list[Any], kept: list[Any]) -> None:
    assert to_table(column(values))["o"].to_pylist() == kept


# without numpy.datetime64: pyarrow 25 crashes on one of them before a NumPy number
LEAVES = [
    *(1, 2.5, True, "x", b"x", None, float("nan"), 2**53 + 1, {1}, pd.NaT, pd.NA),
    *(np.int64(7), np.int64(2**53 + 1), np.float32(0.1), np.float64(1.5), np.bool_(True), np.str_("y")),
    *(date(2020, 1, 1), NOON, NOON.replace(tzinfo=EAST), NOON.replace(tzinfo=UTC), time(1)),
    *(time(1, tzinfo=EAST), timedelta(1), pd.Timedelta(1), pd.Timestamp("2020-01-01 00:00:00.123456789")),
    *(pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), Decimal("1.50"), Decimal("NaN"), UUID(int=7)),
    *([1], [2.5, "x"], (1,), {"a": 1}, {"a": "x"}, {b"a": 1}, np.array([1]), np.array([2.5])),
    *(np.array([1, "x"], dtype=object), deque([1]), UserList([1])),
]


def test_types_alone_let_no_pair_pass_that_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [list(pair) for pair in product(LEAVES, LEAVES)]
    within = [[[one], [other]] for one, other in pairs]
    kept = {n: array for n, pair in enumerate(pairs + within) if (array := _as_arrow(pair)) is not None}
    assert len(kept) > 500
    quick = {n: objects.first_change((pairs + within)[n], array) is None for n, array in kept.items()}
    monkeypatch.setattr(objects, "_is_plain", lambda _: False)
    assert quick == {n: objects.first_change((pairs + within)[n], array) is None for n, array in kept.items()}


def _as_arrow(values: list[Any]) -> pa.ChunkedArray | None:
    try:
        return pa.chunked_array([pa.array(pd.Series(values, dtype=object), from_pandas=True)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def test_a_million_texts_are_looked_at_by_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_each", None)
    for value in ("x", 1, b"x", True, [1.5, 2], {"a": "x", "b": [1]}, np.array([1.5])):
        to_table(column([value, None] * 100))


@pytest.mark.parametrize("first", ["import pandera.pandas, everloop", "import everloop, pandera.pandas"])
def test_another_library_cannot_make_arrow_drop_the_offsets_of_times(first: str) -> None:
    code = f"""
{first}
import pyarrow
from datetime import datetime, timedelta, timezone
when = datetime(2026, 3, 1, 17, tzinfo=timezone(timedelta(hours=2)))
found = pyarrow.array([when])[0].as_py()
assert found == when, found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
