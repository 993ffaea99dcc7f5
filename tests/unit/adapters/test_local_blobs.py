"""Blobs in a folder: whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.adapters.blobs.local import LocalBlobs, write_atomically, write_file
from everloop.core.errors import NotFound, StorageDenied, StorageFull


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def test_what_is_put_is_there_and_stays(blobs: LocalBlobs) -> None:
    blobs.put("a/b.bin", b"first")
    blobs.put("a/b.bin", b"second")
    assert blobs.get("a/b.bin") == b"first"
    assert blobs.exists("a/b.bin")
    assert not blobs.exists("a/c.bin")
    assert [p.name for p in (blobs.root / "a").iterdir()] == ["b.bin"]


def test_of_two_that_put_a_key_at_once_the_first_stays(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def meanwhile(handle: int) -> None:
        monkeypatch.undo()
        blobs.put("a/b.bin", b"the other's")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    blobs.put("a/b.bin", b"ours")
    assert blobs.get("a/b.bin") == b"the other's"
    assert [p.name for p in (blobs.root / "a").iterdir()] == ["b.bin"]


def test_a_file_system_without_links_keeps_objects_too(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    blobs.put("a/b.bin", b"ours")
    assert blobs.get("a/b.bin") == b"ours"
    assert [p.name for p in (blobs.root / "a").iterdir()] == ["b.bin"]


def test_drafts_are_not_listed_and_only_old_ones_are_swept(blobs: LocalBlobs) -> None:
    blobs.put("a/b.bin", b"1")
    old, young = (blobs.root / "a" / f".b.bin.{name}.tmp" for name in ("old", "young"))
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    now = datetime.now(UTC)
    os.utime(old, (now.timestamp() - 100, now.timestamp() - 100))
    assert [entry.key for entry in blobs.entries()] == ["a/b.bin"]
    assert blobs.sweep_drafts(now - timedelta(seconds=50)) == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert blobs.get("a/b.bin") == b"1"


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put("a/b.bin", b"1")
    scandir = os.scandir

    def denied(path: Path) -> Any:
        if str(path).endswith("a"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(StorageDenied, match="a cannot be read"):
        list(blobs.entries())


def test_a_missing_object_and_a_key_outside_are_refused(blobs: LocalBlobs) -> None:
    with pytest.raises(NotFound, match="is missing"):
        blobs.get("nothing")
    with pytest.raises(NotFound, match="no object"):
        blobs.put("../outside", b"")


DIES = """
import os, signal, sys
from pathlib import Path
from everloop.adapters.blobs.local import write_file

def parts():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)

write_file(Path(sys.argv[1]), parts())
"""


def test_what_a_killed_write_has_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    (tmp_path / ".x.tmp").write_bytes(b"not ours")
    died = subprocess.run([sys.executable, "-c", DIES, tmp_path / "x.csv"])
    assert died.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".x.csv.*"))) == 1
    seen: list[str] = []

    def parts() -> Iterator[bytes]:
        yield b"first "
        seen.extend(path.name for path in tmp_path.iterdir())
        write_file(tmp_path / "y.csv", b"beside")
        yield b"second"

    write_file(tmp_path / "z.csv", parts())
    assert [name[:7] for name in sorted(seen)] == [".x.tmp", ".z.csv."]
    assert (tmp_path / "z.csv").read_bytes() == b"first second"
    assert {path.name for path in tmp_path.iterdir()} == {".x.tmp", "y.csv", "z.csv"}


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, StorageFull), (errno.EROFS, StorageDenied), (errno.EACCES, StorageDenied)],
)
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")

    def failing(handle: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(error):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_file_has_the_permissions_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")]
    assert modes[0] == modes[1]


def test_bytes_are_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def renamed(self: Path, target: Any) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "x", b"1")
    assert order == ["file", "rename", "folder"]
