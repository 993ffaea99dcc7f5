"""Versions go to DVC and come back: plain ``dvc`` in a fresh clone is the judge."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import chdir
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.servers.s3 import S3
from tests.stories.dvc.judge import commit, damage, dvc, everloop, git, in_cache, md5_in, sales
from tests.stories.sdk.examples import execute

from everloop import Busy, Corrupt, DataVersioner, DVCManager, Invalid, NotFound, Refused, wiring
from everloop.core.errors import MLOpsError, Unreadable
from everloop.flows import data

FILE = "data/ventas año 1.csv"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture(scope="module")
def empty(alone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project with nothing in it. Each test has a copy of it."""
    folder = tmp_path_factory.mktemp("empty")
    git(folder, "init", "--quiet", "--initial-branch=main")
    with chdir(folder):
        manager = DVCManager()
        assert manager.init() == folder
        manager.close()
    return folder


@pytest.fixture(scope="module")
def begun(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project with one file in two versions, all committed. Each test has a copy of it."""
    folder = tmp_path_factory.mktemp("begun")
    with chdir(folder):
        manager = started(empty, folder)
        (folder / ".gitignore").write_text("/.everloop\n")
        commit(folder, "begin")
        (folder / "data").mkdir()
        for prices in ((1, 2), (1, 2, 3)):
            (folder / FILE).write_bytes(sales(*prices))
            manager.add(FILE, "sales", commit=True)
        manager.close()
    return folder


def started(project: Path, folder: Path, remote: str = "", *more: str) -> DVCManager:
    """A copy of a project; with a remote its configuration is not committed yet."""
    shutil.copytree(project, folder, symlinks=True, dirs_exist_ok=True)
    if remote:
        lines = ["[core]", "remote = store", "['remote \"store\"']", f"url = {remote}", *more]
        (folder / ".dvc" / "config").write_text("\n".join(lines))
    return DVCManager()


def clone(folder: Path, to: Path) -> Path:
    git(to.parent, "clone", "--quiet", str(folder), to.name)
    return to


# -- DVC's users lose nothing ------------------------------------------------------------------------------


def test_s2_check_out_a_file(ours: Path) -> None:
    """The example of S2 with only its import line changed, in a project that plain DVC has made."""
    git(ours, "init", "--quiet")
    dvc(ours, "init", "--quiet")
    (ours / "data" / "raw").mkdir(parents=True)
    (ours / "data" / "raw" / "customers.csv").write_bytes(sales(7))
    dvc(ours, "add", "--quiet", "data/raw/customers.csv")
    (ours / "data" / "raw" / "customers.csv").unlink()
    example = """
from everloop import DVCManager
dvc = DVCManager()
dvc.checkout('data/raw/customers.csv.dvc')
"""
    execute(example)
    assert (ours / "data" / "raw" / "customers.csv").read_bytes() == sales(7)


def test_added_in_one_pass_and_remembered(begun: Path, ours: Path) -> None:
    code, answer, _ = everloop(ours, "dvc", "init")
    assert (code, answer["error"]["code"]) == (20, "invalid")
    assert "git init" in answer["error"]["remedy"]
    started(begun, ours)
    first, second = DataVersioner(dataset="sales").list_versions()

    code, shown, _ = everloop(ours, "data", "show", second["version_id"])
    origin = shown["version"]["origin"]
    assert origin["commit"] == git(ours, "rev-parse", "HEAD")
    assert (origin["dvc"], origin["md5"]) == (f"{FILE}.dvc", md5(sales(1, 2, 3)))
    assert git(ours, "status", "--porcelain") == ""
    assert git(ours, "log", "-1", "--format=%s") == f"Track {FILE} with DVC"
    assert dvc(ours, "status", "--json") == "{}"

    again = DVCManager().add(FILE, "sales", commit=True)
    assert again == second["version_id"]
    assert len(DataVersioner(dataset="sales").list_versions()) == 2
    found = DVCManager().import_history(dataset="sales")  # what was added needs no import
    assert [file.outcome for file in found.files] == ["done", "done"]
    assert [file.version_id for file in found.files] == [first["version_id"], second["version_id"]]

    (ours / "data" / "broken.csv").write_text('a,b\n"1,2\n')
    with pytest.raises(Invalid, match=r"DVC has data/broken\.csv now .* but it is no version yet"):
        DVCManager().add("data/broken.csv")
    (ours / "data" / "broken.csv").write_text("a,b\n1,2\n")
    assert DVCManager().add("data/broken.csv")
    [there] = [t for t in DVCManager().status() if t.path == "data/broken.csv"]
    assert (there.changed, there.cache, there.dataset) == ("", "whole", "data/broken.csv")


def test_versions_come_out_of_a_fresh_clone(
    begun: Path, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table, a folder and a file that DVC never had; what it cannot keep of a folder is told."""
    manager = started(begun, ours, str(tmp_path / "remote"))
    before = git(ours, "rev-parse", "HEAD~1")
    table = pa.table({"n": list(range(1000)), "größe": [f"g{n % 7}" for n in range(1000)]})
    version = DataVersioner(dataset="made").register(table)
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "empty").mkdir()
    (made / "a.png").write_bytes(bytes(range(256)))
    (made / "deep" / "b ü.png").write_bytes(b"b")
    (made / "link").symlink_to("deep")
    (tmp_path / "model").write_bytes(b"a model")
    pictures = DataVersioner(dataset="pictures").register_files(made)
    model = DataVersioner(dataset="model").register_files(tmp_path / "model")

    done = manager.export(version, "data/made here.parquet", commit=True)
    assert (done.source, done.first_md5, done.left_out) == ("written", None, ())
    code, answer, said = everloop(ours, "dvc", "export", pictures, "--to", "data/pictures", "--commit")
    assert (code, answer["export"]["source"]) == (0, "written")
    assert answer["export"]["left_out"] == ["data/pictures/empty", "data/pictures/link"]
    assert "Left out: 'data/pictures/empty', 'data/pictures/link'." in said
    assert manager.export(model, "data/model.bin", commit=True).source == "written"
    git(ours, "commit", "--quiet", "--all", "--message", "the remote")
    code, answer, said = everloop(ours, "dvc", "push")
    assert code == 0, said
    assert "6 files pushed" in answer["dvc"]
    known = {file.path: file.dataset for file in manager.status(["data/model.bin", "data/pictures"])}
    assert known == {"data/model.bin": "model", "data/pictures": None}  # that one is not all of its version

    fresh = clone(ours, tmp_path / "fresh")
    dvc(fresh, "pull", "--quiet")
    assert dvc(fresh, "status", "--json") == "{}"
    assert dvc(fresh, "status", "--cloud", "--json") == "{}"
    assert pq.read_table(fresh / "data" / "made here.parquet").equals(table)
    assert (fresh / FILE).read_bytes() == sales(1, 2, 3)
    assert (fresh / "data" / "model.bin").read_bytes() == b"a model"
    found = [file for file in (fresh / "data" / "pictures").rglob("*") if file.is_file()]
    assert sorted(file.read_bytes() for file in found) == [bytes(range(256)), b"b"]
    assert (fresh / "data" / "pictures" / "deep" / "b ü.png").read_bytes() == b"b"

    # our own pull and checkout in another clone, which has neither cache nor versions
    monkeypatch.chdir(clone(ours, tmp_path / "other"))
    other = DVCManager()
    assert len(other.pull()) == 5
    assert other.checkout(f"{FILE}.dvc") == [Path.cwd() / FILE]
    with pytest.raises(NotFound, match="neither DVC's cache nor a remote"):  # that one was never pushed
        other.checkout(f"{FILE}.dvc", rev=before)
    assert (Path.cwd() / FILE).read_bytes() == sales(1, 2, 3)
    assert git(Path.cwd(), "status", "--porcelain") == ""
    outcomes = {file.path: file.outcome for file in other.import_history().files}
    assert outcomes == dict.fromkeys(
        [FILE, *(f"data/{n}" for n in ("made here.parquet", "model.bin", "pictures"))], "new"
    )
    assert DataVersioner(dataset="data/made here.parquet").list_versions()[0]["version_id"] == version


def test_by_a_remote_in_s3(
    begun: Path, ours: Path, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    started(begun, ours, f"s3://{s3.new_bucket()}/dvc", f"endpointurl = {s3.endpoint}")
    git(ours, "commit", "--quiet", "--all", "--message", "the remote")
    code, answer, said = everloop(ours, "dvc", "push")
    assert code == 0, said
    assert "1 file pushed" in answer["dvc"]

    fresh = clone(ours, tmp_path / "fresh")
    dvc(fresh, "pull", "--quiet")
    assert dvc(fresh, "status", "--cloud", "--json") == "{}"
    assert (fresh / FILE).read_bytes() == sales(1, 2, 3)

    monkeypatch.chdir(clone(ours, tmp_path / "other"))
    other = DVCManager()
    assert other.pull() == [Path.cwd() / FILE]
    with pytest.raises(NotFound, match="neither DVC's cache nor a remote"):  # that one was never pushed
        other.checkout(f"{FILE}.dvc", rev="HEAD~2")
    assert (Path.cwd() / FILE).read_bytes() == sales(1, 2, 3)
    assert git(Path.cwd(), "status", "--porcelain") == ""
    shutil.rmtree(Path.cwd() / ".dvc" / "cache")
    outcomes = {file.commit: file.outcome for file in other.import_history().files}
    assert sorted(outcomes.values()) == ["missing", "new"]


def test_the_bytes_that_dvc_had_come_back(empty: Path, begun: Path, ours: Path, tmp_path: Path) -> None:
    """A CSV that no writer of ours would write so; and a Parquet file that some other version wrote."""
    manager = started(begun, ours)
    first, second = (v["version_id"] for v in DataVersioner(dataset="sales").list_versions())
    kept = in_cache(ours, md5(sales(1, 2)))

    back = manager.export(first, "old/copy of first.csv")
    assert (back.source, back.md5) == ("dvc", md5(sales(1, 2)))
    assert (ours / "old" / "copy of first.csv").read_bytes() == sales(1, 2)
    parquet = manager.export(first, "old/first.parquet")
    assert parquet.source == "written"
    other = tmp_path / "elsewhere"
    shutil.copytree(ours, other, ignore=shutil.ignore_patterns(".everloop"))
    shutil.rmtree(ours / "old")
    assert manager.export(first, "old/again.parquet").source == "dvc"  # the first export's bytes

    kept.unlink()
    anew = manager.export(first, "old/first.csv")
    assert (anew.source, anew.first_md5) == ("written", md5(sales(1, 2)))
    assert anew.md5 == md5((ours / "old" / "first.csv").read_bytes()) != anew.first_md5
    assert (
        everloop(ours, "dvc", "export", second, "--to", "old/first.csv")[0] == 0
    )  # DVC keeps what was there
    (ours / "old" / "first.csv").write_text("mine\n1\n")
    with pytest.raises(Refused, match="DVC does not keep it"):
        manager.export(second, "old/first.csv")
    assert (ours / "old" / "first.csv").read_text() == "mine\n1\n"
    assert manager.export(second, "old/first.csv", force=True).source == "dvc"
    assert dvc(ours, "status", "--json", "old/first.csv.dvc") == "{}"

    # a version imported from another repository has its bytes there
    away = tmp_path / "away"
    away.mkdir()
    os.chdir(away)
    there = started(empty, away)
    found = there.import_history(other, paths=[FILE])
    assert [file.version_id for file in found.files] == [first, second]
    out = there.export(first, "x.csv")
    assert (out.source, out.md5) == ("dvc", md5(sales(1, 2)))


PIPELINE = """\
vars: [{kind: metrics}]
stages:
  make:
    foreach: [x, y]
    do:
      wdir: work
      cmd: mkdir p_${item}; echo 1 > p_${item}/p; echo 2 > ${kind}_${item}.json; echo 3 > out_${item}.csv
      outs: ["out_${item}.csv"]
      metrics:
      - ${kind}_${item}.json: {cache: false}
      plots:
      - p_${item}: {cache: false}
"""


def test_outputs_that_git_keeps_are_left_to_git(
    empty: Path, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``dvc.lock`` has an md5 of them, too; only ``dvc.yaml`` says that DVC keeps none."""
    manager = started(empty, ours, str(tmp_path / "remote"))
    (ours / ".gitignore").write_text("/.everloop\n")
    (ours / "work").mkdir()
    (ours / "dvc.yaml").write_text(PIPELINE)
    dvc(ours, "repro", "--quiet")
    commit(ours, "a pipeline")
    manager.push()
    made = {"work/out_x.csv", "work/out_y.csv"}
    assert {file.path for file in manager.import_history().files} == made

    monkeypatch.chdir(fresh := clone(ours, tmp_path / "fresh"))
    assert {*DVCManager().pull()} == {fresh / path for path in made}
    code, answer, _ = everloop(fresh, "dvc", "status")
    assert (code, {t["path"] for t in answer["files"]}) == (0, made)


# -- what DVC takes for good and is not ---------------------------------------------------------------------


def test_what_is_nowhere_is_named(
    begun: Path, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``dvc push`` leaves such objects out with a warning, and 0; the clone then cannot have them."""
    manager = started(begun, ours, str(tmp_path / "remote"))
    (ours / "lost.csv").write_bytes(sales(8))
    manager.add("lost.csv", commit=True)
    git(ours, "commit", "--quiet", "--all", "--message", "the remote")
    in_cache(ours, md5(sales(8))).unlink()

    code, answer, _ = everloop(ours, "dvc", "push")
    assert (code, answer["error"]["code"]) == (11, "not_found")
    assert answer["error"]["message"].startswith("1 file pushed, but neither DVC's cache nor the remote has")
    assert "'lost.csv'" in answer["error"]["message"]
    assert FILE not in answer["error"]["message"]
    code, answer, _ = everloop(ours, "dvc", "status")
    assert (code, {t["path"]: t["cache"] for t in answer["files"]}) == (
        60,
        {FILE: "whole", "lost.csv": "missing"},
    )

    monkeypatch.chdir(clone(ours, tmp_path / "fresh"))
    with pytest.raises(NotFound, match=r"'lost\.csv'.*dvc push"):
        DVCManager().pull()
    assert Path(FILE).read_bytes() == sales(1, 2, 3)


def test_what_cannot_be_got_leaves_the_work_tree_alone(begun: Path, ours: Path, tmp_path: Path) -> None:
    """Somebody has committed and not pushed. DVC's own checkout deletes the clean file and folder."""
    manager = started(begun, ours, str(tmp_path / "remote"))
    (ours / "img" / "empty").mkdir(parents=True)
    (ours / "img" / "a.png").write_bytes(b"a")
    (ours / "here.csv").write_bytes(sales(9))
    for path in ("img", "here.csv"):
        manager.add(path)
    manager.push()
    (ours / "here.csv").unlink()
    for file in (f"{FILE}.dvc", "img.dvc"):
        text = (ours / file).read_text()
        (ours / file).write_text(re.sub("md5: [0-9a-f]{4}", "md5: dead", text))

    code, answer, _ = everloop(ours, "dvc", "pull")
    assert (code, answer["error"]["code"]) == (11, "not_found")
    assert f"'{FILE}', 'img'. These stay as they are; the others are in place." in answer["error"]["message"]
    assert (ours / FILE).read_bytes() == sales(1, 2, 3)
    assert (ours / "img" / "a.png").read_bytes() == b"a"
    assert (ours / "img" / "empty").is_dir()
    assert (ours / "here.csv").read_bytes() == sales(9)
    with pytest.raises(NotFound, match=r"'img'\. It stays as it is\."):
        manager.pull("img.dvc", force=True)
    assert (ours / "img" / "a.png").read_bytes() == b"a"


def test_a_pointer_that_cannot_be_read_stops_no_other(begun: Path, ours: Path, tmp_path: Path) -> None:
    """DVC fails on it whatever else it is asked for, unless that is a pointer file."""
    manager = started(begun, ours, str(tmp_path / "remote"))
    (ours / "dvc.yaml").write_text("stages:\n  a: {cmd: echo 1 > a.csv, outs: [a.csv]}\n")
    dvc(ours, "repro", "--quiet")
    for name in ("conflict", "here"):
        (ours / f"{name}.csv").write_bytes(sales(len(name)))
        manager.add(f"{name}.csv")
    pointer = (ours / "conflict.csv.dvc").read_text()
    (ours / "conflict.csv.dvc").write_text(f"<<<<<<< HEAD\n{pointer}")
    (ours / "typed.csv.dvc").write_text((ours / "here.csv.dvc").read_text() + "nope: 1\n")
    others = {ours / FILE, ours / "here.csv", ours / "a.csv"}

    code, answer, _ = everloop(ours, "dvc", "status")
    assert (code, {t["path"]: t["cache"] for t in answer["files"]}) == (
        29,
        {str(path.relative_to(ours)): "whole" for path in others}
        | {"conflict.csv.dvc": "unreadable", "typed.csv.dvc": "unreadable"},
    )
    assert "conflict.csv.dvc is not YAML" in answer["files"][-2]["message"]
    assert "'nope'" in answer["files"][-1]["message"]
    code, answer, _ = everloop(ours, "dvc", "push")
    assert (code, answer["error"]["code"]) == (29, "unreadable")
    assert "conflict.csv.dvc is not YAML" in answer["error"]["message"]
    assert "typed.csv.dvc" in answer["error"]["message"]
    assert answer["error"]["message"].endswith(" The others are pushed.")
    shutil.rmtree(ours / ".dvc" / "cache")
    for path in others:
        path.unlink()
    with pytest.raises(Unreadable, match=r"conflict\.csv\.dvc .* The others are in place\."):
        manager.pull()
    assert (ours / FILE).read_bytes() == sales(1, 2, 3)
    assert all(path.is_file() for path in others)

    (ours / FILE).unlink()
    assert manager.checkout(FILE) == [ours / FILE]  # asked for what can be read, that is all
    with pytest.raises(Unreadable, match="typed"):
        manager.checkout("typed.csv")
    for file in ("here.csv.dvc", "dvc.lock"):
        (ours / file).write_text(re.sub("md5: [0-9a-f]{4}", "md5: dead", (ours / file).read_text()))
    (ours / FILE).unlink()
    with pytest.raises(NotFound, match=r"has all of 'a\.csv', 'here\.csv'.* conflict\.csv\.dvc is not YAML"):
        manager.pull()
    assert all(path.is_file() for path in others)


def test_damaged_objects_never_pass(begun: Path, ours: Path, tmp_path: Path) -> None:
    """DVC's own checkout takes a damaged object for good; ours leaves the file alone, and pull repairs."""
    manager = started(begun, ours, str(tmp_path / "remote"))
    now, before = in_cache(ours, md5(sales(1, 2, 3))), in_cache(ours, md5(sales(1, 2)))
    manager.push()
    damage(now)
    (ours / FILE).unlink()

    now.chmod(0o644)  # one that can be written to DVC would delete when it is asked for the status
    code, answer, _ = everloop(ours, "dvc", "status")
    assert code == 60
    assert [(file["cache"], file["changed"]) for file in answer["files"]] == [("damaged", "deleted")]
    assert now.stat().st_mode & 0o777 == 0o644
    now.chmod(0o444)
    with pytest.raises(Corrupt, match="everloop dvc pull") as told:
        manager.checkout(f"{FILE}.dvc")
    assert str(now) in told.value.message
    assert not (ours / FILE).exists()
    with pytest.raises(Corrupt):
        manager.push(f"{FILE}.dvc")

    assert manager.pull(f"{FILE}.dvc") == [ours / FILE]
    assert (ours / FILE).read_bytes() == sales(1, 2, 3) == now.read_bytes()
    assert dvc(ours, "status", "--json") == "{}"

    damage(before)
    with pytest.raises(Corrupt):
        manager.checkout(f"{FILE}.dvc", rev="HEAD~1")
    assert md5_in(ours, f"{FILE}.dvc") == md5(sales(1, 2, 3))  # nothing was turned back
    before.unlink()
    with pytest.raises(NotFound, match="dvc push"):
        manager.checkout(f"{FILE}.dvc", rev="HEAD~1")

    remote = tmp_path / "remote" / now.relative_to(ours / ".dvc" / "cache")
    damage(remote)
    shutil.rmtree(ours / ".dvc" / "cache")
    (ours / FILE).unlink()
    with pytest.raises(Corrupt):
        manager.pull()
    with pytest.raises(Corrupt):
        manager.checkout(f"{FILE}.dvc")
    assert not (ours / FILE).exists()

    # the same content added again puts the object right instead of keeping the damaged one
    (ours / FILE).write_bytes(sales(1, 2, 3))
    manager.add(FILE, "sales")
    damage(now)
    (ours / FILE).unlink()
    (ours / FILE).write_bytes(sales(1, 2, 3))
    manager.add(FILE, "sales")
    assert now.read_bytes() == sales(1, 2, 3) == (ours / FILE).read_bytes()


def test_an_earlier_version_of_one_file(begun: Path, ours: Path) -> None:
    manager = started(begun, ours)
    (ours / "other.csv").write_text("a\n1\n")
    manager.add("other.csv", commit=True)

    assert manager.checkout(f"{FILE}.dvc", rev="HEAD~2") == [ours / FILE]
    assert (ours / FILE).read_bytes() == sales(1, 2)
    assert dvc(ours, "status", "--json") == "{}"
    assert git(ours, "diff", "--name-only", "-z").strip("\0") == f"{FILE}.dvc"
    with pytest.raises(Refused, match="not committed"):
        manager.checkout(f"{FILE}.dvc", rev="HEAD")
    manager.checkout(FILE, rev="HEAD", force=True)
    assert (ours / FILE).read_bytes() == sales(1, 2, 3)
    with pytest.raises(NotFound, match="git log"):
        manager.checkout(f"{FILE}.dvc", rev="HEAD~9")

    (ours / FILE).write_bytes(b"mine,only\n1,2\n")
    with pytest.raises(Refused, match="--force"):
        manager.checkout(f"{FILE}.dvc", rev="HEAD~2")
    assert (ours / FILE).read_bytes() == b"mine,only\n1,2\n"
    assert md5_in(ours, f"{FILE}.dvc") == md5(sales(1, 2, 3))
    manager.checkout(f"{FILE}.dvc", force=True)
    assert (ours / FILE).read_bytes() == sales(1, 2, 3)


def test_a_folder_under_dvc(empty: Path, ours: Path) -> None:
    """Added as files, checked out and checked file by file, and written elsewhere."""
    manager = started(empty, ours)
    (ours / "parts" / "deep").mkdir(parents=True)
    (ours / "parts" / "a.csv").write_bytes(sales(1))
    (ours / "parts" / "deep" / "b ü.csv").write_bytes(sales(2))
    (ours / "parts" / "link").symlink_to("deep")
    (ours / "parts" / "empty").mkdir()
    code, answer, said = everloop(ours, "dvc", "add", "parts", "--dataset", "images", "--commit")
    assert (code, answer["left_out"]) == (0, ["parts/empty", "parts/link"])
    assert "Left out: 'parts/empty', 'parts/link'." in said
    version = answer["version"]["version_id"]
    [known] = DataVersioner(dataset="images").list_versions()
    assert known["row_count"] == 2
    assert [file.outcome for file in manager.import_history(paths=["parts"], dataset="images").files] == [
        "done"
    ]
    shutil.rmtree(ours / "parts")
    assert len(manager.checkout("parts.dvc")) == 2
    assert (ours / "parts" / "deep" / "b ü.csv").read_bytes() == sales(2)
    assert manager.export(version, "copy of parts").md5 == md5_in(ours, "parts.dvc")
    assert (ours / "copy of parts" / "deep" / "b ü.csv").read_bytes() == sales(2)
    assert manager.export(version, "copy of parts").source == "dvc"  # DVC keeps what was there
    (ours / "copy of parts" / "empty").mkdir()
    with pytest.raises(Refused, match=r"DVC does not keep 'copy of parts/empty'\."):
        manager.export(version, "copy of parts")
    (ours / "copy of parts" / "empty").rmdir()
    (ours / "copy of parts" / "a.csv").unlink()
    (ours / "copy of parts" / "a.csv").write_bytes(b"mine")
    with pytest.raises(Refused, match="DVC does not keep it as it is now"):
        manager.export(version, "copy of parts")
    (ours / "loose").mkdir()
    with pytest.raises(Refused, match="DVC does not keep it"):
        manager.export(version, "loose")
    damage(in_cache(ours, md5(sales(2))))
    assert manager.export(version, "other").source == "written"  # we have it still
    assert (ours / "other" / "deep" / "b ü.csv").read_bytes() == sales(2)
    assert not list(ours.glob(".other*"))
    damage(in_cache(ours, md5(sales(2))))
    shutil.rmtree(ours / "parts")
    with pytest.raises(Corrupt, match="b ü"):
        manager.checkout("parts.dvc")
    assert not (ours / "parts").exists()
    listed = in_cache(ours, md5_in(ours, "parts.dvc"))
    damage(listed)
    listed.chmod(0o644)
    assert {file.path: file.cache for file in manager.status("parts")} == {"parts": "damaged"}
    assert listed.is_file()


def test_what_cannot_be_done(begun: Path, ours: Path, tmp_path: Path) -> None:
    manager = started(begun, ours)
    with pytest.raises(NotFound, match=r"Did you mean 'data/ventas año 1\.csv\.dvc'"):
        manager.checkout("data/ventas año 2.csv.dvc")
    with pytest.raises(NotFound, match="dvc remote add"):
        manager.push()
    (ours / "evil.dvc").write_text((ours / f"{FILE}.dvc").read_text().replace(Path(FILE).name, "../evil.csv"))
    with pytest.raises(Invalid, match=r"evil\.dvc names '\.\./evil\.csv', which lies outside"):
        manager.checkout("evil.dvc")
    (ours / "evil.dvc").unlink()
    with pytest.raises(NotFound, match="There is no file"):
        manager.add("data/none.csv")
    (tmp_path / "outside.csv").write_text("a\n1\n")
    with pytest.raises(Invalid):
        manager.add(tmp_path / "outside.csv")
    with pytest.raises(Invalid, match="is a folder"):
        manager.export("sales@latest", "data")
    project = wiring.open_project()
    with project.locks.hold("dvc/import"), pytest.raises(Busy):
        manager.import_history()
    assert isinstance(data.find(project, "sales@latest").origin, dict)
    project.close()
    assert issubclass(Busy, MLOpsError)


def test_a_project_below_the_root_of_git(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(ours, "init", "--quiet")
    below = ours / "team" / "a b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    manager = DVCManager()
    assert manager.init() == below
    (below / "x.csv").write_bytes(sales(1))
    manager.add("x.csv", commit=True)
    (below / "x.csv").write_bytes(sales(1, 2))
    dvc(below, "add", "--quiet", "x.csv")
    git(below, "commit", "--quiet", "--all", "--message", "two")
    found = manager.import_history()
    assert [(file.path, file.outcome) for file in found.files] == [("x.csv", "done"), ("x.csv", "new")]
    assert manager.checkout("x.csv.dvc", rev="HEAD~1") == [below / "x.csv"]
    assert (below / "x.csv").read_bytes() == sales(1)
