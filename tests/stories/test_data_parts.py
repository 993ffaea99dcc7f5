"""A part of a version is asked for, in the right way and in wrong ones; a whole one is written to a file."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from everloop import DataVersioner, wiring
from everloop.core.errors import Invalid, MLOpsError, Refused, StorageDenied, UnknownColumn, WrongType
from everloop.flows import comparison, data
from everloop.flows.project import Project
from everloop.settings.loading import folder_settings

TABLE = pa.table(
    {
        "i": [1, 2, 3, None],
        "big": pa.array([2**63 + 1, 1, None, 0], pa.uint64()),
        "d": [Decimal("1.10"), Decimal("249.00"), None, Decimal("250.50")],
        "b": [True, False, None, True],
        "day": [date(2024, 1, 1), date(2024, 1, 2), None, date(2024, 1, 3)],
        "at": [datetime(2024, 1, 1), datetime(2024, 1, 2), None, datetime(2024, 1, 3)],
        "s": ["x", "y", "", None],
        "level": pa.DictionaryArray.from_arrays([2, 0, 1, None], ["lo", "mid", "hi"], ordered=True),
        "kind": pa.DictionaryArray.from_arrays([0, 1, 0, None], ["p", "q"]),
        "list": [[1], [], None, [2]],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.fixture(scope="module")
def versioner(folder: Path) -> DataVersioner:
    return DataVersioner(folder, dataset="d")


@pytest.fixture(scope="module")
def version(versioner: DataVersioner) -> str:
    return versioner.register(TABLE)


@pytest.fixture
def project(folder: Path) -> Project:
    return wiring.connect(folder_settings(folder, {"paths": {"state": ".", "data_versions": "."}}))


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (("level", ">=", "mid"), [0, 2]),
        (("level", "<", "mid"), [1]),
        (("level", "<=", "hi"), [0, 1, 2]),
        (("level", "==", "mid"), [2]),
        (("level", "in", ["lo", "hi"]), [0, 1]),
        (("kind", ">", "p"), [1]),
        (("kind", "not in", ["p"]), [1]),
        (("d", ">=", 249), [1, 3]),
        (("d", ">=", 249.5), [3]),
        (("d", "<", "249"), [0]),
        (("d", "in", [Decimal("1.1"), 249]), [0, 1]),
        (("b", "==", 1), [0, 3]),
        (("b", "==", "false"), [1]),
        (("big", ">", 1), [0]),
        (("i", ">", 1.5), [1, 2]),
        (("i", "in", (1, None)), [0]),
        (("i", "in", []), []),
        (("i", "not in", []), [0, 1, 2]),
        (("i", "==", None), []),
        (("day", ">", date(2024, 1, 1)), [1, 3]),
        (("day", "in", ["2024-01-03"]), [3]),
        (("at", ">=", pd.Timestamp("2024-01-02")), [1, 3]),
        (("s", "!=", "x"), [1, 2]),
    ],
    ids=lambda part: "".join(map(str, part)) if isinstance(part, tuple) else "",
)
def test_a_condition_is_checked_as_the_column_is_meant(
    versioner: DataVersioner, version: str, condition: Any, rows: list[int]
) -> None:
    found, _ = versioner.load(version, where=[condition], into="arrow")
    assert found.equals(TABLE.take(pa.array(rows, pa.int64())))


@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ([("level", ">=", "medium")], WrongType, "'lo', 'mid', 'hi'"),
        ([("i", "==", "abc")], WrongType, r"'abc' is no value of column 'i' \(int64\)"),
        ([("d", ">", "many")], WrongType, "'many' is no value of column 'd'"),
        ([("d", ">", float("nan"))], WrongType, "nan is no value of column 'd'"),
        ([("b", "==", 2)], WrongType, r"Column 'b' \(bool\) cannot be compared with 2"),
        ([("list", "==", 1)], WrongType, "Column 'list'"),
        ([("i", "in", [1, "x"])], WrongType, "'x' is no value of column 'i'"),
        ([("s", "in", ["x", 1])], WrongType, "1 is no value of column 's'"),
        (("i", ">=", 990), Invalid, "'i' is no condition"),
        ([("i", ">=")], Invalid, r"\('i', '>='\) is no condition"),
        ("i>=990", Invalid, "is no list of conditions"),
        (5, Invalid, "5 is no list of conditions"),
        (None, Invalid, "None is no list of conditions"),
        ([(1, "==", 1)], Invalid, "is no condition"),
        ([("i", "~", 1)], Invalid, "'~' is no comparison"),
        ([("i", None, 1)], Invalid, "None is no comparison"),
        ([("i", "in", 5)], Invalid, r"needs several values, not 5.*\[5\]"),
        ([("s", "in", "xy")], Invalid, r"needs several values, not 'xy'"),
        ([("j", "==", 5)], UnknownColumn, "Did you mean|Known"),
    ],
)
def test_what_is_no_condition_is_refused(
    versioner: DataVersioner, version: str, where: Any, error: type[MLOpsError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        versioner.load(version, where=where)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": [1]},
        {"columns": 5},
        {"columns": "i"},
        *({"start": start} for start in (None, "a", 1.5, 10**30, -1)),
        *({"stop": stop} for stop in ("a", 1.5, 10**30, -1)),
        {"into": None},
        {"into": 5},
    ],
    ids=repr,
)
def test_what_is_no_part_of_a_table_is_refused(
    versioner: DataVersioner, version: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        versioner.load(version, **wrong)
    assert repr(next(iter(wrong.values()))).strip("[]'") in caught.value.message
    assert caught.value.remedy


def test_other_wrong_values_are_refused(versioner: DataVersioner, version: str, tmp_path: Path) -> None:
    calls: list[Any] = [
        lambda: versioner.tag(version, None),
        lambda: versioner.diff(version, version, key=5),
        lambda: versioner.diff(version, version, key=[5]),
        lambda: versioner.reader(version, columns=5),
        lambda: versioner.register(TABLE, tags="x"),
        lambda: versioner.register_files(tmp_path, tags=5),
        lambda: versioner.register(TABLE, branch=None),
    ]
    for call in calls:
        with pytest.raises(Invalid) as caught:
            call()
        assert caught.value.remedy


@pytest.mark.parametrize("name", ["", "../../etc", "a\nb", " ", "x" * 1000])
def test_a_dataset_is_called_by_a_name(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "f.txt").write_text("x")
    wrong = DataVersioner(folder, dataset=name)
    for call in (lambda: wrong.register(TABLE), lambda: wrong.register_files(tmp_path)):
        with pytest.raises(Invalid, match="cannot be the name of a dataset"):
            call()
    wrong.close()


def test_rows_of_versions_that_share_no_column_are_not_kept(
    versioner: DataVersioner, project: Project
) -> None:
    a, b = versioner.register(pa.table({"a": [1, 2]})), versioner.register(pa.table({"b": [1, 2, 3]}))
    found = comparison.compare(project, data.find(project, a), data.find(project, b))
    counts = (found.rows_removed, found.rows_added, found.rows_kept, found.rows_changed)
    assert (counts, found.compared) == ((2, 3, 0, 0), ())
    text = versioner.register(pa.table({"a": [[1], [2]]}))
    retyped = comparison.compare(project, data.find(project, a), data.find(project, text))
    assert (retyped.rows_kept, retyped.columns_not_compared) == (0, ("a",))


def test_a_file_that_is_there_is_replaced_only_when_asked(
    project: Project, version: str, tmp_path: Path
) -> None:
    found, target = data.find(project, version), tmp_path / "out.csv"
    target.write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    for name in ("out.csv", "folder.csv"):
        with pytest.raises(Refused) as caught:
            data.export(project, found, tmp_path / name, ["i"])
        assert caught.value.remedy
    assert target.read_text() == "mine"
    assert data.export(project, found, target, ["i"], force=True) == 4
    assert target.read_text() == '"i"\n1\n2\n3\n\n'


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_said(project: Project, version: str) -> None:
    with pytest.raises(StorageDenied, match="/proc"):
        data.export(project, data.find(project, version), Path("/proc/x.csv"), ["i"])
