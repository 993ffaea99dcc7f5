"""A day with tables that are larger than the memory they may take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest

from everloop import wiring
from everloop.core.errors import Invalid, UnknownColumn, Unreadable, WrongType
from everloop.data import identity
from everloop.flows import data
from everloop.flows.project import Project
from everloop.settings.loading import folder_settings

ROWS = 300_000


def project(folder: Path, **versioning: Any) -> Project:
    folder.mkdir(exist_ok=True)
    return wiring.connect(folder_settings(folder, {"data_versioning": versioning}))


def rows(count: int = ROWS) -> pa.Table:
    chance = np.random.default_rng(5)
    return pa.table(
        {
            "id": np.arange(count),
            "x": np.where(chance.random(count) < 0.1, np.nan, chance.random(count)),
            "city": pa.array(chance.choice(["Rome", "", None, "Oslo"], count).tolist()),
            "name": pa.array([f"n{n}" for n in chance.integers(0, 10**9, count)]),
            "at": pa.array(chance.integers(0, 10**12, count), pa.timestamp("us", "UTC")),
            "some": pa.array(np.where(chance.random(count) < 0.3, None, chance.random(count)).tolist()),
            "yes": pa.array(chance.random(count) < 0.5),
            "list": pa.array([[n, None] if n % 7 else None for n in range(count)]),
            "pair": pa.array([{"a": n, "b": None if n % 3 else "z"} for n in range(count)]),
            "level": pa.array(chance.choice(["u", "v"], count).tolist()).dictionary_encode(),
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    table = rows()
    pyarrow.parquet.write_table(table, folder / "t.parquet", row_group_size=70_000)
    pyarrow.feather.write_feather(table, folder / "t.feather")
    flat = table.drop_columns(["list", "pair", "level"])
    pyarrow.csv.write_csv(flat, folder / "t.csv")
    with pa.CompressedOutputStream(str(folder / "t.csv.gz"), "gzip") as sink:
        pyarrow.csv.write_csv(flat, sink)
    late = (
        f'{n},{"" if n < 250_000 else n / 2},"{n if n % 2 else ""}",{"x" if n == 299_999 else n}'
        for n in range(ROWS)
    )
    (folder / "late.csv").write_text("key,late,gaps,mixed\n" + "\n".join(late))
    return folder


@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.csv", "t.csv.gz", "late.csv"])
def test_a_large_file_is_the_version_that_it_is_in_one_piece(files: Path, tmp_path: Path, name: str) -> None:
    whole = data.register(project(tmp_path / "whole"), files / name, "d")
    here = project(tmp_path / "parts", memory=1)
    told: dict[str, list[float]] = {}

    def tell(done: int, total: int, text: str) -> None:
        told.setdefault(text, []).append(done / total)

    parts = data.register(here, files / name, "d", tell=tell)
    assert parts.table is None
    assert parts.version.version_id == whole.version.version_id
    assert parts.version.statistics == whole.version.statistics
    assert parts.version.columns == whole.version.columns
    assert whole.table is not None
    assert data.load(here, parts.version).schema.equals(whole.table.schema)
    assert identity.version_id(data.load(here, parts.version)) == whole.version.version_id
    assert told
    for each in told.values():
        assert each == sorted(each)
        assert 0 <= each[0] <= each[-1] <= 1
    assert not data.register(here, files / name, "d").new


def test_a_large_file_that_grew_stores_what_is_new(files: Path, tmp_path: Path) -> None:
    here = project(tmp_path / "p", memory=1)
    first = data.register(here, files / "t.parquet", "d").version
    table = rows()
    pyarrow.parquet.write_table(pa.concat_tables([table, table.slice(0, 500)]), tmp_path / "more.parquet")
    second = data.register(here, tmp_path / "more.parquet", "d").version
    assert second.parent == first.version_id
    assert second.bytes < 0.4 * first.bytes  # one strip of five


def test_a_small_table_read_in_batches_has_exact_statistics_and_may_have_no_rows(tmp_path: Path) -> None:
    here = project(tmp_path / "p", memory=1)
    few = rows(1_000)
    pyarrow.parquet.write_table(few, tmp_path / "few.parquet")
    pyarrow.parquet.write_table(few.slice(0, 0), tmp_path / "none.parquet")
    plain = project(tmp_path / "q")
    for name in ("few.parquet", "none.parquet"):
        parts, whole = data.register(here, tmp_path / name, "d"), data.register(plain, tmp_path / name, "d")
        assert parts.version.version_id == whole.version.version_id
        assert parts.version.statistics == whole.version.statistics


def test_what_was_estimated_is_known_to_be(tmp_path: Path) -> None:
    count = 140_000
    table = pa.table(
        {
            "none": pa.nulls(count, pa.string()),
            "few": pa.array([f"n{n % 500}" for n in range(count)]),
            "many": pa.array(range(count)),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    for memory in (1_000_000, 10**9):
        here = project(tmp_path / str(memory), memory=memory)
        version = data.register(here, tmp_path / "t.parquet", "d").version
        known = version.statistics
        assert [(c.count, c.distinct) for c in (known["none"], known["few"])] == [(0, 0), (count, 500)]
        assert [data.is_estimate(version, known[name]) for name in known] == [False, False, True]


def test_what_is_wrong_with_a_large_file_is_said(files: Path, tmp_path: Path) -> None:
    here = project(tmp_path / "p", memory=1)
    (tmp_path / "torn.csv").write_text("a,b\n" + "1,2\n" * 100_000 + "3\n")
    with pytest.raises(Unreadable, match=r"torn\.csv"):
        data.register(here, tmp_path / "torn.csv", "d")
    for name in ("t.parquet", "t.feather", "t.csv.gz"):
        damaged = bytearray((files / name).read_bytes())
        damaged[-len(damaged) // 3 :] = bytes(len(damaged) // 3)
        (tmp_path / f"damaged-{name}").write_bytes(damaged)
        with pytest.raises(Unreadable, match=f"damaged-{name}"):
            data.register(here, tmp_path / f"damaged-{name}", "d")
    assert data.list_versions(here) == []


def test_parts_of_a_version_are_what_they_are_in_the_whole(files: Path, tmp_path: Path) -> None:
    here = project(tmp_path / "p")
    version = data.register(here, files / "t.parquet", "d").version
    table = rows()
    some = data.load(here, version, ["name", "id"], start=70_001, stop=140_003)
    assert some.equals(table.select(["name", "id"]).slice(70_001, 70_002))
    chosen = data.load(here, version, ["id"], where=[("city", "in", ["Rome"]), ("some", ">", 0.9)])
    expected = table.filter((pyarrow.dataset.field("city") == "Rome") & (pyarrow.dataset.field("some") > 0.9))
    assert chosen["id"].to_pylist() == expected["id"].to_pylist()
    others = data.load(here, version, ["city"], where=[("city", "not in", ["Rome"])])
    assert set(others["city"].to_pylist()) == {"", "Oslo"}
    later = data.load(here, version, where=[("at", ">=", "1970-01-12 00:00:00Z")], start=10, stop=20)
    assert set(later["id"].to_pylist()) <= set(range(10, 20))
    pieces = list(data.batches(here, version, ["id", "x"], rows=99_999))
    assert [piece.num_rows for piece in pieces] == [99_999, 99_999, 99_999, 3]
    assert identity.version_id(pa.concat_tables(pieces)) == identity.version_id(table.select(["id", "x"]))
    scanner = pyarrow.dataset.Scanner.from_batches(data.reader(here, version, ["id"]))
    assert scanner.count_rows() == ROWS
    for wrong, error in (
        ([("nmae", "==", 1)], UnknownColumn),
        ([("id", "~", 1)], Invalid),
        ([("id", "==", "x")], WrongType),
    ):
        with pytest.raises(error):
            data.load(here, version, where=wrong)


def test_exported_parts_are_read_by_others(files: Path, tmp_path: Path) -> None:
    here = project(tmp_path / "p")
    version = data.register(here, files / "t.parquet", "d").version
    for name in ("out.parquet", "out.feather"):
        assert data.export(here, version, tmp_path / name) == ROWS
        kind = name.split(".")[1]
        back = pyarrow.dataset.dataset(tmp_path / name, format=kind).to_table()
        assert identity.version_id(back) == version.version_id
    assert data.export(here, version, tmp_path / "few.csv", ["id", "city"], where=[("id", "<", 5)]) == 5
    assert (tmp_path / "few.csv").read_text().splitlines()[0] == '"id","city"'


CHILD = """
import json, resource, sys
from pathlib import Path
import pyarrow as pa
from everloop import wiring
from everloop.flows import data
from everloop.settings.loading import folder_settings
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
here = wiring.connect(folder_settings(Path(sys.argv[1]), {"data_versioning": {"memory": 50_000_000}}))
version = data.register(here, Path(sys.argv[2]), "d").version
total = sum(piece["id"].length() for piece in data.batches(here, version))
print(json.dumps({"rows": total, "id": version.version_id}))
"""


def test_a_table_several_times_the_memory_allowed_is_registered_and_loaded(tmp_path: Path) -> None:
    """1.3 GB in memory; the process may hold half of that, libraries and all (fragments of glibc's too)."""
    schema = pa.schema([("id", pa.int64()), *((f"x{n}", pa.float64()) for n in range(40))])
    chance = np.random.default_rng(1)
    path = tmp_path / "large.parquet"
    with pyarrow.parquet.ParquetWriter(path, schema, compression="none") as writer:
        for part in range(20):
            whole = {"id": np.arange(200_000) + part * 200_000}
            numbers = {f"x{n}": chance.integers(0, 99, 200_000).astype(float) for n in range(40)}
            writer.write_table(pa.table({**whole, **numbers}, schema=schema), row_group_size=50_000)
    asked = [sys.executable, "-c", CHILD, str(tmp_path / "p"), str(path), str(650_000_000)]
    (tmp_path / "p").mkdir()
    plain = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}  # the others reserve what they never use
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=250, env=plain)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["rows"] == 4_000_000


@pytest.mark.parametrize("levels", [["b", "a", "b", "c"], ["b", "a"]], ids=["repeated", "two"])
def test_levels_in_batches_are_the_levels_of_the_whole(tmp_path: Path, levels: list[str]) -> None:
    codes = pa.array(np.arange(200_000) % 2, pa.int8())
    column = pa.DictionaryArray.from_arrays(codes, levels, ordered=True)
    pyarrow.feather.write_feather(pa.table({"x": column}), tmp_path / "x.feather")
    whole = data.register(project(tmp_path / "whole"), tmp_path / "x.feather", "d").version
    parts = data.register(project(tmp_path / "parts", memory=1), tmp_path / "x.feather", "d").version
    assert parts.version_id == whole.version_id
