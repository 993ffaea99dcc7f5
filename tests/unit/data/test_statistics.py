"""Numbers about columns: right, finite, and fast enough to be taken of every version."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.data.families import FAMILIES

from everloop.core.data import Column, ColumnStatistics
from everloop.core.documents import dump
from everloop.data.statistics import QUANTILES, describe, schema


def test_schema_names_logical_types() -> None:
    table = pa.table(
        {
            "s": pa.array(["x"], pa.large_string()),
            "c": pa.array(["x"]).dictionary_encode(),
            "o": pa.DictionaryArray.from_arrays([0], ["x"], ordered=True),
            "f": [1.0],
            "h": pa.array([np.float16(1)]),
            "at": pa.array([0], pa.timestamp("ns", "UTC")),
            "day": pa.array([0], pa.date64()),
            "t": pa.array([0], pa.time64("ns")),
            "for": pa.array([0], pa.duration("ms")),
            "d": pa.array([Decimal("1.10")], pa.decimal128(5, 2)),
            "b": pa.array([b"ab"], pa.binary(2)),
            "l": pa.array([[1]], pa.large_list(pa.int8())),
            "r": [{"x y": 1, "z": [True]}],
            "m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
            "u": pa.array([b"0123456789abcdef"], pa.uuid()),
        }
    )
    assert {column.name: column.type for column in schema(table.schema)} == {
        "s": "string",
        "c": "string",
        "o": "ordered<string>",
        "f": "float64",
        "h": "float16",
        "at": "timestamp[UTC]",
        "day": "date",
        "t": "time",
        "for": "duration",
        "d": "decimal[5,2]",
        "b": "binary[2]",
        "l": "list<int8>",
        "r": 'struct<"x y": int64, z: list<bool>>',
        "m": "map<string, int64>",
        "u": "extension<arrow.uuid, binary[16]>",
    }
    assert schema(pa.table({"b": [1], "a": [True]}).schema) == (Column("b", "int64"), Column("a", "bool"))


def test_numbers_are_those_of_pandas() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 1001)
    found = describe(pa.table({"x": [*values, None]}))["x"]
    expected = pd.Series(values)
    assert (found.count, found.missing, found.distinct) == (1001, 1, 1001)
    assert found.mean == pytest.approx(expected.mean())
    assert found.std == pytest.approx(expected.std())
    assert (found.minimum, found.maximum) == (expected.min(), expected.max())
    assert found.quantiles == {str(q): pytest.approx(expected.quantile(q)) for q in QUANTILES}
    assert list(found.quantiles) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert found.levels == {}


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.uint64(),
        pa.float32(),
        pa.float16(),
        pa.decimal128(9, 2),
        pa.dictionary(pa.int8(), pa.int64()),
    ],
)
def test_every_kind_of_number_is_described(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([1, 2]), pa.array([None, 2, 5])])
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    column = column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column.cast(kind)
    found = describe(pa.table({"x": column}))["x"]
    assert (found.count, found.missing, found.distinct, found.mean) == (4, 1, 3, 2.5)
    assert (found.minimum, found.maximum, found.std) == (1, 5, pytest.approx(np.std([1, 2, 2, 5], ddof=1)))


def test_nan_is_missing_and_infinities_are_left_out_of_the_figures() -> None:
    found = describe(pa.table({"x": [1.0, float("nan"), None, float("inf"), 3.0, float("-inf")]}))["x"]
    assert (found.count, found.missing, found.distinct) == (4, 2, 4)
    assert (found.mean, found.minimum, found.maximum) == (2.0, 1.0, 3.0)
    assert found.std == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    "values",
    [[1e308, 1.7e308, 1e308], [-1.7e308, 1.7e308], [float("inf")], [float("nan")], [5.0], [None, 1e-320]],
)
def test_no_figure_is_ever_infinite_or_nan(values: list[float]) -> None:
    found = describe(pa.table({"x": pa.array(values, pa.float64())}))["x"]
    json.dumps(dump(found), allow_nan=False)


def test_one_value_has_no_spread_and_none_have_no_figures() -> None:
    table = pa.table({"one": [5, None], "none": pa.array([None, None], pa.float64()), "null": pa.nulls(2)})
    found = describe(table)
    assert (found["one"].mean, found["one"].std, found["one"].minimum) == (5.0, None, 5.0)
    assert found["none"] == ColumnStatistics(0, 2, 0)
    assert found["null"] == ColumnStatistics(0, 2, 0)


def test_levels_come_by_frequency() -> None:
    words = ["b", "a", "c", "b", None, "c", "b", ""]
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        column = pa.array(words)
        column = column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column.cast(kind)
        found = describe(pa.table({"s": column}))["s"]
        assert list(found.levels.items()) == [("b", 3), ("c", 2), ("", 1), ("a", 1)]
        assert (found.count, found.missing, found.distinct, found.mean) == (7, 1, 4, None)


def test_levels_that_nobody_uses_are_no_levels() -> None:
    column = pa.DictionaryArray.from_arrays([0, 0], ["used", "unused"])
    found = describe(pa.table({"s": column}))["s"]
    assert (found.distinct, found.levels) == (1, {"used": 2})


def test_levels_are_bounded() -> None:
    words = [str(i) for i in range(500)] + ["x" * 201] * 3
    found = describe(pa.table({"s": words}))["s"]
    assert found.distinct == 501
    assert len(found.levels) <= 100
    assert all(len(level) <= 200 for level in found.levels)


def test_booleans_are_numbers_and_levels() -> None:
    found = describe(pa.table({"b": [True, False, True, None, True]}))["b"]
    assert (found.count, found.missing, found.distinct, found.mean) == (4, 1, 2, 0.75)
    assert dict(found.levels) == {"true": 3, "false": 1}


def test_times_are_seconds() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start, start + timedelta(hours=1, microseconds=1), None]
    found = describe(
        pa.table(
            {
                "at": times,
                "day": [date(1970, 1, 2), None, date(1970, 1, 4)],
                "clock": [time(1), time(2), None],
                "span": [timedelta(minutes=1), None, timedelta(minutes=3)],
            }
        )
    )
    assert found["at"].minimum == start.timestamp()
    assert found["at"].maximum == pytest.approx(start.timestamp() + 3600.000001, abs=1e-6)
    assert (found["day"].minimum, found["day"].mean, found["day"].distinct) == (86_400.0, 172_800.0, 2)
    assert (found["clock"].minimum, found["clock"].maximum) == (3600.0, 7200.0)
    assert found["span"].mean == 120.0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_type_is_described_in_plain_json(family: str) -> None:
    table = FAMILIES[family]
    for name, found in describe(table).items():
        json.dumps(dump(found), allow_nan=False)
        assert found.count + found.missing == table.num_rows, name
        assert found.distinct <= found.count, name


def test_nested_values_are_counted() -> None:
    found = describe(pa.table({"l": [[1], [1], None, [2, 1]], "b": [b"a", b"a", b"b", None]}))
    assert found["l"] == ColumnStatistics(3, 1, 2)
    assert found["b"] == ColumnStatistics(3, 1, 2)
