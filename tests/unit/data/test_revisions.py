"""Histories of a table, made up by chance: every version stays what it was, whatever came after it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.data.memory_store import MemoryStore

from everloop.data import rows
from everloop.data.identity import version_id

LONG = "LONG_TESTS" in os.environ  # thousands of steps

KINDS: dict[str, pa.DataType] = {
    "i8": pa.int8(),
    "i64": pa.int64(),
    "f": pa.float64(),
    "h": pa.float16(),
    "b": pa.bool_(),
    "s": pa.string(),
    "S": pa.large_string(),
    "y": pa.binary(),
    "F": pa.binary(3),
    "t": pa.timestamp("us", "UTC"),
    "d": pa.decimal128(20, 2),
    "l": pa.list_(pa.int32()),
    "r": pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
    "c": pa.dictionary(pa.int16(), pa.string()),
    "o": pa.dictionary(pa.int16(), pa.string(), ordered=True),
    "m": pa.map_(pa.string(), pa.int8()),
    "n": pa.null(),
}


def values(kind: pa.DataType, numbers: np.ndarray) -> pa.Array:
    """A column of a type, from small numbers; about one in nine is missing."""
    listed = [None if n % 9 == 8 else int(n) for n in numbers]

    def made(n: int) -> Any:
        if pa.types.is_boolean(kind):
            return bool(n % 2)
        if pa.types.is_floating(kind):
            return [n / 8, float("nan"), -0.0, 0.0, float("inf")][n % 5]
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return "é" * (n % 4) + str(n)
        if pa.types.is_fixed_size_binary(kind):
            return f"{n % 1000:03}".encode()
        if pa.types.is_binary(kind):
            return b"\0" * (n % 3)
        if pa.types.is_list(kind):
            return [n, None, n][: n % 4]
        if pa.types.is_struct(kind):
            return {"a": n, "b": [str(n), None][: n % 3]}
        if pa.types.is_map(kind):
            return [(str(n), n % 100)]
        return n % 120

    if pa.types.is_null(kind):
        return pa.nulls(len(numbers))
    if pa.types.is_dictionary(kind):
        levels = pa.array(["z", "unused", "a", "m", ""])
        codes = pa.array([None if n is None else n % 5 for n in listed], kind.index_type)
        return pa.DictionaryArray.from_arrays(codes, levels, ordered=kind.ordered)
    return pa.array([None if n is None else made(n) for n in listed], kind)


def replaced(table: pa.Table, name: str, places: np.ndarray, fresh: pa.Array) -> pa.Table:
    at = table.column_names.index(name)
    column = table[name].combine_chunks() if table[name].num_chunks != 1 else table[name].chunk(0)
    order = np.arange(len(column))
    order[places] = len(column) + np.arange(len(places))
    both = pa.concat_arrays([column, fresh]).take(pa.array(order))
    return table.set_column(at, table.schema.field(name), both)


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.versions: dict[str, pa.Table] = {}
        self.newest: str | None = None
        self.fresh = 0

    def numbers(self, count: int) -> np.ndarray:
        self.fresh += count
        return np.arange(self.fresh - count, self.fresh)

    def new_rows(self, count: int) -> pa.Table:
        key = self.numbers(count)
        columns = {
            field.name: pa.array(key, field.type)
            if field.name == "key" and field.type == pa.int64()
            else values(field.type, self.chance.integers(0, 60, count))
            for field in self.table.schema
        }
        return pa.table(columns, schema=self.table.schema)

    @initialize(
        seed=st.integers(0, 2**32), kinds=st.lists(st.sampled_from(sorted(KINDS)), max_size=4, unique=True)
    )
    def begin(self, seed: int, kinds: list[str]) -> None:
        self.chance = np.random.default_rng(seed)
        fields = [pa.field("key", pa.int64()), *(pa.field(kind, KINDS[kind]) for kind in kinds)]
        if seed % 4 == 0:
            fields = fields[1:] or fields
        self.table = pa.schema(fields, metadata={"k": "v"}).empty_table()
        self.table = self.new_rows(int(self.chance.integers(0, 120)))
        self.keep()

    def keep(self, parent: str | None = None) -> None:
        expected = version_id(self.table)
        name = self.store.keep(self.table, self.newest if parent is None else parent)
        assert name == expected, "the id depends on the history"
        self.versions[name] = self.table
        self.newest = name

    def some(self, share: float) -> np.ndarray:
        return np.flatnonzero(self.chance.random(len(self.table)) < share)

    @rule(count=st.integers(0, 60))
    def append(self, count: int) -> None:
        self.table = pa.concat_tables([self.table, self.new_rows(count)])
        self.keep()

    @rule(share=st.sampled_from([0.01, 0.2, 0.7]))
    def delete_scattered(self, share: float) -> None:
        self.table = self.table.filter(pa.array(self.chance.random(len(self.table)) >= share))
        self.keep()

    @rule(a=st.floats(0, 1), b=st.floats(0, 1))
    def delete_clustered(self, a: float, b: float) -> None:
        first, last = sorted((int(a * len(self.table)), int(b * len(self.table))))
        self.table = pa.concat_tables([self.table.slice(0, first), self.table.slice(last)])
        self.keep()

    @rule(a=st.floats(0, 1), count=st.integers(1, 30))
    def insert(self, a: float, count: int) -> None:
        at = int(a * len(self.table))
        self.table = pa.concat_tables([self.table.slice(0, at), self.new_rows(count), self.table.slice(at)])
        self.keep()

    @rule(share=st.sampled_from([0.02, 0.1, 0.5, 1.0]), where=st.floats(0, 0.999))
    def edit_cells(self, share: float, where: float) -> None:
        if self.table.num_columns:
            name = self.table.column_names[int(where * self.table.num_columns)]
            places = self.some(share)
            fresh = values(self.table.schema.field(name).type, self.chance.integers(0, 60, len(places)))
            self.table = replaced(self.table, name, places, fresh)
        self.keep()

    @rule(share=st.sampled_from([0.02, 0.3]))
    def edit_rows(self, share: float) -> None:
        places = self.some(share)
        fresh = self.new_rows(len(places))
        for name in self.table.column_names:
            self.table = replaced(self.table, name, places, fresh[name].combine_chunks())
        self.keep()

    @rule(how=st.sampled_from(["shuffle", "reverse", "rotate", "swap"]))
    def reorder(self, how: str) -> None:
        order = np.arange(len(self.table))
        if how == "shuffle":
            order = self.chance.permutation(order)
        elif how == "reverse":
            order = order[::-1]
        elif how == "rotate":
            order = np.roll(order, len(order) // 3)
        elif len(order) > 1:
            order[[0, -1]] = order[[-1, 0]]
        self.table = self.table.take(pa.array(order))
        self.keep()

    @rule(kind=st.sampled_from(sorted(KINDS)), at=st.floats(0, 1))
    def add_column(self, kind: str, at: float) -> None:
        if f"{kind}" not in self.table.column_names:
            fresh = values(KINDS[kind], self.chance.integers(0, 60, len(self.table)))
            self.table = self.table.add_column(int(at * self.table.num_columns), kind, fresh)
        self.keep()

    @rule(where=st.floats(0, 0.999))
    def drop_column(self, where: float) -> None:
        if self.table.num_columns > 1:
            self.table = self.table.drop_columns(
                [self.table.column_names[int(where * self.table.num_columns)]]
            )
        self.keep()

    @rule(where=st.floats(0, 0.999))
    def rename_column(self, where: float) -> None:
        at, names = int(where * self.table.num_columns), list(self.table.column_names)
        if names:
            while names[at] in self.table.column_names:
                names[at] += "'"
            self.table = self.table.rename_columns(names)
        self.keep()

    @rule(where=st.floats(0, 0.999), kind=st.sampled_from(sorted(KINDS)))
    def retype_column(self, where: float, kind: str) -> None:
        """The key too may become anything."""
        at = int(where * self.table.num_columns)
        if self.table.num_columns:
            field = pa.field(self.table.column_names[at], KINDS[kind])
            fresh = values(field.type, self.chance.integers(0, 60, len(self.table)))
            self.table = self.table.set_column(at, field, fresh)
        self.keep()

    @rule(share=st.sampled_from([0.05, 0.5]))
    def duplicate_rows(self, share: float) -> None:
        if len(self.table) < 400:
            self.table = pa.concat_tables([self.table, self.table.take(pa.array(self.some(share)))])
        self.keep()

    @precondition(lambda self: "key" in self.table.column_names)
    @rule(share=st.sampled_from([0.1, 1.0]))
    def change_keys(self, share: float) -> None:
        places = self.some(share)
        kind = self.table.schema.field("key").type
        fresh = (
            pa.array(self.numbers(len(places)) % 120, kind)
            if pa.types.is_integer(kind)
            else values(kind, self.chance.integers(0, 60, len(places)))
        )
        self.table = replaced(self.table, "key", places, fresh)
        self.keep()

    @rule()
    def shrink_to_nothing(self) -> None:
        self.table = self.table.slice(0, 0)
        self.keep()

    @rule(which=st.floats(0, 0.999), on=st.booleans())
    def go_back(self, which: float, on: bool) -> None:
        """To an earlier content, registered again or built upon from there."""
        name = list(self.versions)[int(which * len(self.versions))]
        self.table = self.versions[name]
        if on:
            self.newest = name
        self.keep()

    @rule()
    def rechunk(self) -> None:
        half = len(self.table) // 2
        self.table = pa.concat_tables([self.table.slice(0, half), self.table.slice(half)])
        self.keep()

    @invariant()
    def newest_loads_exactly(self) -> None:
        if self.newest is not None:
            self.same(self.store.load(self.newest), self.versions[self.newest])

    @invariant()
    def parts_load_exactly(self) -> None:
        if not self.versions:
            return
        name = list(self.versions)[int(self.chance.integers(len(self.versions)))]
        table, stored = self.versions[name], self.store.open(name)
        start, stop = sorted(self.chance.integers(0, len(table) + 3, 2).tolist())
        columns = [n for n in table.column_names if self.chance.random() < 0.5][::-1]
        self.same(stored.table(columns, start, stop), table.slice(start, stop - start).select(columns))

    def same(self, found: pa.Table, expected: pa.Table) -> None:
        found.validate(full=True)
        assert found.schema.equals(expected.schema, check_metadata=True)
        assert found.num_rows == expected.num_rows
        assert version_id(found) == version_id(expected)

    def teardown(self) -> None:
        for name, table in self.versions.items():
            self.same(self.store.load(name), table)


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small table has many."""
    monkeypatch.setattr(rows, "AVERAGE", 16)
    monkeypatch.setattr(rows, "LEAST", 4)
    monkeypatch.setattr(rows, "MOST", 40)


class TestHistory(History.TestCase):
    settings = settings(
        max_examples=400 if LONG else 12,
        stateful_step_count=60 if LONG else 25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_patches_of_rows_that_are_gone_never_meet_other_rows() -> None:
    """A table that starts anew on top of a patched one: nothing of the patch may come back."""
    store = MemoryStore()
    table = pa.table({"key": range(100), "x": range(100)})
    first = store.keep(table)
    patched = replaced(table, "x", np.array([0, 50]), pa.array([-1, -2]))
    second = store.keep(patched, first)
    assert store.open(second).manifest.column("x").patches
    anew = pa.table({"key": range(1000, 1100), "x": range(100)})
    third = store.keep(anew, second)
    assert store.load(third).equals(anew)
    nothing = store.keep(table.slice(0, 0), second)
    assert store.load(store.keep(anew, nothing)).equals(anew)
