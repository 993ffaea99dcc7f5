"""What comes in: every kind of table and file, and one clear sentence for what cannot come in."""

from __future__ import annotations

import gzip
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from everloop.core.errors import (
    DuplicateColumns,
    EmptyTable,
    FileMissing,
    InvalidSettings,
    MLOpsError,
    Unreadable,
    WrongType,
)
from everloop.data import batches, files
from everloop.data.reading import read_file, refuse_empty, refuse_lost_attributes, to_table
from everloop.data.writing import to_bytes


def _file(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_csv_tells_missing_from_empty(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", 'n,s,t\n1,,""\n,NA,"NA"\nNaN,x,y\n')
    assert to_table(path).to_pydict() == {
        "n": [1, None, None],
        "s": [None, None, "x"],
        "t": ["", "NA", "y"],
    }


def test_csv_that_quotes_every_field_keeps_its_types(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", '"n","d","s","e"\n"1","2024-02-29","",""\n"","","7 km",""\n')
    assert to_table(path).to_pydict() == {
        "n": [1, None],
        "d": [date(2024, 2, 29), None],
        "s": ["", "7 km"],
        "e": ["", ""],
    }


def test_csv_types_come_from_whole_columns_and_quotes_may_hold_newlines(tmp_path: Path) -> None:
    rows = "".join(f'{i},"a\nb\nc\nd, e",2024-01-01T00:00:00Z,true\n' for i in range(60_000))
    table = to_table(_file(tmp_path, "a.csv", "n,s,at,ok\n" + rows + "late,x,2024-01-01T00:00:00Z,false\n"))
    assert table.num_rows == 60_001
    assert [str(kind) for kind in table.schema.types] == ["string", "string", "timestamp[s, tz=UTC]", "bool"]
    assert table["s"][59_999].as_py() == "a\nb\nc\nd, e"


def both_ways(path: Path) -> list[pa.Table]:
    """The table of a CSV file as it is read whole, and in batches."""
    source = batches.open_file(path)
    parts = [part for part, _ in source.each()]
    return [read_file(path), pa.concat_tables([source.schema.empty_table(), *parts])]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("a\n1\n\n2\n", [1, None, 2]),
        ("a\r\n1\r\n\r\n2\r\n\r\n", [1, None, 2, None]),
        ('a\n"x"\n\n""\n', ["x", None, ""]),
        ('a\n"1"\n\n""\n', [1, None, None]),
        ("\n\na\n1\n\n2\n", [1, 2]),
    ],
)
def test_a_blank_line_of_one_column_is_a_missing_value(tmp_path: Path, text: str, column: list[Any]) -> None:
    for table in both_ways(_file(tmp_path, "a.csv", text)):
        assert table.to_pydict() == {"a": column}


def test_blank_lines_of_several_columns_are_nothing(tmp_path: Path) -> None:
    for table in both_ways(_file(tmp_path, "a.csv", 'a,b\n1,"2"\n\n3,""\n')):
        assert table.to_pydict() == {"a": [1, 3], "b": [2, None]}


@pytest.mark.parametrize("values", [["x", None, "", None], [1, None], [None, None]])
def test_a_column_that_was_exported_is_read_back(tmp_path: Path, values: list[Any]) -> None:
    path = _file(tmp_path, "a.csv", to_bytes(pa.table({"a": values}), ".csv"))
    for table in both_ways(path):
        assert table["a"].to_pylist() == values


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        (["18446744073709551615", "1"], pa.array([2**64 - 1, 1], pa.uint64())),
        (["1", "", "9223372036854775808"], pa.array([1, None, 2**63], pa.uint64())),
        (['"18446744073709551615"', '""'], pa.array([2**64 - 1, None], pa.uint64())),
        (["007", " 18446744073709551615\t"], pa.array([7, 2**64 - 1], pa.uint64())),
        (["123456789012345678901234567890", "1", "NA"], ["123456789012345678901234567890", "1", None]),
        (["-9223372036854775809", "1"], ["-9223372036854775809", "1"]),
        (["-1", "18446744073709551615"], ["-1", "18446744073709551615"]),
        (["+9007199254740993"], ["+9007199254740993"]),
        (["9" * 400], ["9" * 400]),
        (['"' + "1" * 30 + '"', '""'], ["1" * 30, ""]),
        (["-9223372036854775808", "9223372036854775807"], [-(2**63), 2**63 - 1]),
        (["18446744073709551615", "1.5"], [2.0**64, 1.5]),
        (["1" * 30, "1e30"], [float("1" * 30), 1e30]),
        (["18446744073709551615", "x"], ["18446744073709551615", "x"]),
    ],
    ids=lambda each: repr(each)[:30] if isinstance(each, list) else "uint64",
)
@pytest.mark.parametrize("rows", [0, 500_000], ids=["small", "blocks"])
def test_whole_numbers_of_any_size_keep_their_digits(
    tmp_path: Path, fields: list[str], column: list[Any] | pa.Array, rows: int
) -> None:
    expected = column if isinstance(column, pa.Array) else pa.array(column)
    few = "".join(f"{n},{field}\n" for n, field in enumerate(fields))
    path = _file(tmp_path, "a.csv", "n,a\n" + "0,1234567\n" * rows + few + "0,1234567\n" * rows)
    for table in both_ways(path):
        assert table["a"].type == expected.type
        assert table["a"].slice(rows, len(fields)).combine_chunks().equals(expected)


def test_whole_numbers_beyond_int64_in_a_column_alone_and_in_an_encoding(tmp_path: Path) -> None:
    for table in both_ways(_file(tmp_path, "a.csv", "a\n18446744073709551615\n\n1\n")):
        assert table["a"].to_pylist() == [2**64 - 1, None, 1]
    path = _file(tmp_path, "b.csv", f"é,b\n{2**64},x\n".encode("latin-1"))
    assert read_file(path, encoding="latin-1").to_pydict() == {"é": [str(2**64)], "b": ["x"]}


@pytest.mark.parametrize("text", ['a,b\n1,"x\n2,y\n3,z\n', 'a,b\n1,"x\n2,y\n3,"", z\n'])
def test_a_quote_that_is_not_closed_does_not_swallow_rows(tmp_path: Path, text: str) -> None:
    path = _file(tmp_path, "a.csv", text)
    for read in (read_file, batches.open_file):
        with pytest.raises(Unreadable, match="a quote in line 2 that is not closed") as caught:
            read(path)
        assert str(path) in caught.value.message
        assert caught.value.remedy


def test_quotes_within_text_and_lines_within_quotes_are_text(tmp_path: Path) -> None:
    for table in both_ways(_file(tmp_path, "a.csv", 'a,b\n1,5" pipe\n2,"x\ny"\n3,7" pipe\n')):
        assert table["b"].to_pylist() == ['5" pipe', "x\ny", '7" pipe']


def test_packed_csv_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("README", "hello")
        archive.writestr("a.csv", "a,b\n1,x\n")
    _file(tmp_path, "b.csv.gz", gzip.compress(b"a,b\n1,x\n"))
    assert to_table(tmp_path / "a.csv.zip").equals(pa.table({"a": [1], "b": ["x"]}))
    assert to_table(str(tmp_path / "b.csv.gz")).equals(pa.table({"a": [1], "b": ["x"]}))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "utf-8-sig"])
def test_csv_in_another_encoding_is_read_when_told(tmp_path: Path, encoding: str) -> None:
    path = _file(tmp_path, "a.csv", "naïve,b\n1,Zoë\n".encode(encoding))
    assert read_file(path, encoding=encoding).to_pydict() == {"naïve": [1], "b": ["Zoë"]}


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert to_table(_file(tmp_path, "a.csv", b"\xef\xbb\xbfa,b\n1,2\n")).column_names == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "position", "byte"),
    [
        ("a,b\n1,é\n", 6, "0xe9"),
        ("é,b\n1,2\n", 0, "0xe9"),
        ("a\n" + "1\n" * 400_000 + "é\n", 800_002, "0xe9"),
    ],
)
def test_csv_that_is_not_utf8_is_refused_with_the_place(
    tmp_path: Path, text: str, position: int, byte: str
) -> None:
    path = _file(tmp_path, "a.csv", text.encode("latin-1"))
    for read in (to_table, batches.open_file):
        with pytest.raises(Unreadable) as caught:
            read(path)
        assert f"not utf-8 text: byte {byte} at position {position}." in caught.value.message
        assert str(path) in caught.value.message
        assert "`encoding`" in caught.value.remedy
        assert "iconv -f latin1 -t utf-8 'a.csv'" in caught.value.remedy


def test_a_letter_that_is_cut_in_two_by_the_end_of_a_block_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BLOCK", 5)
    text = "a\n" + "né€𝄞" * 20
    assert files.refuse_other_encoding(_file(tmp_path, "a.csv", text)) is None
    with pytest.raises(Unreadable, match=f"position {len(text.encode()) + 1}"):
        files.refuse_other_encoding(_file(tmp_path, "a.csv", f"{text}x".encode() + "€".encode()[:2]))


def test_a_file_that_goes_away_while_it_is_read_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, "a.csv", "a,b\n1,2\n")
    source = batches.open_file(path)
    path.unlink()
    with pytest.raises(FileMissing, match="no file"):
        list(source.each())
    _file(tmp_path, "a.csv", "a,b\n1,2\n")
    monkeypatch.setattr(pacsv, "open_csv", lambda *_, **__: path.unlink() or path.open())
    with pytest.raises(FileMissing, match="removed while it was read"):
        batches.open_file(path)


def test_an_encoding_that_does_not_fit_or_exist_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", "a\né\n".encode())
    with pytest.raises(Unreadable, match="not ascii text: byte 0xc3 at position 2"):
        read_file(path, encoding="ascii")
    with pytest.raises(InvalidSettings, match=r"'latn1'.*Did you mean 'latin_1'"):
        read_file(path, encoding="latn1")
    with pytest.raises(InvalidSettings, match="'hex'"):
        read_file(path, encoding="hex")


def test_a_table_without_rows_or_columns_is_a_table_but_nothing_to_learn_from(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", "a,b\n")
    assert read_file(path).schema.names == ["a", "b"]
    assert to_table(pd.DataFrame(index=range(3))).num_rows == 3
    assert to_table(pl.DataFrame()).shape == (0, 0)
    with pytest.raises(EmptyTable, match=r"'a\.csv' has no rows"):
        refuse_empty(read_file(path), "'a.csv'")
    with pytest.raises(EmptyTable, match="The table has no columns"):
        refuse_empty(to_table(pl.DataFrame()))


def test_views_become_large_wherever_they_are() -> None:
    view, large = pa.string_view(), pa.large_string()
    kinds = [view, pa.list_(view), pa.list_(view, 1), pa.large_list(view), pa.map_(view, pa.binary_view())]
    kinds.append(pa.struct([pa.field("a", view, metadata={"k": "v"})]))
    read = to_table(pa.schema([(str(n), kind) for n, kind in enumerate(kinds)]).empty_table()).schema.types
    assert read[:4] == [large, pa.list_(large), pa.list_(large, 1), pa.large_list(large)]
    assert read[4] == pa.map_(large, pa.large_binary())
    assert read[5].field("a").type == large
    assert read[5].field("a").metadata == {b"k": b"v"}


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "year=2013").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "year=2013" / "x.parquet")
    assert to_table(tmp_path / "year=2013" / "x.parquet").column_names == ["a"]


def test_missing_files_name_their_neighbours(tmp_path: Path) -> None:
    _file(tmp_path, "customers.csv", "a\n1\n")
    with pytest.raises(FileMissing, match=r"customer\.csv'\. Did you mean 'customers\.csv'\?"):
        to_table(tmp_path / "customer.csv")
    with pytest.raises(FileMissing, match=r"the folder '.*nowhere' does not exist"):
        to_table(tmp_path / "nowhere" / "customers.csv")


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("a.xlsx", b"x", Unreadable, r"\(\.xlsx\).*\.csv, \.csv\.gz, \.csv\.zip, \.parquet, \.feather"),
        ("a", b"x", Unreadable, r"\(no ending\)"),
        ("a.csv", b"", EmptyTable, "is empty"),
        ("a.parquet", b"", EmptyTable, "is empty"),
        ("a.csv", b"\n\n", EmptyTable, "is empty"),
        ("a.csv", b"a,b", EmptyTable, "is empty"),
        ("a.csv", b"a,b,a\n1,2,3\n", DuplicateColumns, r"a\.csv' has more than one column named 'a'"),
        ("a.csv", b"a,b\n1,2\n3\n", Unreadable, "Expected 2 columns, got 1"),
        ("a.csv", bytes(range(256)) * 9, Unreadable, "not utf-8 text: byte 0x80 at position 128"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], Unreadable, "cannot be read"),
        ("a.csv.gz", b"nothing packed", Unreadable, "cannot be read"),
        ("a.csv.zip", b"nothing packed", Unreadable, "not a zip file"),
        ("a.parquet", b"PAR1 but not for long PAR1", Unreadable, "damaged or not what its ending says"),
        ("a.feather", b"ARROW1 but not for long", Unreadable, "damaged or not what its ending says"),
    ],
)
def test_bad_files_are_refused(
    tmp_path: Path, name: str, data: bytes, error: type[MLOpsError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        to_table(_file(tmp_path, name, data))
    assert type(caught.value) is error
    assert caught.value.remedy


def test_files_of_another_kind_that_are_named_csv_are_told(tmp_path: Path) -> None:
    table = pa.table({"a": range(50), "b": ["x,\ny"] * 50})
    pq.write_table(table, tmp_path / "p.csv")
    feather.write_feather(table, tmp_path / "f.csv")
    with zipfile.ZipFile(tmp_path / "z.csv", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
    _file(tmp_path, "g.csv", gzip.compress(b"a,b\n1,2\n", mtime=0))
    _file(tmp_path, "h.csv.gz", gzip.compress((tmp_path / "p.csv").read_bytes()))
    for name, kind, ending in (
        ("p.csv", "a Parquet file", ".parquet"),
        ("f.csv", "a Feather file", ".feather"),
        ("z.csv", "a zip archive", ".csv.zip"),
        ("g.csv", "packed by gzip", ".csv.gz"),
        ("h.csv.gz", "a Parquet file", ".parquet"),
    ):
        for read in (read_file, batches.open_file):
            with pytest.raises(Unreadable, match=f"{name}' is {kind}, not CSV text") as caught:
                read(tmp_path / name)
            assert ending in caught.value.remedy
    for table in both_ways(_file(tmp_path, "names.csv", "PAR1,PK\n1,2\n")):
        assert table.column_names == ["PAR1", "PK"]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be"])
def test_utf_16_is_recognised_by_its_mark(tmp_path: Path, codec: str) -> None:
    mark = "" if codec == "utf-16" else "\ufeff"
    path = _file(tmp_path, "a.csv", f"{mark}a,b\n1,é\n".encode(codec))
    for read in (read_file, batches.open_file):
        with pytest.raises(Unreadable, match="not utf-8 text") as caught:
            read(path)
        assert "`encoding` to utf-16, or" in caught.value.remedy
        assert "iconv -f utf-16 -t utf-8 'a.csv'" in caught.value.remedy
    assert read_file(path, encoding="utf-16").to_pydict() == {"a": [1], "b": ["é"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3\n4,5\n", "line 3: Expected 2 columns, got 1: 3"),
        ('a,b\n1,"x\ny"\n\n2,3\n4,5,é\n', "line 6: Expected 2 columns, got 3: 4,5,é"),
        ("a\n" + "1\n" * 700_000 + "2,3\n" + "1\n" * 9, "line 700002: Expected 1 columns, got 2: 2,3"),
    ],
    ids=["plain", "lines in quotes", "far"],
)
def test_a_row_unlike_the_others_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = _file(tmp_path, "a.csv", text)
    for read in (read_file, batches.open_file):
        with pytest.raises(Unreadable, match=said):
            read(path)
    other = _file(tmp_path, "b.csv", text.encode("latin-1"))
    with pytest.raises(Unreadable, match=said):
        read_file(other, encoding="latin-1")


def test_parquet_whose_pages_do_not_fit_their_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(5000)}), path, write_page_checksum=True, compression="none")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with pytest.raises(Unreadable, match="CRC"):
        to_table(_file(tmp_path, "b.parquet", bytes(data)))


def test_a_zip_with_several_tables_and_a_folder_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    with pytest.raises(Unreadable, match="holds 2 CSV files; exactly one is read"):
        to_table(tmp_path / "a.csv.zip")
    with pytest.raises(Unreadable, match="is a folder"):
        to_table(tmp_path)


def test_pandas_nan_is_missing_and_a_default_index_is_dropped() -> None:
    frame = pd.DataFrame(
        {"x": [1.5, np.nan], "s": ["a", None], "t": pd.to_datetime(["2024-01-01", None], utc=True)}
    )
    table = to_table(frame)
    assert table.to_pydict() == {
        "x": [1.5, None],
        "s": ["a", None],
        "t": [datetime(2024, 1, 1, tzinfo=UTC), None],
    }
    named = to_table(frame.set_index("s"))
    assert named.column_names == ["x", "t", "s"]
    assert named.to_pandas().index.name == "s"
    assert to_table(frame[frame.x > 1].reset_index(drop=True)).column_names == ["x", "s", "t"]


def test_polars_comes_in_types_that_every_function_takes() -> None:
    frame = pl.DataFrame(
        {
            "s": ["a", None],
            "c": pl.Series(["x", "y"], dtype=pl.Categorical),
            "e": pl.Series(["x", "y"], dtype=pl.Enum(["y", "x"])),
            "l": [["a"], []],
            "f": pl.Series([["a", "b"], ["c", "d"]], dtype=pl.Array(pl.String, 2)),
            "b": [b"x", b""],
            "r": [{"p": "x"}, {"p": None}],
        }
    )
    table = to_table(frame)
    assert "view" not in str(table.schema)
    assert table.to_pylist() == frame.to_dicts()


@pytest.mark.parametrize(
    ("frame", "names"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "'1'"),
        (pd.DataFrame([[1, 2, 3, 4]], columns=["b", "a", "a", "b"]), "'a', 'b'"),
        (pa.table([[1], [2]], names=["a", "a"]), "'a'"),
    ],
)
def test_two_columns_of_one_name_are_refused(frame: object, names: str) -> None:
    with pytest.raises(DuplicateColumns, match=f"more than one column named {names}"):
        to_table(frame)


def test_column_names_that_are_not_text_become_text() -> None:
    assert to_table(pd.DataFrame([[1, 2]])).column_names == ["0", "1"]
    assert to_table(pd.DataFrame([[1, 2]], columns=[1, "a"])).column_names == ["1", "a"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["x", None, 1], r"Column 'v' mixes types: row 2 holds 1 \(int\), .* str such as 'x'"),
        ([1, "x"], r"row 1 holds 'x' \(str\), rows before it hold int such as 1"),
        ([2**70, 1], rf"Column 'v' holds {2**70} \(int\) in row 0"),
        ([1j], "Column 'v' has the type complex128"),
        (pd.arrays.SparseArray([1, 0]), "Column 'v' has the type Sparse"),
        ([object()], r"Column 'v' holds <object object at .*> \(object\) in row 0"),
        ([None, date(2024, 1, 1), datetime(2024, 1, 1, 5)], r"row 2 holds .*\(datetime\), .* date such as"),
        ([datetime(2024, 1, 1, 5), date(2024, 1, 1)], r"row 1 holds .*\(date\), .* datetime such as"),
        ([b"x", "x"], r"Column 'v' mixes types: row 1 holds 'x' \(str\), .* bytes such as b'x'"),
        ([None, {1, 2}], r"Column 'v' holds a set, which has no order, in row 1: \{1, 2\}"),
        ([Decimal("1.5"), Decimal("NaN")], r"Column 'v' holds Decimal\('NaN'\) in row 1"),
    ],
)
def test_columns_that_arrow_refuses_or_changes_are_named_with_the_value(
    values: list[object], says: str
) -> None:
    with pytest.raises(WrongType, match=says) as caught:
        to_table(pd.DataFrame({"ok": range(len(values)), "v": values}))
    assert caught.value.remedy


def test_python_objects_of_one_kind_are_taken() -> None:
    columns = {
        "d": [date(2024, 1, 1), None, pd.NaT],
        "t": [datetime(2024, 1, 1, 5), pd.Timestamp("2024-01-02"), pd.NaT],
        "n": [Decimal("1.5"), None, float("nan")],
        "b": [b"x", None, b""],
    }
    table = to_table(pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in columns.items()}))
    assert [str(kind) for kind in table.schema.types] == [
        "date32[day]",
        "timestamp[us]",
        "decimal128(2, 1)",
        "binary",
    ]
    assert [column.null_count for column in table.columns] == [2, 1, 2, 1]


@pytest.mark.parametrize(
    "source",
    [[1], {"a": [1]}, None, 7, pd.Series([1]), pl.Series([1]), pl.LazyFrame({"a": [1]}), np.ones((2, 2))],
    ids=lambda source: type(source).__name__,
)
def test_anything_else_is_refused(source: object) -> None:
    with pytest.raises(WrongType, match=f"{type(source).__name__} is not a table"):
        to_table(source)


def test_what_has_no_stable_content_is_refused() -> None:
    with pytest.raises(WrongType, match="Column 'o' holds Python objects"):
        to_table(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))
    with pytest.raises(WrongType, match="cannot be read as Arrow") as caught:
        to_table(pl.DataFrame({"o": pl.Series([2**100], dtype=pl.Int128)}))
    assert "Int64" in caught.value.remedy
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(WrongType, match="Column 'u': Values of the Arrow type sparse_union"):
        to_table(pa.table({"u": union}))


def _latin_1() -> pa.Array:
    return pa.Array.from_buffers(
        pa.string(), 2, [None, pa.array([0, 1, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xe9z")]
    )


@pytest.mark.parametrize(
    "column",
    [
        _latin_1(),
        pa.DictionaryArray.from_arrays([0, 1, 1], _latin_1()),
        pa.ListArray.from_arrays([0, 2], _latin_1()),
        pa.StructArray.from_arrays([_latin_1()], ["z"]),
        pa.ExtensionArray.from_storage(pa.json_(), _latin_1()),
    ],
    ids=lambda column: str(column.type),
)
def test_text_in_arrow_that_is_not_utf8_is_refused_with_its_column(column: pa.Array, tmp_path: Path) -> None:
    table = pa.table({"ok": range(len(column)), "x": column})
    with pytest.raises(
        WrongType, match=r"Column 'x' holds something other than its type .* says: .*UTF8"
    ) as e:
        to_table(table)
    assert "UTF-8" in e.value.remedy
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    for read in (read_file, lambda path: list(batches.open_file(path).each())):
        with pytest.raises(WrongType, match="Column 'x'"):
            read(tmp_path / "x.arrow")


def _texts(ends: list[int], text: bytes, kind: pa.DataType, offset: int = 0) -> pa.Array:
    """Texts as another program may have written them, with nothing looked at."""
    widths = {pa.string(): np.int32, pa.large_string(): np.int64}
    buffers = [None, pa.py_buffer(np.array(ends, widths[kind])), pa.py_buffer(text)]
    return pa.Array.from_buffers(kind, len(ends) - 1 - offset, buffers, offset=offset)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ([0, 1, 2], "ä".encode()),
        ([0, 2, 2, 3], "aä".encode()),
        ([0, 1, 2], b"a\xff"),
        ([0, 2, 1], b"ab"),
        ([0, -3, 2], b"ab"),
        ([0, 9, 2], b"ab"),
    ],
    ids=["split", "empty", "other", "backwards", "negative", "beyond"],
)
def test_texts_that_are_not_sound_are_refused(ends: list[int], text: bytes, kind: pa.DataType) -> None:
    with pytest.raises(WrongType, match="something other than its type"):
        to_table(pa.table({"x": _texts(ends, text, kind)}))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_bytes_that_no_text_has_do_not_count(kind: pa.DataType) -> None:
    array = _texts([0, 1, 2, 2], b"\xffb\xff", kind, offset=1)
    assert to_table(pa.table({"x": array}))["x"].to_pylist() == ["b", ""]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"x\0y": [1]}),
        pl.DataFrame({"a": [{"x\0y": 1}]}),
        pl.DataFrame({"a": [[[{"b": {"x\0y": 1}}]]]}),
    ],
    ids=["column", "field", "deep"],
)
def test_a_name_with_a_zero_does_not_end_the_process(frame: pl.DataFrame) -> None:
    with pytest.raises(WrongType, match=r"'x\\x00y' has a zero in it") as caught:
        to_table(frame)
    assert "Rename" in caught.value.remedy


@pytest.mark.parametrize(
    ("source", "lacks"),
    [
        (pd.DataFrame({"a": []}), "rows"),
        (pd.DataFrame(), "columns"),
        (pl.DataFrame({"a": []}), "rows"),
        (pa.table({}), "columns"),
        (pa.table({"a": pa.array([], pa.int64())}), "rows"),
    ],
)
def test_empty_tables_are_tables_that_nothing_is_learnt_from(source: object, lacks: str) -> None:
    table = to_table(source)
    with pytest.raises(EmptyTable, match=f"has no {lacks}"):
        refuse_empty(table)


def test_a_row_may_be_longer_than_the_blocks_that_are_read(tmp_path: Path) -> None:
    text = "x" * 3_000_000
    (tmp_path / "long.csv").write_text(f'a,b\n1,"{text}"\n2,y\n')
    assert read_file(tmp_path / "long.csv")["b"].to_pylist() == [text, "y"]


@pytest.mark.parametrize(
    ("attrs", "named"),
    [
        ({"fine": 1, "when": datetime(2026, 3, 1)}, "'when'"),
        ({"model": {"deep": [object()]}}, "'model'"),
        ({("a", "b"): 1}, "('a', 'b')"),
    ],
)
def test_attributes_that_would_be_lost_are_refused(attrs: dict[Any, Any], named: str) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = attrs
    with pytest.raises(WrongType) as told:
        refuse_lost_attributes(frame)
    assert f"attribute {named}" in told.value.message
    assert "attrs" in told.value.remedy
