"""Days with names: what was golden, what was tried, what was taken back, and what lies between."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.stories.test_cli import Said
from tests.stories.test_cli import everloop as run

from everloop import DataVersioner
from everloop.cli.errors import EXIT_CODES

PROJECT = """
models:
  flights:
    data: {path: flights.csv}
    target: late
    training: {model_type: decision_tree, test_size: 0.25}
tracking: {enabled: false}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "everloop.yaml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everloop(*arguments: str) -> Said:
    return run(Path.cwd(), *arguments)


def write(name: str, rows: range, **changed: str) -> None:
    """Flights with ``id`` of ``rows``; ``changed`` gives the distance of some by their id."""
    lines = [f"{n},{changed.get(f'n{n}', n * 10)},{'yes' if n % 3 else 'no'}" for n in rows]
    Path(name).write_text("\n".join(["id,distance,late", *lines]) + "\n")


def add(rows: range, *options: str, **changed: str) -> str:
    write("flights.csv", rows, **changed)
    said = everloop("data", "add", "flights.csv", "--json", *options)
    assert said.code == 0, said.err
    return str(said.json["version"]["version_id"])


def shown(name: str) -> str:
    return str(everloop("data", "show", name, "--json").json["version"]["version_id"])


def test_a_bad_delivery_is_taken_back_and_the_good_one_keeps_its_name(folder: Path) -> None:
    good = add(range(40))
    assert everloop("data", "tag", "flights@latest", "golden").out == f"flights@golden is {good[:12]}.\n"
    bad = add(range(40), n3="-1", n7="-1")
    assert shown("flights@latest") == bad

    back = everloop("data", "rollback", "flights", "golden", "--reason", "negative distances")
    assert back.out == f"flights@main is {good[:12]}; it was {bad[:12]}.\n"
    assert [shown(name) for name in ("flights@latest", "flights@golden", bad[:6])] == [good, good, bad]
    told = everloop("history", "flights", "--json").json["events"]
    assert [event["kind"] for event in told] == ["tagged", "rolled back"]
    assert "negative distances" in told[1]["summary"]
    assert told[1]["details"]["before"] == bad
    moves = everloop("data", "log", "flights", "--moves", "--json").json["moves"]["flights"]
    assert [(m["name"], m["reason"]) for m in moves] == [
        ("main", "registered"),
        ("golden", "tagged"),
        ("main", "registered"),
        ("main", "negative distances"),
    ]

    better = add(range(41))
    assert shown("flights@latest~1") == good  # what comes after a rollback follows the version it went to
    assert shown("flights@golden") == good
    assert everloop("data", "show", "flights@latest", "--json").json["version"]["version_id"] == better


def test_something_is_tried_on_a_branch_beside_the_main_line(folder: Path) -> None:
    first = add(range(40))
    tried = add(range(30), "--branch", "trial")
    second = add(range(50))
    again = add(range(31), "--branch", "trial")
    names = ("flights@trial", "flights@trial~1", "flights@trial~2", "flights@latest", "flights@latest~1")
    assert [shown(name) for name in names] == [again, tried, first, second, first]
    on_trial = everloop("data", "list", "flights", "--branch", "trial", "--json").json["versions"]
    assert [v["version_id"] for v in on_trial] == [first, tried, again]
    assert [[ref["name"] for ref in v["refs"]] for v in on_trial] == [[], [], ["trial"]]

    log = everloop("data", "log").out.splitlines()[1:]
    assert [line[:3].rstrip() for line in log] == ["●", "│ ●", "● │", "├─┘", "●"]
    assert [again[:12] in log[0], "trial" in log[0], second[:12] in log[1], "main" in log[1]] == [True] * 4

    assert add(range(50), "--branch", "trial") == second  # known content: the branch moves to it
    assert shown("flights@trial") == second
    listed = everloop("data", "branches", "--json").json["branches"]
    assert [(b["name"], b["version_id"]) for b in listed] == [("main", second), ("trial", second)]
    assert everloop("data", "branch", "trial", "--from", again[:8], "--move").code == 0
    assert shown("flights@trial") == again
    assert everloop("data", "branch", "flights@trial", "--delete").code == 0
    assert shown(again[:8]) == again
    overview = everloop("data", "datasets", "--json").json["datasets"]
    assert [(d["dataset"], d["versions"], d["head"]) for d in overview] == [("flights", 4, second)]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("tag flights@latest latest", "invalid", "always means the newest"),
        ("tag flights@latest cafe", "invalid", "beginning of a version's id"),
        ("tag flights@latest golden", "conflict", "stands at"),
        ("tag flights@latest main", "conflict", "'main' is a branch"),
        ("tag flights@latest", "invalid", "a version and a name"),
        ("tag flights@silver --delete", "unknown_version", "no tag 'silver' of flights"),
        ("branch main --delete", "refused", "always has"),
        ("branch golden", "conflict", "'golden' is a tag"),
        ("branch trial --move", "invalid", "do not go together"),
        ("branch other@trial", "unknown_version", "no dataset 'other'"),
        ("rollback flight golden", "unknown_version", "Did you mean 'flights'"),
        ("rollback flights goldne", "unknown_version", "Did you mean 'golden'"),
        ("rollback flights golden --branch tria", "unknown_version", "no branch 'tria'"),
        ("list flights --branch tria", "unknown_version", "no branch 'tria'"),
        ("log fligths", "unknown_version", "Did you mean 'flights'"),
        ("tags fligths", "unknown_version", "Did you mean 'flights'"),
        (
            "lineage x.parquet",
            "unknown_version",
            "no file that one came from.\n  what to do: Known: 'flights.csv'",
        ),
        ("lineage fligths.csv", "unknown_version", "Did you mean 'flights.csv'"),
        ("lineage fligths", "unknown_version", "Did you mean 'flights@latest'"),
        ("lineage fligths@golden", "unknown_version", "no dataset 'fligths'"),
        ("lineage cafe", "unknown_version", "no data version 'cafe'"),
        ("show fligths", "unknown_version", "Did you mean 'flights@latest'"),
        ("list fligths", "unknown_version", "Did you mean 'flights'"),
        ("branch flights@tria --delete", "unknown_version", "Known: 'main'"),
        ("diff flights@golden flights@latest --key=", "invalid", "--key '' names no column"),
        ("add other.csv", "invalid_settings", "Say --dataset NAME. Known: flights."),
        ("diff flights@golden flights@latest --key idd", "unknown_column", "Did you mean 'id'"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    folder: Path, arguments: str, code: str, told: str
) -> None:
    add(range(40))
    everloop("data", "tag", "flights@latest", "golden")
    add(range(41))
    write("other.csv", range(3))
    before = everloop("data", "log", "--moves", "--json").out
    said = everloop("data", *arguments.split())
    assert (said.code, told in said.err) == (EXIT_CODES[code], True), said.err
    assert everloop("data", "log", "--moves", "--json").out == before


def test_a_tag_is_moved_only_when_asked(folder: Path) -> None:
    first, second = add(range(40)), add(range(41))
    everloop("data", "tag", first[:8], "golden")
    assert everloop("data", "tag", first[:8], "golden").out.endswith("already.\n")
    assert everloop("data", "tag", second[:8], "golden", "--move").code == 0
    assert shown("flights@golden") == second
    assert everloop("data", "tag", "flights@golden", "--delete").code == 0
    assert "There is no tag yet" in everloop("data", "tags").out
    absent = everloop("data", "tag", "flights@golden", "--delete").err
    assert "There is no tag 'golden' of flights." in absent
    assert "what to do: 'everloop data tags' lists what is there." in absent


def test_a_file_of_a_model_is_known_by_any_path(folder: Path, tmp_path: Path) -> None:
    version = add(range(40))
    (tmp_path / "link").symlink_to(tmp_path)
    for path in ("./flights.csv", "link/flights.csv", f"../{tmp_path.name}/flights.csv"):
        assert everloop("data", "add", path, "--json").json["version"]["version_id"] == version


def test_two_deliveries_are_compared_cell_by_cell_and_drawn(folder: Path) -> None:
    add(range(40))
    add(range(1, 42), n3="-1", n7="")
    said = everloop("data", "diff", "flights@~", "flights@latest", "--picture", "diff.png", "--rows", "2")
    assert said.code == 0, said.err
    assert "2 added, 1 removed, 2 changed, 37 kept" in said.out
    assert "id (unique in both; --key takes another)" in said.out
    assert "distance: 30 -> -1" in said.out
    assert "distance: 70 -> –" in said.out
    assert Path("diff.png").read_bytes().startswith(b"\x89PNG")
    found = everloop("data", "diff", "flights@~", "flights@latest", "--json").json["diff"]
    assert found["cells_changed"] == {"distance": 2}
    assert found["examples"]["changed"][0] == {"key": {"id": 3}, "cells": {"distance": [30, -1]}}
    by_class = everloop("data", "diff", "flights@~", "flights@latest", "--key", "late").out
    assert "The key is not unique: 38 rows of A and 39 of B repeat one" in by_class
    whole = everloop("data", "diff", "flights@~", "flights@latest", "--whole-rows").out
    assert "4 added, 3 removed, 0 changed, 37 kept" in whole


def test_only_png_pictures_are_drawn_and_no_shared_column_is_said(folder: Path) -> None:
    add(range(3))
    Path("flights.csv").write_text("other\n1\n\n2\n")
    assert everloop("data", "add", "flights.csv").code == 0
    for name in ("x.jpg", "x"):
        said = everloop("data", "diff", "flights@~", "flights@latest", "--picture", name)
        assert (said.code, Path(name).exists()) == (EXIT_CODES["invalid"], False)
        assert ".png" in said.err
    told = everloop("data", "diff", "flights@~", "flights@latest").out
    assert "3 added, 3 removed, 0 changed, 0 kept" in told
    assert "share no column" in told


def test_a_table_is_written_into_this_folder_and_over_nothing_unless_asked(folder: Path) -> None:
    version = add(range(3))
    path = Path("copy.csv")
    path.write_text("mine")
    said = everloop("data", "get", "flights@latest", "--to", "copy.csv")
    assert (said.code, path.read_text()) == (EXIT_CODES["refused"], "mine")
    assert "--force" in said.err
    assert everloop("data", "get", "flights@latest", "--to", "copy.csv", "--force").code == 0
    assert path.read_text().startswith('"id"')
    assert everloop("data", "add", "copy.csv", "--dataset", "a/b c").code == 0
    assert everloop("data", "get", "a/b c@latest").code == 0
    assert Path(f"a-b-c-{version[:12]}.parquet").is_file()
    for name in ("", "../../etc"):
        said = everloop("data", "add", "copy.csv", "--dataset", name)
        assert said.code == EXIT_CODES["invalid"]
        assert "cannot be the name of a dataset" in said.err


def test_a_raw_file_is_followed_to_the_model_and_back(folder: Path) -> None:
    write("flights.csv", range(90))
    assert everloop("run", "--quiet").code == 0
    version = shown("flights@latest")
    found = everloop("data", "lineage", "flights.csv", "--json").json["lineages"]
    assert everloop("data", "lineage", str(folder / "flights.csv"), "--json").json["lineages"] == found
    assert everloop("data", "lineage", "./flights.csv", "--json").json["lineages"] == found
    assert [each["version"]["version_id"] for each in found] == [version]
    trained = found[0]["trained"]
    assert [(t["version"]["version"], len(t["aliases"])) for t in trained] == [("1.0.0", 1)]
    add(range(95))
    told = everloop("data", "lineage", version[:8]).out
    assert trained[0]["aliases"][0] in told
    assert f"after       {shown('flights@latest')[:12]}" in told
    later = everloop("data", "lineage", "flights@latest").out
    assert f"before      {version[:12]}" in later
    assert "No run was trained on it." in later
    back = everloop("models", "lineage", "flights").out
    assert version[:12] in back
    assert "flights.csv" in back


def test_a_raw_file_is_remembered_by_its_plain_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from another folder. One that was remembered otherwise, as it once was, is found by either."""
    for name in ("sub", "far/away"):
        (folder / name).mkdir(parents=True)
    (folder / "link").symlink_to("far/away")
    write("flights.csv", range(9))
    write("far/flights.csv", range(8))
    versioner = DataVersioner(dataset="before")
    versioner.register("flights.csv", described_as="sub/../flights.csv")
    monkeypatch.chdir("sub")
    for dataset, path in (("flights", "../flights.csv"), ("linked", "../link/../flights.csv")):
        assert run(Path.cwd(), "data", "add", path, "--dataset", dataset).code == 0
    DataVersioner(dataset="python").register("../flights.csv")
    listed = run(Path.cwd(), "data", "list", "--json").json["versions"]
    assert {each["dataset"]: each["source"] for each in listed} == {
        "before": "sub/../flights.csv",
        "flights": "flights.csv",
        "linked": "far/flights.csv",
        "python": str(folder / "flights.csv"),
    }
    assert run(Path.cwd(), "data", "lineage", "../link/../flights.csv").out.startswith("data        linked@")
    for path in ("../flights.csv", "flights.csv", "sub/../flights.csv"):
        found = run(Path.cwd(), "data", "lineage", path, "--json").json["lineages"]
        assert {each["version"]["dataset"] for each in found} == {"before", "flights", "python"}
    versioner.close()


def test_names_from_python(folder: Path) -> None:
    versioner = DataVersioner(dataset="flights")
    first = versioner.register(pa.table({"id": [1, 2, 3], "v": [1.0, 2.0, 3.0]}))
    versioner.tag("latest", "golden")
    second = versioner.register(pa.table({"id": [1, 2, 3], "v": [1.0, 2.5, 3.0]}), branch="trial")
    assert versioner.names() == {"main": first, "trial": second, "golden": first}
    changed = versioner.diff("golden", "trial", key="id")
    assert (changed.rows_changed, dict(changed.cells_changed)) == (1, {"v": 1})
    versioner.branch("main", "trial", move=True)
    versioner.rollback("golden", reason="no")
    assert versioner.load("latest")[1]["version_id"] == first
    versioner.close()


def test_names_of_columns_may_hold_anything_and_stay_names(folder: Path) -> None:
    """Five thousand characters, a line end, or what clears a terminal."""
    long, lines, clears = "L" * 5000, "two\nlines", "\x1b[2Jgone"
    for n in (1, 2):
        table = pa.table({"id": [1, 2], long: [0.5, n], lines: ["a", "b\n" * n], clears: [n, n]})
        pq.write_table(table, "odd.parquet")
        assert everloop("data", "add", "odd.parquet", "--dataset", "odd").code == 0
    for arguments in (
        "show odd@latest",
        "diff odd@latest~ odd@latest",
        "diff odd@latest~ odd@latest --key no",
    ):
        said = everloop("data", *arguments.split())
        told = said.out + said.err
        assert long not in told
        assert "\x1b" not in told
        assert r"\x1b[2Jgone" in told
        assert "LLL" in told
    found = everloop("data", "diff", "odd@latest~", "odd@latest", "--json").json["diff"]
    assert set(found["cells_changed"]) == {long, lines, clears}
