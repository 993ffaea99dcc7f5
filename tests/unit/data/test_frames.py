"""Tables as pandas and Polars frames: what these cannot hold is named, and Arrow holds it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from everloop.core.errors import WrongType
from everloop.data import frames


def levels(codes: list[int | None], values: list[Any], *, ordered: bool = False) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(values), ordered=ordered)


TWICE = pa.StructArray.from_arrays(
    [pa.array([1]), pa.array([2])], fields=[pa.field("a", pa.int64()), pa.field("a", pa.int64())]
)
MARS = pa.timestamp("us", "Mars/Olympus")


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(
    ("codes", "values", "back", "left"),
    [
        ([0, 1, None], ["b", None], ["b", None, None], ["b"]),
        ([1, 0, 2, 3], ["b", "b", "a", "c"], ["b", "b", "a", "c"], ["b", "a", "c"]),
        ([1, 2, 0], [7, None, 7], [None, 7, 7], [7]),
        ([0], ["b", "b", "unused"], ["b"], ["b", "unused"]),
    ],
)
def test_levels_that_are_missing_or_repeated_become_categories(
    codes: list[int | None], values: list[Any], back: list[Any], left: list[Any], ordered: bool
) -> None:
    column = levels(codes, values, ordered=ordered)
    table = pa.table({"n": range(2 * len(codes)), "c": pa.chunked_array([column, column])})
    frame = frames.convert(table, "pandas")
    assert [None if pd.isna(value) else value for value in frame["c"]] == back * 2
    assert frame["c"].cat.categories.tolist() == left
    assert frame["c"].cat.ordered == ordered
    assert frames.convert(table, "polars")["c"].to_list() == back * 2


def test_levels_in_batches_of_their_own_become_categories() -> None:
    column = pa.chunked_array([levels([0, 1], ["a", None]), levels([0, 1], ["z", "z"])])
    frame = frames.convert(pa.table({"c": column}), "pandas")
    assert frame["c"].tolist()[2:] == ["z", "z"]
    assert frame["c"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("into", "column"),
    [
        ("pandas", pa.array([1], MARS)),
        ("pandas", TWICE),
        ("pandas", pa.ListArray.from_arrays([0, 1], TWICE)),
        ("pandas", pa.array([2**31 - 1], pa.date32())),
        ("pandas", pa.array([1], pa.time64("ns"))),
        ("polars", pa.array([1], MARS)),
        ("polars", pa.array([[1]], pa.list_(MARS))),
        ("polars", pa.array([1], pa.timestamp("us", "+05:30"))),
        ("polars", pa.array([Decimal("1E+3")], pa.decimal128(5, -2))),
        ("polars", pa.array([Decimal(1)], pa.decimal256(60, 2))),
        ("polars", pa.array([[1]], pa.list_view(pa.int64()))),
        ("polars", pa.RunEndEncodedArray.from_arrays([1], ["a"])),
        ("polars", pa.array([(1, 2, 3)], pa.month_day_nano_interval())),
        ("polars", TWICE),
    ],
    ids=lambda each: str(each.type)[:40] if isinstance(each, pa.Array) else each,
)
def test_a_column_that_a_frame_cannot_hold_is_named(into: str, column: pa.Array) -> None:
    table = pa.table({"ok": [1], "bad": column})
    with pytest.raises(
        WrongType, match=f"Column 'bad' of the Arrow type .* cannot be loaded into {into}"
    ) as e:
        frames.convert(table, into)
    assert 'into="arrow"' in e.value.remedy
    assert frames.convert(table, "arrow") is table


def test_columns_that_fit_are_what_they_were() -> None:
    table = pa.table({"c": levels([0, 1], ["b", "a"], ordered=True), "d": levels([0, None], ["x", "y"])})
    assert frames.convert(table, "pandas").equals(table.to_pandas())
    assert frames.convert(table, "polars").equals(pl.from_arrow(table))


@pytest.mark.parametrize(
    "metadata",
    [
        b"{broken",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"index_columns": ["gone"], "columns": [], "column_indexes": []}',
        b'{"index_columns": [{"kind": "range"}], "columns": [], "column_indexes": []}',
        b'{"index_columns": [], "columns": [{}], "column_indexes": []}',
        b'{"index_columns": [], "columns": [], "column_indexes": [], "attributes": 7}',
        b'{"index_columns": 3, "columns": [], "column_indexes": []}',
        b'{"index_columns": [], "columns": [{"field_name": "a", "name": "a", "pandas_type": "no",'
        b' "numpy_type": "no", "metadata": null}], "column_indexes": [{}]}',
        b"[" * 200_000,
    ],
    ids=lambda metadata: metadata[:60].decode(errors="replace"),
)
def test_metadata_that_pandas_cannot_use_are_ignored(metadata: bytes) -> None:
    table = pa.table({"a": [1], "c": levels([1], ["b", "b"])}).replace_schema_metadata({"pandas": metadata})
    frame = frames.convert(table, "pandas")
    assert (frame.columns.tolist(), frame["a"].tolist(), frame["c"].tolist()) == (["a", "c"], [1], ["b"])
    assert frames.convert(table, "polars")["a"].to_list() == [1]
    with pytest.raises(WrongType, match="Column 'bad'"):
        frames.convert(table.append_column("bad", pa.array([1], MARS)), "pandas")
