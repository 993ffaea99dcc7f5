"""Conditions: every value finds its own row, and numbers are compared as numbers, whatever their types."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.data.memory_store import MemoryStore

from everloop.core.errors import WrongType
from everloop.data.conditions import matching, parse

INF, NAN = float("inf"), float("nan")


def rows(array: pa.Array, sign: str, value: Any) -> list[int]:
    store = MemoryStore()
    return matching(store.open(store.keep(pa.table({"x": array}))), [("x", sign, value)]).tolist()


@pytest.mark.parametrize(
    "array",
    [
        pa.array([3, None, 1, 2], pa.int8()),
        pa.array([2**63 + 5, 1, 0], pa.uint64()),
        pa.array([0.1, None, 1.5, INF], pa.float32()),
        pa.array([0.1, None, 1.5, -INF]),
        pa.array(np.arange(4) + 10**18, pa.timestamp("ns")),
        pa.array([1, None, 10**9 + 1, 7], pa.timestamp("ns", "Europe/Rome")),
        pa.array([1, None, 2, 3], pa.duration("ns")),
        pa.array([1, None, 2, 3], pa.time32("s")),
        pa.array([1, None, 2, 3], pa.date32()),
        pa.array([Decimal("1.10"), None, Decimal("2.00"), Decimal("-1.00")]),
        pa.array(["a", None, "", "ä"]),
        pa.array([b"a", None, b"", b"\0"]),
        pa.array(["a", None, "b", "c"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_each_value_of_a_frame_finds_its_own_row(array: pa.Array) -> None:
    frame = pa.table({"x": array}).to_pandas()
    values = frame["x"].astype(object) if pa.types.is_dictionary(array.type) else frame["x"]
    for row, value in enumerate(values):
        if array[row].is_valid:
            assert rows(array, "==", value) == rows(array, "in", [value]) == [row]
            others = [n for n in range(len(array)) if n != row and array[n].is_valid]
            assert rows(array, "!=", value) == rows(array, "not in", [value]) == others


@pytest.mark.parametrize(
    ("array", "sign", "value", "expected"),
    [
        (pa.array([2**53 + 1, 1, -5]), ">", 0.5, [0, 1]),
        (pa.array([2**53 + 1, 1, -5]), "==", 1.5, []),
        (pa.array([2**53 + 1, 1, -5]), "==", float(2**53), []),
        (pa.array([2**53 + 1, 1, -5]), "<=", INF, [0, 1, 2]),
        (pa.array([2**53 + 1, 1, -5]), "<", 2**70, [0, 1, 2]),
        (pa.array([1, 2, None]), "!=", NAN, [0, 1]),
        (pa.array([1, 2, None]), "<", NAN, []),
        (pa.array([1, 2, 3]), "<", 2.5, [0, 1]),
        (pa.array([1, 2, 3]), ">=", "2", [1, 2]),
        (pa.array([2**63 + 5, 1], pa.uint64()), ">", -1, [0, 1]),
        (pa.array([2**63 + 5, 1], pa.uint64()), "in", [-1, 1], [1]),
        (pa.array([-0.0, 0.0, 1.0, NAN, None]), "==", 0, [0, 1]),
        (pa.array([-0.0, 0.0, 1.0, NAN, None]), "in", [0], [0, 1]),
        (pa.array([-0.0, 0.0, 1.0, NAN, None]), "not in", [0], [2, 3]),
        (pa.array([NAN, 1.0]), "in", [NAN], []),
        (pa.array([0.1, 0.5], pa.float32()), "==", 0.1, [0]),
        (pa.array([1.5, 2], pa.float16()), ">", 1.6, [1]),
        (pa.nulls(2), "!=", 1, []),
        (pa.array([True, False, None]), "==", "true", [0]),
        (pa.array(["a", None, "b"]), "not in", ["a"], [2]),
        (pa.array([0, 43_200], pa.time32("s")), ">=", "12:00:00", [1]),
        (pa.array([date(2024, 5, 1)]), "in", ["2024-05-01"], [0]),
        (pa.array([0, 86_400], pa.timestamp("s", "UTC")), ">", "1970-01-01 12:00:00", [1]),
        (pa.array([0, 86_400], pa.timestamp("s", "UTC")), ">", "1970-01-01T12:00:00Z", [1]),
        (pa.array([0, 86_400], pa.timestamp("s", "Europe/Rome")), "==", "1970-01-02 01:00:00", [1]),
        (pa.array([0, 86_400], pa.timestamp("s", "UTC")), ">", datetime(1970, 1, 1, 12, tzinfo=UTC), [1]),
        (pa.array([0, 86_400], pa.timestamp("s")), ">", pd.Timestamp("1970-01-01 12:00"), [1]),
        (pa.array([0, 5], pa.duration("s")), ">", timedelta(seconds=1), [1]),
        (pa.array([0, 43_200], pa.time32("s")), "==", time(12), [1]),
    ],
)
def test_comparisons_are_exact(array: pa.Array, sign: str, value: Any, expected: list[int]) -> None:
    assert rows(array, sign, value) == expected


@pytest.mark.parametrize(
    ("array", "sign", "value", "remedy"),
    [
        (pa.array([1]), "==", "abc", "100"),
        (pa.array([1], pa.time32("s")), "==", "noon", "time of day"),
        (pa.array([1], pa.duration("s")), "==", "5 s", "length of time"),
        (pa.array([1], pa.timestamp("s", "UTC")), ">", "soon", "2024-05-01 12:00:00"),
        (pa.array(["a"]), "in", [5], "a text"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_one_that_fits(
    array: pa.Array, sign: str, value: Any, remedy: str
) -> None:
    with pytest.raises(WrongType, match="is no value of column 'x'") as raised:
        rows(array, sign, value)
    assert remedy in str(raised.value.remedy)


def test_the_first_sign_is_the_comparison() -> None:
    assert parse("note<a==b") == ("note", "<", "a==b")
    assert parse("city != x==y") == ("city", "!=", "x==y")
    assert parse("a=3") == parse("a==3") == ("a", "==", "3")
