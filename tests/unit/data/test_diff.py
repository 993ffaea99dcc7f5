"""What lies between two versions, held against a slow comparison that anyone can read."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.data import Column, DatasetDiff, DatasetVersion
from everloop.core.errors import Invalid, UnknownColumn, WrongType
from everloop.data.diff import Side, diff
from everloop.data.identity import version_id
from everloop.data.statistics import describe
from everloop.data.types import type_name

from .families import FAMILIES


def _side(table: pa.Table) -> Side:
    version = DatasetVersion(
        dataset="d",
        version_id=version_id(table),
        sequence=1,
        rows=table.num_rows,
        columns=tuple(Column(field.name, type_name(field)) for field in table.schema),
        statistics=describe(table),
        hash_algorithm="sha256",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        created_by="me",
        source="memory",
    )
    return Side(version, table.column)


def _diff(before: pa.Table, after: pa.Table, *key: str, whole: bool = False, **options: Any) -> DatasetDiff:
    return diff(_side(before), _side(after), key=() if whole else key or None, **options)


def _rows(found: DatasetDiff) -> tuple[int, int, int, int]:
    return found.rows_added, found.rows_removed, found.rows_changed, found.rows_kept


def test_of_one_content_no_row_is_read() -> None:
    table = pa.table({"a": [1, 1, None], "b": [0.5, math.nan, None], "c": ["x", "y", None]})
    read: list[str] = []

    def watched() -> Side:
        return Side(_side(table).version, lambda name: (read.append(name), table.column(name))[1])

    for key in (None, ()):
        found = diff(watched(), watched(), key=key)
        assert _rows(found) == (0, 0, 0, 3)
        assert (found.key_from, found.compared, found.changes) == ("none", ("a", "b", "c"), ())
    assert read == []
    found = diff(watched(), watched(), key=["a"])
    assert (_rows(found), found.repeated, found.keyless) == ((0, 0, 0, 3), (1, 1), (1, 1))
    assert set(read) == {"a"}
    with pytest.raises(UnknownColumn):
        diff(watched(), watched(), key=["z"])


# -- rows ----------------------------------------------------------------------------------------------------


def test_rows_are_compared_whole_with_duplicates_counted() -> None:
    before = pa.table({"a": [1, 1, 1, 2, 3], "b": ["x", "x", "x", None, "z"]})
    after = pa.table({"a": [3, 1, 1, 2, 4, 4], "b": ["z", "x", "x", "y", "w", "w"]})
    found = _diff(before, after)
    assert _rows(found) == (3, 2, 0, 3)
    assert (found.before, found.after) == (version_id(before), version_id(after))
    assert (found.key, found.key_from, found.rows_reordered) == ((), "none", True)
    assert found.examples.added == ({"a": 2, "b": "y"}, {"a": 4, "b": "w"}, {"a": 4, "b": "w"})
    assert found.examples.removed == ({"a": 1, "b": "x"}, {"a": 2, "b": None})


def test_rows_of_the_same_key_are_compared_cell_by_cell() -> None:
    before = pa.table({"id": [1, 2, 3, 4], "a": [1.0, math.nan, 3.0, 4.0], "b": ["x", None, "z", "w"]})
    after = pa.table({"id": [5, 4, 3, 2], "a": [9.0, 4.5, 3.0, math.nan], "b": ["n", "W", "z", "y"]})
    found = _diff(before, after, "id")
    assert _rows(found) == (1, 1, 2, 1)
    assert found.cells_changed == {"b": 2, "a": 1}
    assert [(dict(row.key), dict(row.cells)) for row in found.examples.changed] == [
        ({"id": 2}, {"b": (None, "y")}),
        ({"id": 4}, {"a": (4.0, 4.5), "b": ("w", "W")}),
    ]
    assert found.examples.added == ({"id": 5, "a": 9.0, "b": "n"},)
    assert found.examples.removed == ({"id": 1, "a": 1.0, "b": "x"},)
    assert (found.key, found.key_from, found.rows_reordered) == (("id",), "asked", True)


def test_of_rows_with_one_key_the_first_goes_with_the_first() -> None:
    before = pa.table({"k": [1, 1, 2, 1], "v": [10, 20, 30, 40]})
    after = pa.table({"k": [1, 2, 1], "v": [10, 31, 40]})
    found = _diff(before, after, "k")
    assert found.repeated == (2, 1)
    assert _rows(found) == (0, 1, 2, 1)
    assert [dict(row.cells) for row in found.examples.changed] == [{"v": (20, 40)}, {"v": (30, 31)}]
    assert found.examples.removed == ({"k": 1, "v": 40},)


def test_a_missing_value_in_the_key_equals_a_missing_one() -> None:
    before = pa.table({"k": ["a", None, None], "v": [1, 2, 3]})
    after = pa.table({"k": [None, "a"], "v": [2, 1]})
    found = _diff(before, after, "k")
    assert found.keyless == (2, 1)
    assert _rows(found) == (0, 1, 0, 2)


def test_a_key_of_several_columns_is_not_their_text() -> None:
    before = pa.table({"a": ["1", "11"], "b": ["11", "1"], "v": [1, 2]})
    after = pa.table({"a": ["11", "1"], "b": ["1", "11"], "v": [2, 3]})
    found = _diff(before, after, "a", "b")
    assert _rows(found) == (0, 0, 1, 1)
    assert dict(found.examples.changed[0].key) == {"a": "1", "b": "11"}


def test_examples_are_the_first_rows_whatever_columns_changed() -> None:
    rows = 100
    before = pa.table({"id": range(rows), "a": [0] * rows, "b": [0] * rows})
    changed_a = [int(n % 2 == 0) for n in range(rows)]
    changed_b = [int(n % 3 == 0) for n in range(rows)]
    after = pa.table({"id": range(rows), "a": changed_a, "b": changed_b})
    found = _diff(before, after, "id", examples=4)
    assert [row.key["id"] for row in found.examples.changed] == [0, 2, 3, 4]
    assert [set(row.cells) for row in found.examples.changed] == [{"a", "b"}, {"a"}, {"b"}, {"a"}]
    assert _diff(before, after, "id", examples=0).examples.changed == ()


# -- the key -------------------------------------------------------------------------------------------------


def test_a_column_that_is_unique_in_both_is_taken_as_key() -> None:
    before = pa.table({"score": [0.1, 0.2, 0.3], "row": [1, 2, 3], "user_id": ["a", "b", "c"]})
    after = pa.table({"score": [0.1, 0.2, 0.4], "row": [3, 2, 1], "user_id": ["a", "b", "c"]})
    found = _diff(before, after)
    assert (found.key, found.key_from) == (("user_id",), "guessed")
    unnamed = ("row",), "guessed"
    found = _diff(before.drop_columns("user_id"), after.drop_columns("user_id"))
    assert (found.key, found.key_from) == unnamed
    found = _diff(before.select(["score"]), after.select(["score"]))
    assert (found.key, found.key_from) == ((), "none")


def test_a_guess_that_the_values_belie_is_given_up() -> None:
    before, after = pa.table({"id": [1, 1], "v": [1, 2]}), pa.table({"id": [1, 2], "v": [1, 2]})
    sides = [_side(before), _side(after)]
    lie = {**sides[0].version.statistics, "id": sides[1].version.statistics["id"]}
    told = Side(DatasetVersion(**{**vars(sides[0].version), "statistics": lie}), before.column)
    found = diff(told, sides[1])
    assert (found.key, _rows(found)) == ((), (1, 1, 0, 1))


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("idd", UnknownColumn, "no column 'idd' to be the key. Did you mean 'id'"),
        ("list", WrongType, "'list' is list<int64>, which cannot be a key"),
        ("kind", Invalid, "The key 'kind' was string and became int64"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused(key: str, error: type[Exception], message: str) -> None:
    before = pa.table({"id": [1], "list": [[1]], "kind": ["a"]})
    after = pa.table({"id": [1], "list": [[1]], "kind": [1]})
    with pytest.raises(error) as found:
        _diff(before, after, key)
    assert message in str(found.value)


# -- columns -------------------------------------------------------------------------------------------------


def test_columns_that_came_went_moved_and_changed_their_type_are_named() -> None:
    before = pa.table({"same": [1, 2], "gone": [1, 2], "retyped": [1, 2], "moved": [1, 2], "odd": [1, 2]})
    after = pa.table(
        {"new": ["a", "b"], "moved": [1, 5], "odd": ["1", "2"], "retyped": [1.0, 2.0], "same": [1, 2]}
    )
    found = _diff(before, after, "same")
    assert found.columns_added == ("new",)
    assert found.columns_removed == ("gone",)
    assert found.columns_retyped == {"odd": ("int64", "string"), "retyped": ("int64", "float64")}
    assert found.columns_not_compared == ("odd",)
    assert found.columns_reordered == ("retyped", "same")
    assert found.compared == ("moved", "retyped", "same")
    assert found.cells_changed == {"moved": 1}


def test_a_first_column_that_went_to_the_end_is_the_only_one_that_moved() -> None:
    before, after = pa.table({n: [1] for n in "abcd"}), pa.table({n: [1] for n in "bcda"})
    assert _diff(before, after).columns_reordered == ("a",)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (pa.array([1, 2], pa.int8()), pa.array([1, 3], pa.int64()), 1),
        (pa.array([1, 2], pa.uint64()), pa.array([1, -2], pa.int8()), 1),
        (pa.array([2**63, 2], pa.uint64()), pa.array([-1, 2], pa.int64()), 1),
        (pa.array([1, None], pa.int64()), pa.array([1.0, None], pa.float64()), 0),
        (pa.array([1, 2], pa.int64()), pa.array([1.5, 2.0], pa.float32()), 1),
        (pa.array([0.1, 2], pa.float32()), pa.array([0.1, 2], pa.float64()), 1),
        (pa.array([math.nan, None]), pa.array([math.nan, None]), 0),
        (pa.array([math.nan, 1.0]), pa.array([None, 1.0]), 1),
        (pa.array([0.0, 1.0]), pa.array([-0.0, 1.0]), 1),
        (pa.array(["a", ""]), pa.array(["a", None]).dictionary_encode(), 1),
        (pa.array([1, 2], pa.timestamp("s")), pa.array([1000, 2001], pa.timestamp("ms")), 1),
        (pa.array([1, 2], pa.timestamp("s", "UTC")), pa.array([1, 2], pa.timestamp("s", "Asia/Tokyo")), 0),
        (pa.array([Decimal("1.10"), 2]), pa.array([Decimal("1.1"), Decimal("2.0")]), 0),
        (pa.nulls(2), pa.array([None, [1]]), 1),
        (pa.array([[1, 2], []]), pa.array([[1, 3], None]), 2),
        (pa.array([[1, 2], [3]]), pa.array([[1, 2, 3], []]), 2),
        (pa.array([{"a": [1], "b": None}] * 2), pa.array([{"a": [1], "b": None}, {"a": [2], "b": None}]), 1),
    ],
    ids=str,
)
def test_values_are_equal_where_they_say_the_same(before: pa.Array, after: pa.Array, changed: int) -> None:
    old, new = pa.table({"id": [1, 2], "v": before}), pa.table({"id": [1, 2], "v": after})
    found = _diff(old, new, "id")
    assert (found.cells_changed.get("v", 0), found.columns_not_compared) == (changed, ())
    whole = _diff(old, new, whole=True)
    assert _rows(whole) == (changed, changed, 0, 2 - changed)


def test_integers_that_no_double_holds_are_not_compared_with_doubles() -> None:
    before, after = pa.table({"id": [1], "v": [2**53 + 1]}), pa.table({"id": [1], "v": [float(2**53)]})
    found = _diff(before, after, "id")
    assert (found.columns_not_compared, found.cells_changed) == (("v",), {})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_table_of_any_kind_is_like_itself_in_any_order(family: str) -> None:
    table = FAMILIES[family]
    turned = table.take(pa.array(range(table.num_rows - 1, -1, -1), pa.int64()))
    assert _rows(_diff(table, turned, whole=True)) == (0, 0, 0, table.num_rows)
    numbered = table.append_column("number", pa.array(range(table.num_rows), pa.int64()))
    again = numbered.take(pa.array(range(table.num_rows - 1, -1, -1), pa.int64()))
    found = _diff(numbered, again, "number")
    assert (_rows(found), found.cells_changed) == ((0, 0, 0, table.num_rows), {})


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].num_rows > 1])
def test_a_changed_cell_of_any_kind_is_seen(family: str) -> None:
    table = FAMILIES[family]
    number = pa.array(range(table.num_rows), pa.int64())
    shifted = table.take(pa.array([*range(1, table.num_rows), 0], pa.int64()))
    found = _diff(table.append_column("#", number), shifted.append_column("#", number), "#")
    for name in table.column_names:
        values = [_same(value) for value in table[name].to_pylist()]
        wanted = sum(one != other for one, other in zip(values, [*values[1:], values[0]], strict=True))
        assert found.cells_changed.get(name, 0) == wanted, name


def _same(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    return value


# -- the slow comparison -------------------------------------------------------------------------------------

_VALUES = {
    "i": st.none() | st.integers(0, 3),
    "f": st.none() | st.sampled_from([0.0, 1.5, math.nan]),
    "s": st.none() | st.sampled_from(["", "a", "b"]),
    "l": st.none() | st.lists(st.integers(0, 1), max_size=2),
}
_KINDS = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "l": pa.list_(pa.int64())}
_ROW = st.tuples(*_VALUES.values())


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_KINDS)
    return pa.table({n: pa.array(v, k) for (n, k), v in zip(_KINDS.items(), columns, strict=True)})


def _slow(old: list[Any], new: list[Any], key: list[int]) -> tuple[tuple[int, int, int, int], list[int]]:
    waiting: dict[Any, list[Any]] = defaultdict(list)
    for row in new:
        waiting[repr([row[at] for at in key])].append(row)
    changed, kept, removed, cells = 0, 0, 0, [0] * len(_KINDS)
    for row in old:
        partners = waiting[repr([row[at] for at in key])]
        if not partners:
            removed += 1
            continue
        differences = [repr(a) != repr(b) for a, b in zip(row, partners.pop(0), strict=True)]
        cells = [count + found for count, found in zip(cells, differences, strict=True)]
        changed, kept = changed + any(differences), kept + (not any(differences))
    return (sum(map(len, waiting.values())), removed, changed, kept), cells


@given(st.lists(_ROW, max_size=8), st.lists(_ROW, max_size=8), st.sets(st.integers(0, 2)))
@settings(deadline=None)
def test_it_finds_what_a_slow_comparison_finds(old: list[Any], new: list[Any], key: set[int]) -> None:
    names = list(_KINDS)
    chosen = sorted(key)
    rows, cells = _slow(old, new, chosen or list(range(len(names))))
    found = _diff(_table(old), _table(new), *[names[at] for at in chosen], whole=not chosen)
    assert _rows(found) == rows
    assert dict(found.cells_changed) == {n: c for n, c in zip(names, cells, strict=True) if c}
    assert len(found.examples.changed) == found.rows_changed
    assert len(found.examples.added) == found.rows_added


# -- statistics ----------------------------------------------------------------------------------------------


def test_the_statistics_that_moved_most_come_first() -> None:
    rows = 100
    before = pa.table(
        {
            "still": range(rows),
            "a little": [float(n) for n in range(rows)],
            "much": [float(n) for n in range(rows)],
            "level": ["x", "y"] * (rows // 2),
            "constant": [1] * rows,
            "went": [1] * rows,
        }
    )
    after = pa.table(
        {
            "came": [date(2024, 1, 1)] * rows,
            "still": range(rows),
            "a little": [n + 1.0 for n in range(rows)],
            "much": [n + 100.0 for n in range(rows)],
            "level": ["x"] * 90 + ["z", None] * 5,
            "constant": [2] * rows,
        }
    )
    found = _diff(before, after, "still").changes
    assert [change.name for change in found] == ["constant", "much", "level", "a little", "came", "went"]
    constant, much, level, little, came, went = found
    assert constant.shift == 10.0
    assert much.shift == pytest.approx(100 / 29.01, rel=1e-3)
    assert level.shifts == {"missing": 0.05, "levels": pytest.approx(0.5)}
    assert little.shift == pytest.approx(1 / 29.01, rel=1e-3)
    assert (came.before, went.after, came.shift) == (None, None, 0.0)


def test_what_json_has_no_type_for_is_shown_as_text() -> None:
    before = pa.table({"id": [1], "f": [math.nan], "t": [date(2024, 5, 1)], "b": [b"\x01"], "l": [[1]]})
    after = pa.table({"id": [1], "f": [math.inf], "t": [date(2024, 5, 2)], "b": [b"\x02"], "l": [[2]]})
    assert dict(_diff(before, after, "id").examples.changed[0].cells) == {
        "f": ("NaN", "inf"),
        "t": ("2024-05-01", "2024-05-02"),
        "b": ("01", "02"),
        "l": ("[1]", "[2]"),
    }
