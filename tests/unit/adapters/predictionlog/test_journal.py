"""Whole lines only, whatever the disk says."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from everloop.adapters.predictionlog.journal import Journal
from everloop.core.errors import StorageDenied, StorageFull, Unavailable

LINE = b'{"prediction_id":"pred_1"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_lines_go_to_numbered_files(folder: Path) -> None:
    journal = Journal(folder, "w1", len(LINE) * 2)
    for _ in range(5):
        journal.write(LINE)
    journal.close()
    assert files(folder) == {
        "w1-000001.jsonl": LINE * 2,
        "w1-000002.jsonl": LINE * 2,
        "w1-000003.jsonl": LINE,
    }
    assert journal.written == 5 * len(LINE)


def test_the_file_that_is_written_is_locked(folder: Path) -> None:
    journal = Journal(folder, "w1", 1_000)
    with (folder / "w1-000001.jsonl").open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        journal.close()
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


class Disk:
    """A disk with so many bytes left; ``truncate`` may fail as well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int, why: int = errno.ENOSPC) -> None:
        self.left = left
        self.why = why
        self.truncates = True
        write, truncate = os.write, os.ftruncate

        def limited(file: int, data: bytes) -> int:
            some = data[: self.left]
            if not some:
                raise OSError(self.why, os.strerror(self.why))
            self.left -= len(some)
            return write(file, some)

        def cut(file: int, size: int) -> None:
            if not self.truncates:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            truncate(file, size)

        monkeypatch.setattr(os, "write", limited)
        monkeypatch.setattr(os, "ftruncate", cut)


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_nothing_stays_of_what_did_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch, why: int) -> None:
    journal = Journal(folder, "w1", 1_000)
    journal.write(LINE)
    disk = Disk(monkeypatch, len(LINE) + 5, why)
    with pytest.raises(StorageFull):
        journal.write(LINE * 3)
    assert files(folder) == {"w1-000001.jsonl": LINE}
    assert journal.written == len(LINE)
    disk.left = 1_000
    journal.write(LINE)
    assert files(folder) == {"w1-000001.jsonl": LINE * 2}


def test_a_probe_finds_a_full_disk_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder, "w1", 1_000_000)
    journal.write(LINE)
    disk = Disk(monkeypatch, 10)
    with pytest.raises(StorageFull):
        journal.probe()
    assert files(folder) == {"w1-000001.jsonl": LINE}
    disk.left = 1_000_000
    journal.probe()
    assert files(folder) == {"w1-000001.jsonl": LINE}
    assert journal.written == len(LINE)
    journal.write(LINE)
    assert files(folder) == {"w1-000001.jsonl": LINE * 2}


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_file_that_somebody_deletes_is_told_and_the_next_begun(folder: Path, whole_folder: bool) -> None:
    journal = Journal(folder, "w1", 1_000)
    journal.write(LINE)
    (folder / "w1-000001.jsonl").unlink()
    if whole_folder:
        folder.rmdir()
    with pytest.raises(StorageDenied, match="was deleted while it was written"):
        journal.sync()
    journal.write(LINE * 2)
    journal.sync()
    assert files(folder) == {"w1-000002.jsonl": LINE * 2}


def test_no_line_is_written_behind_a_torn_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder, "w1", 1_000)
    disk = Disk(monkeypatch, 5)
    disk.truncates = False
    with pytest.raises(StorageFull):
        journal.write(LINE)
    disk.left = 1_000
    with pytest.raises(Unavailable):
        journal.write(LINE)
    assert files(folder) == {"w1-000001.jsonl": LINE[:5]}
    disk.truncates = True
    journal.write(LINE)
    assert files(folder) == {"w1-000001.jsonl": LINE}


def test_a_file_grows_on_where_the_next_cannot_be_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder, "w1", len(LINE))
    journal.write(LINE)
    opening = os.open

    def refused(path: Any, flags: int, mode: int = 0o777) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", refused)
    journal.write(LINE)
    monkeypatch.setattr(os, "open", opening)
    journal.write(LINE)
    assert files(folder) == {"w1-000001.jsonl": LINE * 2, "w1-000002.jsonl": LINE}


def test_sync_covers_full_files_and_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder, "w1", len(LINE))
    synced: list[str] = []
    sync = os.fsync

    def seen(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
        sync(file)

    monkeypatch.setattr(os, "fsync", seen)
    for _ in range(3):
        journal.write(LINE)
    journal.sync()
    assert synced == ["w1-000001.jsonl", "w1-000002.jsonl", "w1-000003.jsonl", "log"]
    journal.sync()
    assert len(synced) == 4
    journal.write(LINE)
    journal.close()
    assert synced[4:] == ["w1-000003.jsonl", "w1-000004.jsonl", "log"]


def test_a_sync_that_failed_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder, "w1", 1_000)
    journal.write(LINE)
    sync, fails = os.fsync, [errno.EIO]

    def failing(file: int) -> None:
        if fails:
            raise OSError(fails.pop(), "no")
        sync(file)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Unavailable):
        journal.sync()
    journal.sync()
    journal.close()


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(Unavailable, match="log"):
        Journal(tmp_path / "log", "w1", 1_000)


def test_a_folder_that_may_not_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Any, flags: int, mode: int = 0o777) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(StorageDenied):
        Journal(folder, "w1", 1_000)
