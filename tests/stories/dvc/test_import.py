"""The history of a DVC project becomes versions: from its folder, its git URL, twice, and after a death."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.stories.dvc.judge import (
    SALES,
    Theirs,
    commit,
    copied,
    damage,
    dvc,
    everloop,
    git,
    in_cache,
    sales,
)

from everloop import DataVersioner, DVCManager, Invalid, NotFound, UnknownVersion
from everloop.core.dvc import Import

OUTCOMES = {"new": 6, "known": 1, "done": 0, "missing": 0, "corrupt": 0, "unreadable": 0}


def prices(version: str) -> list[int]:
    return list(DataVersioner().load(version)[0]["price"])


def of_sales(found: Import, theirs: Theirs) -> dict[str, str | None]:
    """Version by the name of its commit."""
    names = {commit: name for name, commit in theirs.commits.items()}
    return {names[file.commit]: file.version_id for file in found.files if file.path == SALES}


def test_a_history_with_a_branch_a_pipeline_and_a_file_that_is_gone(theirs: Theirs, ours: Path) -> None:
    found = DVCManager().import_history(theirs.folder)

    assert dict(found.counts) == OUTCOMES
    assert found.problems == ()
    by_commit = of_sales(found, theirs)
    assert list(by_commit) == ["first", "side", "second", "third", "back"]  # in the order of the commits
    versions = {v["version_id"]: v for v in DataVersioner(dataset=SALES).list_versions()}
    first, side, second, third = (versions[by_commit[n]] for n in ("first", "side", "second", "third"))
    assert by_commit["back"] == by_commit["first"]  # the same content is the same version
    assert [v["parent"] for v in (first, side, second)] == [None, first["version_id"], first["version_id"]]
    assert third["parent"] == side["version_id"]  # the merge before it took the other side's
    assert prices(by_commit["side"]) == [1, 2, 99]
    assert prices(by_commit["second"]) == [1, 2, 3, 4]
    assert prices(f"{SALES}@main") == [1, 2, 3]  # where git's main is: back at the first
    assert prices(f"{SALES}@correction") == [1, 2, 99]
    assert prices(f"{SALES}@v2") == [1, 2, 3, 4]
    assert len(DataVersioner().load("work/doubled.csv@latest")[0]) == 8  # an output of a stage with a wdir
    assert not [f for f in found.files if "rows.json" in f.path]  # git has that one, DVC does not

    code, shown, _ = everloop(ours, "data", "show", f"{SALES}@v2")
    assert code == 0
    origin = shown["version"]["origin"]
    assert origin["dvc"] == f"{SALES}.dvc"
    assert origin["commit"] == theirs.commits["second"]
    assert origin["md5"] == hashlib.md5(sales(1, 2, 3, 4)).hexdigest()
    assert origin["author"] == "Ada <ada@example.org>"
    assert origin["date"] == git(theirs.folder, "log", "-1", "--format=%aI", theirs.commits["second"])
    assert origin["rev"] == "v2"
    assert origin["repository"] == str(theirs.folder)

    again = DVCManager().import_history(theirs.folder)
    assert again.counts["done"] == sum(again.counts.values()) == 7


def test_one_file_as_one_dataset_from_a_revision(theirs: Theirs, ours: Path) -> None:
    manager = DVCManager()
    with pytest.raises(Invalid, match="several files"):
        manager.import_history(theirs.folder, dataset="sales")
    with pytest.raises(NotFound, match=r"Did you mean 'data/old\.csv'"):
        manager.import_history(theirs.folder, paths=["data/odl.csv"])
    with pytest.raises(Invalid, match="no git revision"):
        manager.import_history(theirs.folder, revisions="--output=x")

    beside = os.path.relpath(theirs.folder, ours)
    only = ("--path", f"{SALES}.dvc", "--dataset", "sales", "--rev", "v2")
    code, answer, said = everloop(ours, "dvc", "import", beside, *only)
    assert code == 0, said
    assert answer["counts"]["new"] == 2
    assert [v["row_count"] for v in DataVersioner(dataset="sales").list_versions()] == [3, 4]


def test_from_a_git_url_with_the_remote_and_what_is_missing_or_damaged(
    theirs: Theirs, ours: Path, tmp_path: Path
) -> None:
    """What one object lacks is told and stops nothing else; when it is back, it is taken up."""
    mine = copied(theirs, tmp_path)
    git(tmp_path, "clone", "--quiet", "--bare", str(mine.folder), "bare.git")
    shutil.rmtree(mine.folder)  # nobody has a cache: everything comes from the remote
    lost = mine.object(hashlib.md5(sales(1, 2, 99)).hexdigest())
    lost.rename(tmp_path / "lost")
    damaged = mine.object(hashlib.md5(sales(1, 2, 3, 4)).hexdigest())
    whole = damaged.read_bytes()
    damage(damaged)
    url = f"file://{tmp_path}/bare.git"

    code, answer, _ = everloop(ours, "dvc", "import", url)

    assert code == 60
    assert answer["counts"] == {**OUTCOMES, "new": 4, "missing": 1, "corrupt": 1}
    told = {file["outcome"]: file["message"] for file in answer["import"]["files"] if file["message"]}
    assert SALES in told["missing"]
    assert "dvc push" in told["missing"]
    assert str(damaged) in told["corrupt"]
    assert "backup" in told["corrupt"]
    assert not list((ours / ".everloop" / "dvc").glob("import/*"))

    (tmp_path / "lost").rename(lost)
    damaged.unlink()
    damaged.write_bytes(whole)
    again = DVCManager().import_history(url)
    assert {**again.counts} == {**OUTCOMES, "new": 2, "known": 0, "done": 5}
    by_commit = of_sales(again, theirs)
    versions = {v["version_id"]: v for v in DataVersioner(dataset=SALES).list_versions()}
    assert versions[by_commit["side"]]["parent"] == by_commit["first"]
    assert prices(f"{SALES}@latest") == [1, 2, 3]


def test_damaged_objects_of_the_cache_come_whole_from_the_remote(
    theirs: Theirs, ours: Path, tmp_path: Path
) -> None:
    mine = copied(theirs, tmp_path)
    broken = in_cache(mine.folder, hashlib.md5(sales(1, 2, 99)).hexdigest())
    damage(broken)
    found = DVCManager().import_history(mine.folder, paths=[SALES])
    assert found.counts["corrupt"] == 0
    assert prices(str(of_sales(found, theirs)["side"])) == [1, 2, 99]

    shutil.rmtree(mine.remote)
    shutil.rmtree(ours / ".everloop")
    found = DVCManager().import_history(mine.folder, paths=[SALES])
    assert {**found.counts} == {**OUTCOMES, "new": 3, "corrupt": 1}
    [corrupt] = [file for file in found.files if file.outcome == "corrupt"]
    assert str(broken) in corrupt.message


KILLED = """
import os, signal, sys
import everloop.store.dvc as links
from everloop import DVCManager
from everloop.flows import data

point, left = sys.argv[2], int(sys.argv[3])
module, name = (links, "add_file") if point == "recording" else (data, "register")
real = getattr(module, name)

def dying(*given, **more):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **more)

setattr(module, name, dying)
DVCManager().import_history(sys.argv[1])
"""


def test_killed_and_begun_again(theirs: Theirs, ours: Path) -> None:
    for point, left in (("recording", 3), ("register", 2)):
        command = [sys.executable, "-c", KILLED, str(theirs.folder), point, str(left)]
        died = subprocess.run(command, cwd=ours, capture_output=True, timeout=60)
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    found = DVCManager().import_history(theirs.folder)

    assert found.counts["done"] > 0
    assert sum(found.counts[name] for name in ("new", "known", "done")) == 7
    versions = DataVersioner(dataset=SALES).list_versions()
    by_commit = of_sales(found, theirs)
    assert [v["version_id"] for v in versions] == [by_commit[n] for n in ("first", "side", "second", "third")]
    assert [v["parent"] for v in versions] == [
        None,
        by_commit["first"],
        by_commit["first"],
        by_commit["side"],
    ]
    assert prices(f"{SALES}@latest") == [1, 2, 3]


def legacy(folder: Path, name: str, content: bytes) -> None:
    """As DVC 2 left it: the md5 is of the text with Unix line ends, and the cache has no ``files/md5``."""
    md5 = hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest()
    kept = folder / ".dvc" / "cache" / md5[:2] / md5[2:]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    (folder / f"{name}.dvc").write_text(f"outs:\n- md5: {md5}\n  size: {len(content)}\n  path: {name}\n")
    (folder / ".gitignore").write_text(f"/{name}\n")


def test_a_project_of_dvc_2_and_pointers_that_cannot_be_read(ours: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    dvc(folder, "init", "--quiet")
    legacy(folder, "yes.csv", sales(5, 6))
    (folder / "broken.csv.dvc").write_text("<<<<<<< HEAD\nouts: [")
    (folder / "evil.csv.dvc").write_text((folder / "yes.csv.dvc").read_text().replace("yes", "../evil"))
    (folder / "notes.txt.dvc").write_text(
        "outs:\n- md5: 900150983cd24fb0d6963f7d28e17f72\n  path: notes.txt\n"
    )
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "from long ago")
    (folder / "broken.csv.dvc").unlink()
    (folder / "evil.csv.dvc").unlink()
    legacy(folder, "model.bin", bytes(range(256)) * 9)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "mended")

    found = DVCManager().import_history(folder)

    outcomes = {file.path: file.outcome for file in found.files}
    assert outcomes == {"yes.csv": "new", "notes.txt": "missing", "model.bin": "new"}
    assert len(found.problems) == 2
    assert "broken.csv.dvc" in found.problems[0]
    assert "'../evil.csv', which lies outside" in found.problems[1]
    assert prices("yes.csv@main") == [5, 6]
    assert dvc(folder, "checkout", "yes.csv.dvc").split() == ["A", "yes.csv"]  # DVC agrees about the object


def test_where_there_is_no_dvc_project(ours: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not in a git repository"):
        DVCManager().import_history()
    git(ours, "init", "--quiet")
    with pytest.raises(NotFound, match="everloop dvc init"):
        DVCManager().import_history()
    code, answer, _ = everloop(ours, "dvc", "import", "../nowhere")
    assert (code, answer["error"]["code"]) == (12, "file_missing")
    assert "URL" in answer["error"]["remedy"]
    with pytest.raises(Invalid, match=r"nowhere\.git cannot be cloned: .*git ls-remote"):
        DVCManager().import_history(f"file://{tmp_path}/nowhere.git")


def test_main_follows_gits_main_also_for_a_file_that_is_gone_there(ours: Path, tmp_path: Path) -> None:
    """The side branch's content is registered last; git's main, where the file was renamed, never had it."""
    folder = tmp_path / "renamed"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "init", "--quiet")

    def put(name: str, *numbers: int) -> None:
        (folder / name).write_bytes(sales(*numbers))
        dvc(folder, "add", "--quiet", name)

    put("customers.csv", 1)
    commit(folder, "first")
    put("customers.csv", 1, 2)
    commit(folder, "second")
    git(folder, "switch", "--quiet", "--create", "side")
    put("customers.csv", 1, 2, 99)
    put("other.csv", 7)
    commit(folder, "on the side")
    put("other.csv", 7, 8)
    commit(folder, "on the side again")
    git(folder, "rm", "--quiet", "other.csv.dvc")
    commit(folder, "other is gone")
    git(folder, "switch", "--quiet", "main")
    git(folder, "merge", "--quiet", "--strategy=ours", "--message", "ours", "side")
    git(folder, "rm", "--quiet", "customers.csv.dvc")
    put("kunden.csv", 1, 2)
    commit(folder, "renamed")
    git(folder, "tag", "v3")
    git(folder, "update-ref", "refs/remotes/origin/side", "side~2")  # not fetched lately
    git(folder, "update-ref", "refs/remotes/origin/main", "main")

    manager = DVCManager()
    assert manager.import_history(folder).counts["new"] == 6
    assert prices("customers.csv@main") == prices("customers.csv@latest") == [1, 2]
    assert prices("customers.csv@side") == [1, 2, 99]
    assert prices("kunden.csv@main") == [1, 2]
    assert prices("other.csv@main") == [7, 8]  # only the side had it, and that was merged
    with pytest.raises(UnknownVersion):
        prices("customers.csv@v3")  # the tag has no such file
    _, shown, _ = everloop(ours, "data", "show", "kunden.csv@main")
    assert shown["version"]["origin"]["rev"] == "main, v3"  # main is here and afar, and said once

    git(folder, "switch", "--quiet", "side")
    put("customers.csv", 1, 2, 99, 100)
    commit(folder, "on the side once more")
    git(folder, "switch", "--quiet", "main")
    assert manager.import_history(folder).counts["new"] == 1
    assert prices("customers.csv@main") == [1, 2]
    assert prices("customers.csv@side") == [1, 2, 99, 100]


def test_what_was_missing_comes_where_it_belongs(ours: Path, tmp_path: Path) -> None:
    """Taken up later, a version has the parent that it would have had at once; so have those after it."""
    folder = tmp_path / "gaps"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "init", "--quiet")
    for last in (1, 2, 3, 4):
        (folder / "x.csv").write_bytes(sales(*range(last)))
        dvc(folder, "add", "--quiet", "x.csv")
        commit(folder, f"up to {last}")
    away = [in_cache(folder, hashlib.md5(sales(*range(last))).hexdigest()) for last in (1, 3)]
    for place in away:
        place.rename(tmp_path / place.name)
    manager = DVCManager()
    assert [f.outcome for f in manager.import_history(folder).files] == ["missing", "new", "missing", "new"]
    for place in away:
        (tmp_path / place.name).rename(place)

    found = manager.import_history(folder)

    assert [file.outcome for file in found.files] == ["new", "done", "new", "done"]
    ids = [file.version_id for file in found.files]
    parents = {v["version_id"]: v["parent"] for v in DataVersioner(dataset="x.csv").list_versions()}
    assert [parents[str(each)] for each in ids] == [None, *ids[:-1]]
    code, answer, _ = everloop(ours, "data", "log", "x.csv")
    assert (code, [v["version"]["version_id"] for v in answer["log"]["x.csv"]]) == (0, ids[::-1])


def test_what_is_no_imports_own_keeps_its_parent(ours: Path, tmp_path: Path) -> None:
    """The first commit's content, missing at first, was registered by hand after the second's."""
    folder = tmp_path / "gap"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "init", "--quiet")
    for last in (1, 2):
        (folder / "x.csv").write_bytes(sales(*range(last)))
        dvc(folder, "add", "--quiet", "x.csv")
        commit(folder, f"up to {last}")
    away = in_cache(folder, hashlib.md5(sales(0)).hexdigest())
    away.rename(tmp_path / away.name)
    manager = DVCManager()
    assert [f.outcome for f in manager.import_history(folder).files] == ["missing", "new"]
    (ours / "mine.csv").write_bytes(sales(0))
    mine = DataVersioner(dataset="x.csv").register("mine.csv")
    (tmp_path / away.name).rename(away)

    found = manager.import_history(folder)

    assert [(f.outcome, f.version_id == mine) for f in found.files] == [("known", True), ("done", False)]
    parents = {v["version_id"]: v["parent"] for v in DataVersioner(dataset="x.csv").list_versions()}
    assert parents == {mine: found.files[1].version_id, found.files[1].version_id: None}


def test_a_main_that_has_gone_on_here_stays(ours: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ahead"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "init", "--quiet")
    manager, data = DVCManager(), DataVersioner(dataset="x.csv")

    def put(*numbers: int) -> str | None:
        (folder / "x.csv").write_bytes(sales(*numbers))
        dvc(folder, "add", "--quiet", "x.csv")
        commit(folder, f"{numbers}")
        return manager.import_history(folder).files[-1].version_id

    first = put(1)
    assert data.names()["main"] == first
    (ours / "mine.csv").write_bytes(sales(1, 2, 3))
    mine = data.register("mine.csv")
    second = put(1, 2)
    assert second not in (first, mine, None)
    assert data.names()["main"] == mine
    assert put(1, 2, 3) == mine  # what git has by now, too, follows git
    assert put(4) == data.names()["main"]


def test_a_history_that_is_cut_is_told(theirs: Theirs, ours: Path, tmp_path: Path) -> None:
    """Once the rest is fetched, it comes before what was imported first."""
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{theirs.folder}", "cut")
    cut = str(tmp_path / "cut")
    code, answer, said = everloop(ours, "dvc", "import", cut, "--path", SALES)
    assert (code, answer["import"]["shallow"], answer["counts"]["new"]) == (0, True, 1)
    assert f"{cut} is a shallow clone" in said
    assert "'git fetch --unshallow'" in said

    git(tmp_path / "cut", "fetch", "--quiet", "--unshallow")
    code, answer, said = everloop(ours, "dvc", "import", cut, "--path", SALES)
    assert (code, answer["import"]["shallow"], answer["counts"]["new"]) == (0, False, 3)
    assert "unshallow" not in said
    by_commit = {file["commit"]: file["version_id"] for file in answer["import"]["files"]}
    first, side, second, third = (by_commit[theirs.commits[n]] for n in ("first", "side", "second", "third"))
    parents = {v["version_id"]: v["parent"] for v in DataVersioner(dataset=SALES).list_versions()}
    assert parents == {first: None, side: first, second: first, third: side}
    assert prices(f"{SALES}@latest") == [1, 2, 3]


EACH = """\
stages:
  each:
    foreach: ${places}
    do:
      wdir: ${item}
      cmd: printf 'x\\n${item}\\n' > out.csv
      outs: [out.csv]
"""


def test_stages_that_work_each_in_a_folder_of_its_own(ours: Path) -> None:
    """Their folders are a template, whose values are those of each commit."""
    git(ours, "init", "--quiet")
    below = ours / "team a"
    for place in ("us", "eu", "asia"):
        (below / place).mkdir(parents=True)
    dvc(below, "init", "--quiet", "--subdir")
    (below / "dvc.yaml").write_text(EACH)
    for places in ("[us, eu]", "[eu, asia]"):
        (below / "params.yaml").write_text(f"places: {places}\n")
        dvc(below, "repro", "--quiet")
        commit(ours, places)

    code, answer, said = everloop(below, "dvc", "import")
    assert code == 0, said
    found = {file["path"]: file["outcome"] for file in answer["import"]["files"]}
    assert found == {"us/out.csv": "new", "eu/out.csv": "new", "asia/out.csv": "new"}
    (below / "us" / "out.csv").unlink()
    code, answer, _ = everloop(below, "dvc", "status")  # dvc.lock still has the stage of 'us'
    assert (code, {file["path"]: file["dataset"] for file in answer["files"]}) == (
        0,
        {path: path for path in ("eu/out.csv", "asia/out.csv")},
    )
    there = {below / "eu" / "out.csv", below / "asia" / "out.csv"}
    for file in ("dvc.lock", "dvc.yaml"):
        assert {*DVCManager().checkout(below / file)} == there
