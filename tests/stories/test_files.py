"""Days with versions of files: what goes in comes out, a change costs what changed, and nothing gets out."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from tests.stories.test_cli import as_nobody, everloop

from everloop import wiring
from everloop.core.clock import SystemClock
from everloop.core.errors import (
    Conflict,
    Corrupt,
    FileMissing,
    Invalid,
    MLOpsError,
    Refused,
    StorageDenied,
    Unreadable,
    WrongType,
)
from everloop.core.files import Renamed
from everloop.data import listing
from everloop.data.listing import Listed
from everloop.data.survey import survey
from everloop.flows import data, files
from everloop.flows.content import collecting, tables, verifying
from everloop.flows.content.files import open_listing
from everloop.flows.project import Project
from everloop.settings import load_settings

Tree = dict[str, tuple[str, bytes]]


class Later(SystemClock):
    """Ten seconds ahead: to it, no file is so young that another change might not show."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=10)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with closing(wiring.connect(load_settings(folder=tmp_path / "project", variables={}), Later())) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of all kinds."""
    root = tmp_path / "files"
    (root / "bilder/größe 7").mkdir(parents=True)
    (root / "leer").mkdir()
    (root / "bilder/größe 7/猫 🐈.jpg").write_bytes(noise(200_000))
    (root / "bilder/eins.txt").write_text("eins\n")
    (root / "leere datei").write_bytes(b"")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "zur katze").symlink_to("bilder/größe 7/猫 🐈.jpg")
    (root / "bilder/hinauf").symlink_to("../run.sh")
    (root / "ins leere").symlink_to("nichts")
    return root


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def tree(root: Path) -> Tree:
    """Everything below a folder: kind and content by path."""
    found: Tree = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_file():
            found[name] = ("executable" if path.stat().st_mode & stat.S_IXUSR else "file", path.read_bytes())
        else:
            found[name] = ("folder", b"")
    return found


def chunk_packs(project: Project, version_id: str) -> list[Path]:
    there = tables.objects(project)
    packs = there.manifest(version_id).chunks
    return [Path(project.data.where(there.pack_key(pack.id))) for pack in packs]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_what_goes_in_comes_out(project: Project, folder: Path, tmp_path: Path) -> None:
    registered = files.register_files(project, folder, "bilder", tags={"von": "hand"})
    version = registered.version
    assert (registered.new, version.kind, version.rows, version.columns) == (True, "files", 8, ())
    assert data.find(project, "bilder@latest") == version
    done = files.restore(project, version, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(folder)
    assert (done.written, done.kept) == (8, 0)
    assert files.restore(project, version, tmp_path / "out").kept == 8
    assert files.fault(project, version) is None
    again = files.register_files(project, tmp_path / "out", "bilder")
    assert (again.new, again.version) == (False, version)


def test_one_file_and_the_same_content_by_another_way(project: Project, folder: Path) -> None:
    single = data.register(project, folder / "bilder/eins.txt", "eins", as_files=None).version
    assert [(f.path, f.kind, f.digest) for f in data.list_files(project, single)] == [
        ("eins.txt", "file", sha256(b"eins\n").hexdigest())
    ]
    given_ = files.register_files(project, {"eins.txt": folder / "bilder/eins.txt"}, "zwei").version
    assert given_.version_id == single.version_id


def test_a_change_of_one_of_many_files_costs_little(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(2_000):
        (root / f"{number:05}.txt").write_bytes(noise(300, number))
    first = files.register_files(project, root, "many").version
    (root / "00777.txt").write_bytes(b"changed")
    second = files.register_files(project, root, "many").version
    assert first.bytes > 600_000
    assert second.bytes < 3_000
    assert second.parent == first.version_id
    assert len(list((tmp_path / "project").rglob("*.pack"))) == 4


def test_an_insertion_in_a_large_file_costs_a_chunk_or_two(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    content = noise(10 << 20)
    path.write_bytes(content)
    first = files.register_files(project, path, "model").version
    path.write_bytes(content[: 5 << 20] + b"hello" + content[5 << 20 :])
    second = files.register_files(project, path, "model").version
    assert first.bytes < 1.01 * len(content)
    assert second.bytes < 500_000
    with data.open_file(project, second, "model.bin") as stream:
        stream.seek(5 << 20)
        assert stream.read(5) == b"hello"
        assert stream.seek(-3, os.SEEK_END) == len(content) + 2
        assert stream.read() == content[-3:]
        stream.seek(1_000_000)
        assert stream.read(2_000_000) == content[1_000_000:3_000_000]
        stream.seek(0)
        assert sha256(stream.read()).digest() == sha256(path.read_bytes()).digest()


def test_a_stream_reads_only_the_chunks_it_needs(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(noise(4 << 20))
    version = files.register_files(project, path, "model").version
    [pack] = chunk_packs(project, version.version_id)
    flip(pack, 3 << 20)
    with data.open_file(project, version, "model.bin") as stream:
        assert stream.read(100_000) == path.read_bytes()[:100_000]
        stream.seek(3 << 20)
        with pytest.raises(Corrupt, match=pack.name):
            stream.read(100_000)


def read_again(project: Project, root: Path, **options: Any) -> tuple[bool, set[str]]:
    """Whether a version is new, and which files were read for it."""
    seen: set[str] = set()
    new = files.register_files(
        project, root, "again", tell=lambda _done, _total, path: seen.add(path), **options
    ).new
    return new, seen - {""}


def test_files_that_did_not_change_are_not_read_again(project: Project, folder: Path) -> None:
    everything = {"bilder/größe 7/猫 🐈.jpg", "bilder/eins.txt", "leere datei", "run.sh"}
    assert read_again(project, folder) == (True, everything)
    assert read_again(project, folder) == (False, set())
    assert read_again(project, folder, reread=True) == (False, everything)
    path = folder / "bilder/eins.txt"
    before = path.stat()
    path.write_text("zwei\n")  # as long as before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_again(project, folder) == (True, {"bilder/eins.txt"})
    path.chmod(0o755)
    assert read_again(project, folder) == (True, {"bilder/eins.txt"})


def test_what_changed_a_moment_ago_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    with closing(wiring.connect(load_settings(folder=tmp_path / "project", variables={}))) as now:
        assert read_again(now, folder)[0]
        assert len(read_again(now, folder)[1]) == 4


def test_a_folder_in_which_everything_changed_a_moment_ago(project: Project, tmp_path: Path) -> None:
    """What was known of it before is forgotten then."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    files.register_files(project, str(folder), "d")
    (folder / "a").write_bytes(b"22")
    with closing(wiring.connect(load_settings(folder=tmp_path / "project", variables={}))) as now:
        assert files.register_files(now, str(folder), "d").new


def test_a_damaged_memory_of_what_was_seen_is_no_trouble(
    project: Project, folder: Path, tmp_path: Path
) -> None:
    read_again(project, folder)
    [memory] = (tmp_path / "project/.everloop/seen").iterdir()
    flip(memory, memory.stat().st_size // 2)
    assert len(read_again(project, folder)[1]) == 4
    memory.write_bytes(b"")
    assert len(read_again(project, folder)[1]) == 4


def test_what_other_datasets_have_is_not_stored_again(project: Project, folder: Path, tmp_path: Path) -> None:
    first = files.register_files(project, folder, "one").version
    (folder / "neu").write_text("neu")
    other = files.register_files(project, folder, "two").version
    assert first.bytes > 200_000
    assert other.bytes < 10_000
    files.restore(project, other, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(folder)


def test_many_small_additions_do_not_need_ever_more_packs(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "growing"
    root.mkdir()
    for number in range(36):
        (root / f"{number}").write_bytes(noise(100, number))
        version = files.register_files(project, root, "growing").version
    assert len(chunk_packs(project, version.version_id)) <= 33
    files.restore(project, version, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(root)


def test_ignored_and_own_files_stay_out(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in ("a.txt", "b.tmp", ".git/config", "sub/c.tmp", "sub/keep.tmp", "build/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".everloopignore").write_text("*.tmp\n!keep.tmp\n/build/\n")
    version = files.register_files(project, root, "self").version
    assert [file.path for file in data.list_files(project, version)] == [
        ".everloopignore",
        "a.txt",
        "sub/keep.tmp",
    ]


def test_the_projects_own_state_is_no_data(project: Project) -> None:
    data.register(project, pa.table({"a": [1, 2]}), "t")
    for own in (".everloop", ".everloop/data", ".everloop/everloop.db"):
        with pytest.raises(Invalid, match="keeps its own state"):
            files.register_files(project, own, "own")


def test_what_cannot_be_versioned_is_said(project: Project, folder: Path, tmp_path: Path) -> None:
    def refused(kind: type[MLOpsError], words: str, source: object = folder) -> None:
        with pytest.raises(kind, match=words):
            files.register_files(project, source, "odd")  # type: ignore[arg-type]  # on purpose of many kinds

    refused(FileMissing, "nowhere", tmp_path / "nowhere")
    (tmp_path / "hollow").mkdir()
    refused(Invalid, "nothing in", tmp_path / "hollow")
    refused(Unreadable, "not a path within", {"../a": folder / "run.sh"})
    os.mkfifo(folder / "pipe")
    refused(Unreadable, "'pipe' is no file")
    refused(Unreadable, "pipe", folder / "pipe")
    (folder / "pipe").unlink()
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(folder / "s"))
        refused(Unreadable, "'s' is no file")
    (folder / "s").unlink()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).write_text("x")
    refused(Unreadable, r"not UTF-8.*udcff\.txt")
    (folder / ".everloopignore").write_text("?.txt\n")
    for target in ("/etc/passwd", "../files/run.sh", "bilder/../../x"):
        (folder / "out").unlink(missing_ok=True)
        (folder / "out").symlink_to(target)
        refused(Unreadable, "leads out")
    assert data.list_versions(project) == []


def test_a_file_that_cannot_be_read_is_named() -> None:
    place = Path(tempfile.mkdtemp(prefix="everloop-test-"))  # pytest's own folder is closed to others
    place.chmod(0o777)
    try:
        with as_nobody(), closing(wiring.connect(load_settings(folder=place, variables={}))) as opened:
            (place / "in").mkdir()
            (place / "in/secret").write_text("x")
            (place / "in/secret").chmod(0)
            with pytest.raises(StorageDenied, match="in/secret' cannot be read"):
                files.register_files(opened, place / "in", "odd")
            (place / "in").chmod(0o300)
            with pytest.raises(Unreadable, match="in' cannot be read"):
                files.register_files(opened, place / "in", "odd")
    finally:
        shutil.rmtree(place)


def test_a_file_that_changes_while_it_is_read(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(100_000))

    def append(_done: int, _total: int, name: str) -> None:
        with path.open("ab") as file:
            file.write(name.encode())

    with pytest.raises(Conflict, match="changed while it is read"):
        files.register_files(project, path, "log", tell=append)
    size, times = path.stat().st_size, 0

    def append_once(_done: int, _total: int, name: str) -> None:
        nonlocal times
        times += 1
        if times == 1:
            append(_done, _total, name)

    version = files.register_files(project, path, "log", tell=append_once).version
    [file] = data.list_files(project, version)
    assert file.size == size + 3
    assert file.digest == sha256(path.read_bytes()).hexdigest()


def test_every_flipped_byte_is_noticed(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(noise(1_000))
    version = files.register_files(project, path, "small").version
    there = tables.objects(project)
    manifest = there.manifest(version.version_id)
    stored = [Path(project.data.where(there.pack_key(pack.id))) for pack in manifest.packs]
    stored.append(Path(project.data.where(there.manifest_key(version.version_id))))
    for object_ in stored:
        whole = object_.read_bytes()
        for at in range(0, len(whole), 29):
            flip(object_, at)
            sound = verifying.verify(project).sound
            fault = files.fault(project, version)
            object_.write_bytes(whole)
            assert not sound, f"verify: byte {at} of {object_.name}"
            assert fault or whole[: at + 1] == b"everloop.pack/1\n"[: at + 1], f"byte {at} of {object_.name}"
        object_.write_bytes(whole[:-1])
        assert files.fault(project, version)
        object_.write_bytes(whole)
    assert files.fault(project, version) is None


def test_damage_is_never_restored_and_is_mended_by_registering_again(
    project: Project, folder: Path, tmp_path: Path
) -> None:
    version = files.register_files(project, folder, "bilder").version
    [pack] = chunk_packs(project, version.version_id)
    flip(pack, 100_000)
    with pytest.raises(Corrupt, match=pack.name) as raised:
        files.restore(project, version, tmp_path / "out")
    assert "--reread" in raised.value.remedy
    assert not list((tmp_path / "out").rglob("*.jpg"))
    assert not (tmp_path / "out/.everloop-get").exists()
    assert not files.register_files(project, folder, "bilder", reread=True).new
    assert files.fault(project, version) is None
    for pack in chunk_packs(project, version.version_id):
        pack.unlink()
    assert not files.register_files(project, folder, "bilder").new
    assert files.fault(project, version) is None
    files.restore(project, version, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(folder)


def test_nothing_is_overwritten_unasked(project: Project, folder: Path, tmp_path: Path) -> None:
    version = files.register_files(project, folder, "bilder").version
    out = tmp_path / "out"
    files.restore(project, version, out, paths=["bilder"])
    assert sorted(tree(out)) == sorted(name for name in tree(folder) if name.startswith("bilder"))
    (out / "bilder/eins.txt").write_text("mine\n")
    (out / "mine").write_text("mine")
    with pytest.raises(Refused, match=r"bilder/eins\.txt"):
        files.restore(project, version, out)
    assert (out / "bilder/eins.txt").read_text() == "mine\n"
    assert not (out / "run.sh").exists()
    (out / ".everloop-get").mkdir()  # as a restore that was killed leaves it
    (out / ".everloop-get/0").write_text("half")
    assert files.restore(project, version, out, force=True).kept == 2
    assert tree(out) == {**tree(folder), "mine": ("file", b"mine")}
    (out / "run.sh").unlink()
    (out / "run.sh").mkdir()
    with pytest.raises(Refused, match="is a folder"):
        files.restore(project, version, out, force=True)
    with pytest.raises(FileMissing, match="no file 'hunde'"):
        files.restore(project, version, out, paths=["hunde"])


def plant(project: Project, version: Any, rows: list[Listed]) -> Any:
    """A stored version with a listing that no registration would write."""
    there = tables.objects(project)
    old = there.manifest(version.version_id)
    found = listing.table(rows)
    name = listing.version_id(found, "sha256")
    revision = tables.revised(there, replace(survey(found, "sha256"), version_id=name), None)
    manifest = replace(
        revision.manifest, kind="files", packs=(*revision.manifest.packs, *old.chunks), chunks=old.chunks
    )
    tables.write(there, replace(revision, manifest=manifest))
    return replace(version, version_id=name)


def test_hostile_versions_do_not_leave_the_folder(project: Project, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("../../evil")
    version = files.register_files(project, tmp_path / "in", "x").version
    [good] = listing.rows(open_listing(project, version))
    link = good._replace(kind="link", path="sub/link")
    for rows in (
        [good._replace(path="../evil")],
        [good._replace(path="/tmp/evil")],
        [good._replace(path="sub/../../evil")],
        [link],
        [link, good._replace(path="sub/link/evil")],
        [good._replace(digest=sha256(b"other").digest())],
        [good._replace(chunks=b"\7" * 36)],
        [good._replace(chunks=good.chunks[:-1] + b"\1")],
        [good._replace(chunks=good.chunks[:-1])],
    ):
        hostile = plant(project, version, rows)
        with pytest.raises(Corrupt):
            files.restore(project, hostile, tmp_path / "deep/out")
        assert not list(tmp_path.rglob("*evil*"))
        assert not [path for path in (tmp_path / "deep/out").rglob("*") if not path.is_dir()]


def test_links_that_are_in_the_way_are_not_followed(project: Project, folder: Path, tmp_path: Path) -> None:
    version = files.register_files(project, folder, "bilder").version
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "bilder").symlink_to(elsewhere)
    with pytest.raises(Refused, match="is a link"):
        files.restore(project, version, out, force=True)
    (out / "bilder").unlink()
    (out / "run.sh").symlink_to(elsewhere / "run.sh")
    files.restore(project, version, out, force=True)
    assert tree(out) == tree(folder)
    assert not list(elsewhere.iterdir())


def test_what_lies_between_two_versions(project: Project, folder: Path) -> None:
    before = files.register_files(project, folder, "bilder").version
    (folder / "run.sh").write_text("#!/bin/bash\n")
    (folder / "bilder/größe 7/猫 🐈.jpg").rename(folder / "katze.jpg")
    (folder / "leere datei").unlink()
    (folder / "neu").write_text("neu")
    found = files.compare(project, before, files.register_files(project, folder, "bilder").version)
    assert [file.path for file in found.added] == ["bilder/größe 7", "neu"]
    assert [file.path for file in found.removed] == ["leere datei"]
    assert [file.path for file in found.changed] == ["run.sh"]
    assert found.renamed == (Renamed("bilder/größe 7/猫 🐈.jpg", "katze.jpg"),)


def test_files_are_no_table(project: Project, folder: Path) -> None:
    version = files.register_files(project, folder, "x").version
    with pytest.raises(WrongType, match="version of files"):
        data.load(project, version)
    table = data.register(project, pa.table({"a": [1]}), "x").version
    assert data.load(project, table).to_pydict() == {"a": [1]}
    with pytest.raises(Invalid, match="is a table"):
        data.list_files(project, table)
    assert files.register_files(project, folder, "x").version == version


def test_a_collection_leaves_files_alone(project: Project, folder: Path, tmp_path: Path) -> None:
    version = files.register_files(project, folder, "x").version
    (folder / "run.sh").write_text("#!/bin/bash\n")
    newer = files.register_files(project, folder, "x").version
    collecting.collect(project, grace=timedelta(0), dry_run=False)
    assert verifying.verify(project, full=True).sound
    files.restore(project, newer, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(folder)
    assert files.fault(project, version) is None


NAMES = some.text(
    some.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"), min_size=1, max_size=8
)
SIZES = some.sampled_from([0, 1, 100, 16_384, 16_385, 70_000, 300_000])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=some.dictionaries(
        some.lists(NAMES.filter(lambda name: name not in (".", "..", ".git")), min_size=1, max_size=3).map(
            tuple
        ),
        some.tuples(SIZES, some.integers(0, 3), some.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_any_folder_comes_back(
    project: Project, tmp_path_factory: pytest.TempPathFactory, wanted: dict[tuple[str, ...], Any]
) -> None:
    root = tmp_path_factory.mktemp("any")
    for parts, (size, seed, executable) in wanted.items():
        path = (root / "in").joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(noise(size, seed))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a name that is a folder already, or below a file
        path.chmod(0o755 if executable else 0o644)
    version = files.register_files(project, root / "in", "any").version
    files.restore(project, version, root / "out")
    assert tree(root / "out") == tree(root / "in")
    assert files.register_files(project, root / "out", "any").version == version


def test_a_day_at_the_command_line(folder: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    folder.rename(shop / "bilder")
    said = everloop(shop, "data", "add", "bilder", "--dataset", "bilder")
    assert said.code == 0
    assert "8 files (200 kB)" in said.out
    assert "not a table" in said.err
    first = everloop(shop, "data", "list", "--json").json["versions"][0]
    assert (first["kind"], first["rows"]) == ("files", 8)
    shown = everloop(shop, "data", "show", "bilder@latest")
    assert "猫 🐈.jpg" in shown.out
    assert len(everloop(shop, "data", "show", "bilder@latest", "--json").json["files"]) == 8
    (shop / "bilder/neu.txt").write_text("neu")
    assert everloop(shop, "data", "add", "bilder", "--dataset", "bilder", "--json").json["new"]
    diff = everloop(shop, "data", "diff", "bilder@latest~1", "bilder@latest")
    assert "1 added, 0 removed" in diff.out
    assert "neu.txt" in diff.out
    got = everloop(shop, "data", "get", "bilder@latest", "--to", "out", "--path", "bilder/*", "--json")
    assert got.json["restored"]["written"] == 3
    (shop / "out/bilder/eins.txt").write_text("mine")
    refused = everloop(shop, "data", "get", "bilder@latest", "--to", "out")
    assert refused.code != 0
    assert "--force" in refused.err
    assert everloop(shop, "data", "get", "bilder@latest", "--to", "out", "--force").code == 0
    assert tree(shop / "out") == tree(shop / "bilder")
    (shop / "rows.csv").write_text("a,b\n1,2\n")
    kept = everloop(shop, "data", "add", "rows.csv", "--dataset", "raw", "--as-files", "--json").json
    assert kept["version"]["kind"] == "files"
    table = everloop(shop, "data", "add", "rows.csv", "--dataset", "raw", "--json").json
    assert table["version"]["kind"] == "table"
    wrong = everloop(shop, "data", "get", "raw@latest", "--path", "x")
    assert (wrong.code != 0, "is a table" in wrong.err) == (True, True)
