"""Stored bytes: give back exactly what was given, notice every damaged byte, stay readable by others."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.families import FAMILIES

from everloop.core.errors import Corrupt, UnknownColumn, WrongType
from everloop.data.encoding import decode, encode
from everloop.data.identity import version_id
from everloop.data.reading import to_table

AWKWARD = pa.table(
    {
        "seconds": pa.array([1, None, -1], pa.timestamp("s", "Europe/Berlin")),
        "date64": pa.array([86_400_000, None, 0], pa.date64()),
        "time32": pa.array([1, None, 0], pa.time32("s")),
        "large": pa.array(["a", None, ""], pa.large_string()),
        "large category": pa.array(["a", None, "b"]).cast(pa.dictionary(pa.int8(), pa.large_string())),
        "large lists": pa.array([[1], None, []], pa.large_list(pa.int16())),
        "runs": pa.compute.run_end_encode(pa.array([1, 1, None])),
        "a.b": [1, 2, 3],
        "a": [4, 5, 6],
    }
)


@pytest.mark.parametrize("family", FAMILIES)
def test_types_and_values_come_back_exactly(family: str) -> None:
    table = FAMILIES[family]
    back = decode(encode(table))
    assert back.schema.equals(table.schema, check_metadata=True)
    assert version_id(back) == version_id(table)
    assert "nan" in str(table.to_pylist()) or back.to_pylist() == table.to_pylist()


def test_what_parquet_forgets_comes_back() -> None:
    back = decode(encode(AWKWARD))
    assert [str(kind) for kind in back.schema.types] == [str(kind) for kind in AWKWARD.schema.types]
    assert back.to_pylist() == AWKWARD.to_pylist()


def test_levels_of_categories_come_back_used_or_not() -> None:
    for name in FAMILIES["categories"].column_names:
        column = FAMILIES["categories"].select([name])
        back = decode(encode(pa.concat_tables([column, column])))
        assert back[name].chunk(0).dictionary.equals(column[name].chunk(0).dictionary), name


def test_ordered_levels_keep_their_order_in_several_chunks_in_none_and_when_many() -> None:
    def ordered(codes: list[int], levels: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), levels, ordered=True)

    chunks = pa.chunked_array([ordered([1, 0], ["b", "a"]), ordered([1, 0, 1], ["a", "c"])])
    back = decode(encode(pa.table({"level": chunks})))
    assert back["level"].to_pylist() == ["a", "b", "c", "a", "c"]
    assert back["level"].chunk(0).dictionary.to_pylist() == ["b", "a", "c"]
    nobody = pa.table({"level": ordered([], ["b", "a"])})
    assert version_id(decode(encode(nobody))) == version_id(nobody)
    levels = [f"{i:040}" for i in range(40_000, 0, -1)]
    back = decode(encode(pa.table({"level": ordered([5, 3, 39_999, 3], levels)})))
    assert back["level"].chunk(0).dictionary.to_pylist() == levels


def test_pandas_comes_back_with_its_index_and_types() -> None:
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"),
            "level": pd.Categorical(["b", "a", None], ["b", "a", "c"], ordered=True),
            "whole": pd.array([1, None, 3], dtype="Int32"),
            "span": pd.to_timedelta([1, 2, 3], unit="h"),
            "month": pd.period_range("2024-01", periods=3, freq="M"),
        },
        index=pd.Index([7, 5, 9], name="key"),
    )
    table = to_table(frame)
    pd.testing.assert_frame_equal(decode(encode(table)).to_pandas(), frame)
    assert decode(encode(table), ["whole"]).to_pandas()["whole"].tolist() == [1, pd.NA, 3]


def test_columns_come_alone_in_the_order_asked_for() -> None:
    data = encode(AWKWARD)
    assert decode(data, ["a"]).equals(AWKWARD.select(["a"]))
    some = decode(data, ["large category", "a.b", "seconds"])
    assert some.equals(AWKWARD.select(["large category", "a.b", "seconds"]))
    with pytest.raises(UnknownColumn, match=r"no column 'second'. Did you mean 'seconds'\?"):
        decode(data, ["a", "second"])


@pytest.fixture(scope="module")
def stored() -> bytes:
    return encode(pa.table({"n": range(100), "s": ["x", None] * 50}))


def test_every_flipped_byte_is_noticed(stored: bytes) -> None:
    for position in range(len(stored)):
        damaged = bytearray(stored)
        damaged[position] ^= 0x04
        with pytest.raises(Corrupt, match="damaged: its checksum does not match"):
            decode(bytes(damaged))


def test_torn_and_foreign_bytes_are_noticed(stored: bytes) -> None:
    for length in [0, 1, 7, 8, 12, 100, len(stored) - 1]:
        with pytest.raises(Corrupt):
            decode(stored[:length])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    for foreign in (sink.getvalue().to_pybytes(), stored + b"\0", bytes(1000), b"PAR1" * 100):
        with pytest.raises(Corrupt):
            decode(foreign)


def test_other_tools_read_the_bytes_as_parquet(stored: bytes, tmp_path) -> None:
    (tmp_path / "x.parquet").write_bytes(stored)
    assert pl.read_parquet(tmp_path / "x.parquet").to_dict(as_series=False) == decode(stored).to_pydict()
    plain = pq.read_table(tmp_path / "x.parquet", page_checksum_verification=True)
    assert plain.to_pydict() == decode(stored).to_pydict()
    chunk = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(0)
    assert chunk.compression == "ZSTD"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{}, None], pa.struct([])),
        pa.array([[1], None], pa.list_(pa.dictionary(pa.int32(), pa.int64()))),
    ],
    ids=str,
)
def test_what_would_not_come_back_is_refused_before_it_is_stored(column: pa.Array) -> None:
    with pytest.raises(WrongType, match="'bad'"):
        encode(pa.table({"good": [1, 2], "bad": column}))


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
    back = decode(encode(table))
    assert back.schema == table.schema
    assert version_id(back) == version_id(table)
