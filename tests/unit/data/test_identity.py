"""Names made of content: pinned for ever, blind to how the content is held, awake to what it is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.families import FAMILIES

from everloop.core.errors import InvalidSettings, UnknownColumn, WrongType
from everloop.data import identity, reading
from everloop.data.identity import row_hashes, version_id

# Format everloop.table/2. These never change: ids that users have written down depend on them.
GOLDEN_IDS = {
    "integers": "41e57f689bd3441bb295b7b9cc502d9c9e0973cabc82301bfb7652c805b1600a",
    "floats": "9d4c8147ef7641ea972d6ebf1ccce6378a780972ec4c837663bfe4dcf34e831f",
    "booleans": "b2d92d5ae9061ea5bd8ad6c96580bb4a454ffb9ced24b8335d09f603e7e7ce59",
    "texts": "afbfefbde11925f3e53a11c34bb57cbb0d47f85b0d7f47358e8e213f5eb99aea",
    "binaries": "827c0b56007b3d49fa51632dfde44272fb793d92e01c12235a248ec4edde3a52",
    "times": "9350d75578d227b77395393196640a508e9b45a5a7575123fd53df26334e9bf6",
    "decimals": "8403b8e0469fd70fce7af6fd177d0018f0cc1f84c324da4b249d3b7edd612888",
    "categories": "a4ee61564ece8f067220d3fa44a71def386bd39b8ddf7332dc5ee4c081aea15e",
    "nested": "253877a0aa9162e31a68db7f570efc33edf77d9e2dd005d469e3b316271b5a6f",
    "nulls": "1bc8c225d92f34781c670b15510aaa5765035c378508a59fcefad871388a40da",
    "uuids": "20bee7dd510d312f72ff847aaa970123c5cf06d01c6b3be765ec8c89244fd318",
    "no rows": "1364ae09dd0d7b7123be1532b3763a0caff49f8b30b90938cd2223a698f08742",
}
GOLDEN_ROWS = {
    "integers": [0x5409096F29B78488, 0x2239F092533201DB, 0xBE17A03D2A7CBED4, 0xAD8A34351F9BA950],
    "booleans": [0xA9088667DF26EE06, 0x8C0FCB16929FB799, 0xAE38922571A5028A],
    "texts": [
        0xBDBBE66D89184380,
        0x1BF1EAF2BE19D675,
        0xDD93177989E4C4DA,
        0xC89AE618FD7DC94F,
        0xBDBBE66D89184380,
    ],
    "binaries": [0xCF7C01BF29AE0534, 0x00FC3465F5E055AC, 0xE51A3557A5554502],
    "times": [0x88A69E2C06F4D52E, 0x282345BABD564DCB, 0x5C41C19FFA104517, 0x82DD9ADD1A96DB8F],
    "decimals": [0x78189AD935A2F4E2, 0x3186B2429EDCF1E4, 0x4E22A43919E7D79C, 0xD2D00ED5643DD73F],
    "categories": [0xAD9DE02AC45B30EE, 0xBD7EB3B6E5158EB6, 0xA3D146A660734517, 0xAD9DE02AC45B30EE],
    "nested": [0x99BC83F78ACB2177, 0x31F42F0AD3E657D1, 0xC3A943F24DE57DCE, 0x1E2307FAA3B30BB4],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_pinned(family: str) -> None:
    assert version_id(FAMILIES[family]) == GOLDEN_IDS[family]


@pytest.mark.parametrize("family", GOLDEN_ROWS)
def test_row_hashes_are_pinned(family: str) -> None:
    assert row_hashes(FAMILIES[family]).tolist() == GOLDEN_ROWS[family]


def test_the_format_can_be_followed_without_the_product() -> None:
    def digest(*parts: bytes) -> str:
        return hashlib.sha256(b"".join(len(p).to_bytes(8, "little") + p for p in parts)).hexdigest()

    def integers(*values: int) -> bytes:
        return b"".join(v.to_bytes(8, "little", signed=True) for v in values)

    def column(*parts: bytes) -> str:
        return hashlib.sha256(rows + bytes.fromhex(digest(rows, *parts))).hexdigest()

    rows = (3).to_bytes(8, "little")
    document = {
        "columns": [
            ["n", "int64", column(integers(1), integers(7, 0, -2))],
            ["s", "string", column(integers(0), integers(0, 1, 2), b"xyz")],
        ],
        "format": "everloop.table/2",
        "rows": 3,
    }
    expected = hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()
    assert version_id(pa.table({"n": [7, None, -2], "s": [None, "x", "yz"]})) == expected


def _variants(table: pa.Table) -> dict[str, pa.Table]:
    """The same content, held differently."""
    padded = pa.concat_tables([table.slice(0, 1), table, table.slice(0, 1)])
    return {
        "chunks": pa.concat_tables([table.slice(i, 1) for i in range(table.num_rows)] or [table]),
        "slice": padded.slice(1, table.num_rows).combine_chunks() if table.num_rows else table,
        "offset": padded.combine_chunks().slice(min(1, table.num_rows), table.num_rows),
        "metadata": table.replace_schema_metadata({"who": "cares"}),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_slices_and_metadata_make_no_difference(family: str) -> None:
    table = FAMILIES[family]
    for name, variant in _variants(table).items():
        assert version_id(variant) == version_id(table), name
        assert np.array_equal(row_hashes(variant), row_hashes(table)), name


_SAME = {
    "texts": (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())),
    "bytes": (pa.binary(), pa.large_binary(), pa.binary_view()),
    "lists": (pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_view(pa.int64())),
    "dates": (pa.date32(), pa.date64()),
    "times": tuple(pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")),
    "zones": (pa.timestamp("s", "UTC"), pa.timestamp("s", "+00:00"), pa.timestamp("s", "Etc/UTC")),
    "clocks": (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    "spans": tuple(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    "numbers": (pa.int64(), pa.dictionary(pa.int32(), pa.int64())),
}
_VALUES = {
    "texts": ["b", None, "", "b"],
    "bytes": [b"b", None, b""],
    "lists": [[1, None], None, []],
    "dates": [date(1969, 12, 31), None, date(2024, 2, 29)],
    "times": [datetime(1969, 12, 31, 23, tzinfo=UTC), None, datetime(2024, 2, 29, tzinfo=UTC)],
    "zones": [datetime(1969, 12, 31, 23, tzinfo=UTC), None],
    "clocks": [3600, None, 0],
    "spans": [-3, None, 4],
    "numbers": [5, None, 5],
}


@pytest.mark.parametrize("group", _SAME)
def test_encodings_and_units_make_no_difference(group: str) -> None:
    first = pa.array(_VALUES[group], _SAME[group][0])
    tables = [pa.table({"x": _as(first, kind)}) for kind in _SAME[group]]
    assert len({version_id(table) for table in tables}) == 1
    assert len({row_hashes(table).tobytes() for table in tables}) == 1


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return array.dictionary_encode().cast(kind)
    return pa.array(array.to_pylist(), kind) if pa.types.is_nested(kind) else array.cast(kind)


def test_slices_of_large_texts_are_the_texts_they_show() -> None:
    for kind in (pa.large_string(), pa.large_binary()):
        array = pa.array(["before", "a", None, "bc", "after"], pa.string()).cast(kind)
        for start, length in ((1, 3), (3, 1), (2, 1)):
            cut = array.slice(start, length)
            assert version_id(pa.table({"x": cut})) == version_id(
                pa.table({"x": pa.array(cut.to_pylist(), kind)})
            )


def test_run_end_encoding_makes_no_difference() -> None:
    plain = pa.array([1, 1, None, 2])
    assert version_id(pa.table({"x": pa.compute.run_end_encode(plain)})) == version_id(pa.table({"x": plain}))


def test_what_stands_under_nulls_makes_no_difference() -> None:
    dirty = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, 99], np.int64))], null_count=1
    )
    assert dirty.to_pylist() == [1, None]
    assert version_id(pa.table({"x": dirty})) == version_id(pa.table({"x": [1, None]}))
    assert row_hashes(pa.table({"x": dirty})).tolist() == row_hashes(pa.table({"x": [1, None]})).tolist()
    words = pa.Array.from_buffers(
        pa.string(),
        2,
        [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 3, 4], np.int32)), pa.py_buffer(b"abcd")],
    )
    assert version_id(pa.table({"x": words})) == version_id(pa.table({"x": [None, "d"]}))
    lists = pa.ListArray.from_arrays([0, 2, 3], [1, 2, 3], mask=pa.array([True, False]))
    assert version_id(pa.table({"x": lists})) == version_id(pa.table({"x": [None, [3]]}))
    structs = pa.StructArray.from_arrays([pa.array([1, 2])], ["a"], mask=pa.array([False, True]))
    assert version_id(pa.table({"x": structs})) == version_id(pa.table({"x": [{"a": 1}, None]}))


def test_every_nan_is_one_but_zeros_have_signs() -> None:
    strange = np.array([0xFFF8000000000001, 0x7FF0000000000001], np.uint64).view(np.float64)
    usual = np.array([np.nan, np.nan])
    assert version_id(pa.table({"x": strange})) == version_id(pa.table({"x": usual}))
    assert version_id(pa.table({"x": [0.0]})) != version_id(pa.table({"x": [-0.0]}))
    assert version_id(pa.table({"x": [None, 1.0]})) != version_id(pa.table({"x": [float("nan"), 1.0]}))


_DIFFERENT = [
    ({"a": [1, 2]}, {"a": [2, 1]}),
    ({"a": [1, 2]}, {"b": [1, 2]}),
    ({"a": [1], "b": [1]}, {"b": [1], "a": [1]}),
    ({"a": [1]}, {"a": [1.0]}),
    ({"a": [1]}, {"a": pa.array([1], pa.int32())}),
    ({"a": [0]}, {"a": [None, 0][:1]}),
    ({"a": [0, None]}, {"a": [None, 0]}),
    ({"a": ["ab", "c"]}, {"a": ["a", "bc"]}),
    ({"a": ["", "x"]}, {"a": [None, "x"]}),
    ({"a": ["x"]}, {"a": [b"x"]}),
    ({"a": [[1], [2, 3]]}, {"a": [[1, 2], [3]]}),
    ({"a": [[], [1]]}, {"a": [None, [1]]}),
    ({"a": [{"x": None}, {"x": 1}]}, {"a": [None, {"x": 1}]}),
    ({"a": [{"x": 1}]}, {"a": [{"y": 1}]}),
    ({"a": [date(2024, 1, 1)]}, {"a": [datetime(2024, 1, 1)]}),
    ({"a": [datetime(2024, 1, 1)]}, {"a": [datetime(2024, 1, 1, tzinfo=UTC)]}),
    ({"a": pa.array([1], pa.timestamp("s"))}, {"a": pa.array([1], pa.timestamp("ns"))}),
    ({"a": pa.array(["x"]).dictionary_encode()}, {"a": pd.Categorical(["x"], ordered=True)}),
    (
        {"a": pd.Categorical(["x"], ["x", "y"], ordered=True)},
        {"a": pd.Categorical(["x"], ["y", "x"], ordered=True)},
    ),
    (
        {"a": pd.PeriodIndex.from_ordinals([600], freq="M")},
        {"a": pd.PeriodIndex.from_ordinals([600], freq="D")},
    ),
]


@pytest.mark.parametrize(("one", "other"), _DIFFERENT)
def test_different_content_has_different_ids(one: dict[str, object], other: dict[str, object]) -> None:
    assert version_id(_table(one)) != version_id(_table(other))


def _table(columns: dict[str, object]) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def test_a_table_has_one_id_whoever_brings_it(tmp_path) -> None:
    columns = {
        "n": [3, 1, 2],
        "x": [0.5, None, -2.25],
        "s": ["a", "", "Zoë"],
        "ok": [True, False, True],
        "at": [datetime(2024, 1, 1, 5), datetime(2024, 2, 1, 6, 30), datetime(1969, 1, 1)],
    }
    table = pa.table(columns)
    table.to_pandas().to_parquet(tmp_path / "pandas.parquet")
    pq.write_table(table, tmp_path / "old.parquet", version="1.0", compression="gzip", row_group_size=1)
    pl.DataFrame(columns).write_parquet(tmp_path / "polars.parquet")
    pa.feather.write_feather(table, tmp_path / "arrow.feather")
    pa.csv.write_csv(table, tmp_path / "arrow.csv")
    pd.DataFrame(columns).to_csv(tmp_path / "pandas.csv", index=False, quoting=2)
    brought = {
        "arrow": table,
        "batch": table.to_batches()[0],
        "pandas": pd.DataFrame(columns),
        "pandas objects": pd.DataFrame(columns).astype({"s": object}),
        "pandas categories": pd.DataFrame(columns).astype({"s": "category"}),
        "polars": pl.DataFrame(columns),
        "polars categories": pl.DataFrame(columns).with_columns(pl.col("s").cast(pl.Categorical)),
        **{path.name: path for path in tmp_path.iterdir()},
    }
    assert len(brought) == 13
    assert {name: version_id(reading.to_table(source)) for name, source in brought.items()} == dict.fromkeys(
        brought, version_id(table)
    )


def test_every_algorithm_names_the_same_content_in_its_own_way() -> None:
    table = FAMILIES["texts"]
    ids = {algorithm: version_id(table, algorithm) for algorithm in identity.ALGORITHMS}
    assert len(set(ids.values())) == len(ids) >= 12
    assert {"sha256", "md5", "blake2b", "blake3"} <= set(ids)
    assert (len(ids["md5"]), len(ids["sha512"]), len(ids["blake3"])) == (32, 128, 64)
    assert ids["blake3"] == "958b208f37e20ea981636d50de549699278fdb9b00e18dc2bf7b64e6baca52dc"


def test_an_unknown_algorithm_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidSettings, match=r"'sha265'.*Did you mean 'sha25?6'"):
        version_id(FAMILIES["texts"], "sha265")
    with pytest.raises(InvalidSettings, match="shake_128"):
        version_id(FAMILIES["texts"], "shake_128")


def test_an_ordered_category_within_another_value_has_no_id() -> None:
    levels = pa.DictionaryArray.from_arrays([0, 1], ["lo", "hi"], ordered=True)
    for array in (
        pa.StructArray.from_arrays([levels], ["size"]),
        pa.ListArray.from_arrays([0, 2], levels),
    ):
        with pytest.raises(WrongType, match="ordered category within"):
            version_id(pa.table({"x": array}))


def test_unions_have_no_id() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(WrongType, match="union"):
        version_id(pa.table({"x": union}))


def test_row_hashes_ignore_the_order_and_width_of_columns() -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None], "c": [0.5, 1.5]})
    narrow = pa.table(
        {"c": pa.array([0.5, 1.5], pa.float32()), "b": ["x", None], "a": pa.array([1, 2], pa.int8())}
    )
    assert row_hashes(narrow).tolist() == row_hashes(table).tolist()
    assert row_hashes(table, ["b", "a"]).tolist() == row_hashes(table.select(["a", "b"])).tolist()
    assert row_hashes(table.rename_columns(["a", "c", "b"])).tolist() != row_hashes(table).tolist()


def test_row_hashes_of_columns_that_swap_values_differ() -> None:
    table = pa.table({"a": [1, 2, 0], "b": [2, 1, 0]})
    assert len(set(row_hashes(table).tolist())) == 3


def test_an_unknown_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownColumn, match=r"'tenur'.*Did you mean 'tenure'"):
        row_hashes(pa.table({"tenure": [1]}), ["tenur"])


def test_row_hashes_spread_and_do_not_collide() -> None:
    grid = np.arange(90_000)
    table = pa.table({"a": grid % 300, "b": grid // 300, "s": pa.array((grid % 7).astype(str))})
    hashes = row_hashes(table)
    assert len(np.unique(hashes)) == len(grid)
    ones = [np.mean((hashes >> np.uint64(bit)) & np.uint64(1)) for bit in range(64)]
    assert max(abs(share - 0.5) for share in ones) < 5 * 0.5 / np.sqrt(len(grid))


def test_row_hashes_are_the_same_in_another_process() -> None:
    code = (
        "import pyarrow as pa; from everloop.data.identity import row_hashes;"
        "print(row_hashes(pa.table({'s': ['a', None], 'x': [1.5, 2.5]})).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(row_hashes(pa.table({"s": ["a", None], "x": [1.5, 2.5]})).tolist())


_scalars = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(),
    pa.string(): st.text(max_size=4),
    pa.bool_(): st.booleans(),
    pa.timestamp("us", "UTC"): st.integers(-(2**50), 2**50),
    pa.list_(pa.string()): st.lists(st.none() | st.text(max_size=2), max_size=3),
}


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 8))
    kinds = draw(st.lists(st.sampled_from(list(_scalars)), min_size=1, max_size=4))
    return pa.table(
        {
            f"c{i}": pa.array(draw(st.lists(st.none() | _scalars[k], min_size=rows, max_size=rows)), k)
            for i, k in enumerate(kinds)
        }
    )


@given(table=_tables(), cuts=st.lists(st.integers(0, 8), max_size=3), data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_table_keeps_its_names_however_it_is_cut(
    table: pa.Table, cuts: list[int], data: st.DataObject
) -> None:
    edges = sorted({0, table.num_rows, *(min(cut, table.num_rows) for cut in cuts)})
    pieces = [table.slice(a, b - a) for a, b in pairwise(edges)]
    cut = pa.concat_tables(pieces)
    assert version_id(cut) == version_id(table)
    assert np.array_equal(row_hashes(cut), row_hashes(table))
    order = data.draw(st.permutations(range(table.num_rows)))
    assert np.array_equal(row_hashes(table.take(order)), row_hashes(table)[order])
