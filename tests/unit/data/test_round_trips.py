"""What is stored comes back: every Arrow type a table can hold, its schema included, whole and in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.families import FAMILIES
from tests.unit.data.memory_store import MemoryStore

from everloop.core.errors import UnknownColumn, WrongType
from everloop.data.identity import version_id
from everloop.data.reading import to_table

UUIDS = [b"0123456789abcdef", b"1123456789abcdef"]


def codes(levels: pa.Array, *places: int | None, ordered: bool = False, index: Any = None) -> pa.Array:
    where = pa.array(places, index or pa.int8())
    return pa.DictionaryArray.from_arrays(where, levels, ordered=ordered)


def extension(kind: pa.DataType, values: list[Any], storage: pa.DataType) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, storage))


def floats(*bits: int) -> pa.Array:
    return pa.array(np.array(bits, np.uint64).view(np.float64))


COLUMNS: dict[str, pa.Array] = {
    "nan of any payload": floats(0x7FF8000000000001, 0xFFF0000000000007, 0x8000000000000000, 1),
    "seconds in Berlin": pa.array([1, None, -1], pa.timestamp("s", "Europe/Berlin")),
    "milliseconds": pa.array([1, None, -1], pa.timestamp("ms")),
    "microseconds and an offset": pa.array([1, None], pa.timestamp("us", "+05:30")),
    "nanoseconds": pa.array([-(2**63) + 1, None, 2**63 - 1], pa.timestamp("ns", "UTC")),
    "date32": pa.array([-700_000, None, 2_000_000], pa.date32()),
    "date64": pa.array([86_400_000, None, 0], pa.date64()),
    "time32 s": pa.array([1, None, 0], pa.time32("s")),
    "time32 ms": pa.array([1, None, 0], pa.time32("ms")),
    "time64 us": pa.array([1, None, 0], pa.time64("us")),
    "time64 ns": pa.array([1, None, 0], pa.time64("ns")),
    **{
        f"duration {unit}": pa.array([most, None, -most], pa.duration(unit))
        for unit, most in {"s": 10**12, "ms": 10**15, "us": 2**63 - 1, "ns": 2**63 - 1}.items()
    },
    "calendar interval": pa.array([(1, -2, 2**62), None, (0, 0, 0)], pa.month_day_nano_interval()),
    "decimal32": pa.array([Decimal("1.1"), None], pa.decimal32(5, 2)),
    "decimal64": pa.array([Decimal("1.1"), None], pa.decimal64(12, 2)),
    "decimal128": pa.array([Decimal("-1.1"), None], pa.decimal128(30, 2)),
    "decimal256": pa.array([Decimal("1.1"), None], pa.decimal256(70, 2)),
    "decimal with places before the point": pa.array([Decimal("1E+4"), None], pa.decimal128(5, -3)),
    "large string": pa.array(["a", None, ""], pa.large_string()),
    "large binary": pa.array([b"a", None, b"\0"], pa.large_binary()),
    "fixed binary of nothing": pa.array([b"", None], pa.binary(0)),
    "only nulls": pa.nulls(3),
    "only missing": pa.nulls(3, pa.string()),
    "only missing numbers": pa.nulls(3, pa.float32()),
    "more bits than a byte": pa.array([True, None, False, True] * 5),
    "categories of texts": codes(pa.array(["x", "unused", "y"]), 2, None, 0),
    "ordered": codes(pa.array(["low", "mid", "high"]), 2, None, 0, ordered=True),
    "categories of large texts": codes(pa.array(["x", "y"], pa.large_string()), 1, None, 0),
    "unsigned codes": codes(pa.array(["x", "y"]), 1, None, 0, index=pa.uint8()),
    "long codes": codes(pa.array(["x", "y"]), 1, None, 0, index=pa.uint64()),
    "categories of nothing": codes(pa.array([], pa.string()), None, None),
    "categories of integers": codes(pa.array([30, 20, 10]), 2, None, 0),
    "categories of floats": codes(pa.array([0.0, float("nan"), -0.0]), 2, None, 0, 1),
    "categories of half floats": codes(pa.array([np.float16(1), np.float16(-0.0)]), 1, None, 0),
    "categories of booleans": codes(pa.array([True, False]), 1, None, 0),
    "categories of decimals": codes(pa.array([Decimal("1.1"), Decimal("2.2")]), 1, None, 0),
    "categories of times": codes(pa.array([1, 0], pa.timestamp("ms", "Asia/Tokyo")), 1, None, 0),
    "categories of durations": codes(pa.array([1, 0], pa.duration("s")), 1, None, 0),
    "categories of bytes": codes(pa.array([b"a", b"\0"]), 1, None, 0),
    "categories of fixed bytes": codes(pa.array([b"a", b"\0"], pa.binary(1)), 1, None, 0),
    "categories of lists": codes(pa.array([[1], [2, None]]), 1, None, 0),
    "categories of structs": codes(pa.array([{"a": 1}, {"a": None}]), 1, None, 0),
    "categories of uuids": codes(pa.array(UUIDS, pa.uuid()), 1, None, 0),
    "runs": pc.run_end_encode(pa.array([1, 1, None, 2])),
    "short runs of texts": pc.run_end_encode(pa.array(["a", "a", None]), run_end_type=pa.int16()),
    "list": pa.array([[1], None, [2, None]]),
    "large list": pa.array([[1], None, []], pa.large_list(pa.int16())),
    "fixed list": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)),
    "fixed list of nothing": pa.array([[], None], pa.list_(pa.int32(), 0)),
    "list view": pa.array([[1], None, [2, 3]], pa.list_view(pa.int32())),
    "large list view": pa.array([[1], None, [2, 3]], pa.large_list_view(pa.int32())),
    "list of nulls": pa.array([[None], None, []], pa.list_(pa.null())),
    "list of categories": pa.array([["a", "b"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "list of numbered categories": pa.array([[1], None], pa.list_(pa.dictionary(pa.int32(), pa.int64()))),
    "list of uuids": pa.ListArray.from_arrays(
        pa.array([0, 1, 1], pa.int32()), pa.array(UUIDS[:1], pa.uuid())
    ),
    "struct": pa.array([{"a": [{"b": 1.5, "c": None}]}, None, {"a": None}]),
    "struct of nothing": pa.array([{}, None], pa.struct([])),
    "struct of categories": pa.array(
        [{"a": "x"}, None], pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))])
    ),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "sorted map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64(), keys_sorted=True)),
    "uuid": pa.array([UUIDS[0], None], pa.uuid()),
    "json": pa.array(["{}", None], pa.json_()),
    "json in large text": pa.array(["{}", None], pa.json_(pa.large_string())),
    "one byte booleans": extension(pa.bool8(), [1, None], pa.int8()),
    "opaque": extension(pa.opaque(pa.binary(), "type", "vendor"), [b"a", None], pa.binary()),
    "tensor": extension(
        pa.fixed_shape_tensor(pa.int32(), [2, 2], dim_names=["x", "y"], permutation=[1, 0]),
        [[1, 2, 3, 4], None],
        pa.list_(pa.int32(), 4),
    ),
}


def same(found: pa.Table, expected: pa.Table) -> None:
    found.validate(full=True)
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.num_rows == expected.num_rows
    assert version_id(found) == version_id(expected)
    assert repr(found.to_pylist()) == repr(expected.to_pylist())


def one_column(array: pa.Array | pa.ChunkedArray) -> pa.Table:
    field = pa.field("c", array.type, metadata={"unit": "kg"})
    return pa.table([array], schema=pa.schema([field], metadata={"told by": "us"}))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_type_comes_back_whole_in_parts_and_after_changes(name: str) -> None:
    column = COLUMNS[name]
    table = to_table(one_column(column))
    store = MemoryStore()
    first = store.keep(table)
    same(store.load(first), table)
    grown = pa.concat_tables([table, table.slice(1), table])
    second = store.keep(grown, first)
    same(store.load(second), grown)
    same(store.open(second).table(None, 1, 3), grown.slice(1, 2))
    empty = table.slice(0, 0)
    third = store.keep(empty, second)
    same(store.load(third), empty)
    same(store.load(store.keep(table.slice(1), third)), table.slice(1))


def taken(column: pa.Array, places: np.ndarray) -> pa.Array:
    if pa.types.is_run_end_encoded(column.type):
        return pc.run_end_encode(taken(pc.run_end_decode(column), places), column.type.run_end_type)
    return column.take(pa.array(places))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_type_comes_back_beside_a_key_that_moves(name: str) -> None:
    """With a key there are patches, orders and rewritten strips."""
    column = COLUMNS[name]
    many = taken(column, np.arange(60) % len(column))
    table = pa.table({"key": range(60), "c": many})
    store = MemoryStore()
    first = store.keep(table)
    edited = table.set_column(1, table.schema.field(1), taken(many, np.r_[1, np.arange(1, 60)]))
    moved = pa.concat_tables([edited.slice(30), edited.slice(1, 29)])
    second = store.keep(edited, first)
    third = store.keep(moved, second)
    for version, expected in ((first, table), (second, edited), (third, moved)):
        same(store.load(version), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_come_back(family: str) -> None:
    store = MemoryStore()
    same(store.load(store.keep(FAMILIES[family])), FAMILIES[family])


def test_nan_payloads_and_negative_zero_come_back_to_the_bit() -> None:
    store = MemoryStore()
    column = COLUMNS["nan of any payload"]
    back = store.load(store.keep(pa.table({"x": column})))["x"].to_numpy()
    assert back.view(np.uint64).tolist() == column.to_numpy().view(np.uint64).tolist()


def test_nullability_and_metadata_of_fields_inside_come_back() -> None:
    inner = pa.struct([pa.field("a", pa.int8(), nullable=False, metadata={"k": "v"})])
    schema = pa.schema([pa.field("s", inner, nullable=False), pa.field("n", pa.int8(), nullable=False)])
    table = pa.table({"s": pa.array([{"a": 1}], inner), "n": pa.array([1], pa.int8())}).cast(schema)
    store = MemoryStore()
    found = store.load(store.keep(table)).schema
    assert found.equals(schema, check_metadata=True)
    assert found.field("s").type.field("a").equals(inner.field("a"), check_metadata=True)


def test_levels_come_back_used_or_not_and_in_their_order() -> None:
    store = MemoryStore()
    for name, column in FAMILIES["categories"].to_pydict().items():
        table = FAMILIES["categories"].select([name])
        back = store.load(store.keep(pa.concat_tables([table, table])))
        assert back[name].chunk(0).dictionary.equals(table[name].chunk(0).dictionary), name
        assert back[name].to_pylist() == column * 2


def test_a_level_that_is_missing_or_there_twice_gives_the_same_values() -> None:
    """The codes are made again from the values: the first of equal levels, none for a missing one."""
    store = MemoryStore()
    levels = pa.array(["a", None, "a", "b"])
    back = store.load(store.keep(pa.table({"c": codes(levels, 0, 1, 2, 3)})))["c"].chunk(0)
    assert back.to_pylist() == ["a", None, "a", "b"]
    assert back.indices.to_pylist() == [0, None, 0, 3]
    assert back.dictionary.equals(levels)


def test_chunks_with_other_levels_become_one() -> None:
    def ordered(places: list[int], levels: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), levels, ordered=True)

    chunks = pa.chunked_array([ordered([1, 0], ["b", "a"]), ordered([1, 0, 1], ["a", "c"])])
    store = MemoryStore()
    back = store.load(store.keep(pa.table({"level": chunks})))
    assert back["level"].to_pylist() == ["a", "b", "c", "a", "c"]
    assert back["level"].chunk(0).dictionary.to_pylist() == ["b", "a", "c"]


def test_a_million_categories() -> None:
    levels = pa.array(np.arange(1_000_000).astype(str))
    table = pa.table({"c": codes(levels, 5, 999_999, None, 5, index=pa.int32(), ordered=True)})
    store = MemoryStore()
    back = store.load(store.keep(table))
    assert back.equals(table)
    assert back["c"].chunk(0).dictionary.equals(levels)


def test_a_cell_of_a_hundred_megabytes() -> None:
    text = "0123456789" * 10_000_000
    table = pa.table({"s": pa.array(["", text, None, "x"])})
    store = MemoryStore()
    assert store.load(store.keep(table)).equals(table)
    assert store.size() < 1_000_000


@pytest.mark.parametrize("rows", [0, 5])
def test_no_columns(rows: int) -> None:
    table = to_table(pa.Table.from_pandas(pd.DataFrame(index=range(rows))))
    assert table.num_columns == 0
    store = MemoryStore()
    name = store.keep(table)
    found = store.load(name)
    assert found.shape == (rows, 0)
    assert found.to_pandas().shape == (rows, 0)
    assert version_id(found) == name
    assert store.open(name).table([], 1, 3).num_rows == max(0, min(rows, 3) - 1)


def test_unions_and_runs_of_lists_are_refused() -> None:
    union = pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["x"])]
    )
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([[1]]))
    for column in (union, runs):
        with pytest.raises(WrongType, match=r"Column 'c'.*cannot be versioned"):
            to_table(pa.table({"c": column}))


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "plain": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "named index": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
    "levels of index": lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])
    ),
    "columns in levels": lambda: pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    ),
    "numbered columns": lambda: pd.DataFrame([[1, 2]], columns=[0, 1]),
    "range": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(1, 5, 2, name="r")),
    "times": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2, tz="UTC")),
    "periods": lambda: pd.DataFrame({"a": pd.period_range("2024-01", periods=3, freq="M")}),
    "intervals": lambda: pd.DataFrame({"a": pd.arrays.IntervalArray.from_breaks([0, 1, 2])}),
    "categories": lambda: pd.DataFrame(
        {"a": pd.Categorical(["b", None], ["b", "a"], ordered=True), "n": pd.Categorical([3, 1], [3, 2, 1])}
    ),
    "category index": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["b", "a"], ["b", "a"])),
    "nullable": lambda: pd.DataFrame(
        {"b": pd.array([True, None], "boolean"), "f": pd.array([1.5, None], "Float32")}
    ),
    "no rows": lambda: pd.DataFrame({"a": pd.Series([], dtype="int64")}),
    "nothing": lambda: pd.DataFrame(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_pandas_comes_back_with_its_index_types_and_attributes(name: str) -> None:
    frame = FRAMES[name]()
    frame.attrs = {"unit": "kg", "steps": [1, 2]}
    store = MemoryStore()
    found = store.load(store.keep(to_table(frame))).to_pandas()
    pd.testing.assert_frame_equal(found, frame, check_freq=False)
    assert found.attrs == frame.attrs


def test_what_pandas_cuts_comes_back_as_arrow_had_it() -> None:
    """pyarrow makes no frame of a dictionary of intervals; the table itself is whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = to_table(pd.DataFrame({"a": pd.cut(np.arange(10.0), 3)}))
    store = MemoryStore()
    name = store.keep(table)
    same(store.load(name), table)
    same(store.load(store.keep(pa.concat_tables([table, table]), name)), pa.concat_tables([table, table]))


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"a": ["x", "y", None]}, schema={"a": pl.Categorical}),
        pl.DataFrame({"a": ["x", "y", None]}, schema={"a": pl.Enum(["y", "x", "z"])}),
        pl.DataFrame({"a": [["x"], ["y", "x"]]}, schema={"a": pl.List(pl.Categorical)}),
        pl.DataFrame({"a": [[1, 2], None]}, schema={"a": pl.Array(pl.Int8, 2)}),
        pl.DataFrame({"a": [{"b": [1, None]}, None]}),
        pl.DataFrame({"a": [Decimal("1.1")], "n": [None], "s": ["x"], "y": [b"x"]}),
        pl.DataFrame({"a": []}, schema={"a": pl.String}),
        pl.DataFrame(),
    ],
    ids=["categorical", "enum", "list of categoricals", "array", "struct", "simple", "no rows", "nothing"],
)
def test_polars_comes_back(frame: pl.DataFrame) -> None:
    store = MemoryStore()
    found = pl.from_arrow(store.load(store.keep(to_table(frame))))
    assert isinstance(found, pl.DataFrame)
    assert found.schema == frame.schema
    assert found.equals(frame)


def test_one_id_in_several_forms_is_kept_in_the_first() -> None:
    """The id says what the values are, not how Arrow holds them: who registers the same content as another
    physical type has registered nothing new, and loads what is there."""
    store = MemoryStore()
    table = pa.table({"s": pa.array(["a", "b", "a"])})
    name = store.keep(table)
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        assert version_id(table.cast(pa.schema([("s", kind)]))) == name
    assert store.load(name).schema.field("s").type == pa.string()


def test_columns_and_rows_come_alone_in_the_order_asked_for() -> None:
    table = pa.table({"a.b": range(10), "a": range(10, 20), "c": [str(n) for n in range(10)]})
    store = MemoryStore()
    stored = store.open(store.keep(table))
    assert stored.table(["c", "a.b"], 3, 7).equals(table.select(["c", "a.b"]).slice(3, 4))
    assert stored.table(["a"], 8, 99).equals(table.select(["a"]).slice(8))
    assert stored.table(["a"], 7, 7).num_rows == 0
    with pytest.raises(UnknownColumn, match=r"no column 'cc'. Did you mean 'c'\?"):
        stored.table(["a", "cc"])


def test_only_what_is_asked_for_is_read() -> None:
    table = pa.table({"key": np.arange(200_000), "x": np.random.default_rng(1).random(200_000)})
    store = MemoryStore()
    stored = store.open(store.keep(table))
    strips = len(stored.manifest.strips)
    assert strips > 1
    store.fetched.clear()
    stored.table(["x"], 0, 10)
    assert len(store.fetched) == 1
    store.fetched.clear()
    stored.table(["x"])
    assert len(store.fetched) == strips


def test_a_change_of_the_hash_algorithm_takes_no_digest_over() -> None:
    table = pa.table({"key": range(100), "x": range(100)})
    store = MemoryStore()
    first = store.keep(table, algorithm="sha256")
    edited = table.set_column(1, "x", pa.array([7, *range(1, 100)]))
    assert store.keep(edited, first, algorithm="blake3") == version_id(edited, "blake3")


def test_empty_columns_of_other_types_take_no_digest_over() -> None:
    store = MemoryStore()
    first = store.keep(pa.table({"a": pa.array([], pa.int64())}))
    texts = pa.table({"a": pa.array([], pa.string())})
    second = store.keep(texts, first)
    assert second == version_id(texts)
    same(store.load(second), texts)


@given(
    texts=st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=30),
    numbers=st.lists(st.none() | st.floats(), min_size=1, max_size=30),
    cut=st.integers(1, 30),
)
@settings(max_examples=30, deadline=None)
def test_any_values_come_back(texts: list[str | None], numbers: list[float | None], cut: int) -> None:
    rows = min(len(texts), len(numbers))
    table = pa.table(
        {
            "s": pa.array(texts[:rows], pa.string()),
            "c": pa.array(texts[:rows], pa.string()).dictionary_encode(),
            "x": pa.array(numbers[:rows], pa.float64()),
            "f": pa.array(numbers[:rows], pa.float64()).dictionary_encode(),
        }
    )
    table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    store = MemoryStore()
    same(store.load(store.keep(table)), table)
