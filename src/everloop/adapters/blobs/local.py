"""Blobs in a local folder. A write is a temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from everloop.core.errors import NotFound, StorageDenied, StorageFull
from everloop.core.ids import token
from everloop.core.ports import Entry

from .names import DRAFT, checked, is_draft, unsealed

_OWN = re.compile(rf"\..+\.[0-9a-z]{{8}}{re.escape(DRAFT)}")


class LocalBlobs:
    """Blobs below ``root``; a key is a relative path with ``/``. ``sealed``: whoever asks has the keys of
    encrypted objects."""

    def __init__(self, root: Path, *, sealed: bool = False) -> None:
        self.root = root
        self._sealed = sealed

    def put(self, key: str, data: bytes) -> None:
        """Store ``data`` under ``key``, durably, whole or not at all. A key that is there stays as it is, and
        so does one that another process puts at the same time."""
        path = self._path(key)
        if not path.is_file():
            _make_way(path)
            write_atomically(path, data, new=True)
        else:
            _sync_folder(path.parent)  # whoever wrote it may not have come to that yet

    def get(self, key: str) -> bytes:
        with self._reading(key) as path:
            data = path.read_bytes()
        return data if self._sealed else unsealed(data, self.where(key))

    def replace(self, key: str, data: bytes) -> None:
        path = self._path(key)
        _make_way(path)
        write_atomically(path, data)

    def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read by position, not by mapping the file into memory: a file cut short meanwhile would end the
        process there."""
        with self._reading(key) as path, path.open("rb") as file:
            parts = []
            for start, length in spans:
                file.seek(start)
                parts.append(file.read(length))
            return parts

    def size(self, key: str) -> int | None:
        try:
            known = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return known.st_size if stat.S_ISREG(known.st_mode) else None

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        above = prefix.rpartition("/")[0]
        for path in self._files(self._path(above) if above else self.root):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not is_draft(path.name):
                with suppress(FileNotFoundError):
                    known = path.stat()
                    yield Entry(key, known.st_size, datetime.fromtimestamp(known.st_mtime, UTC))

    def remove(self, key: str) -> None:
        path = self._path(key)
        with _storage_errors(path):
            try:
                path.unlink()
            except (FileNotFoundError, IsADirectoryError):
                return
            _sync_folder(path.parent)

    def where(self, key: str) -> str:
        return str(self._path(key))

    def sweep_drafts(self, older_than: datetime) -> int:
        """Remove the drafts of writes that were killed, last touched before ``older_than``: a write that goes
        on has a younger one."""
        swept = 0
        for path in self._files(self.root):
            if is_draft(path.name):
                with suppress(FileNotFoundError), _storage_errors(path):
                    if path.stat().st_mtime < older_than.timestamp():
                        path.unlink()
                        swept += 1
        return swept

    def _files(self, folder: Path) -> Iterator[Path]:
        """All files below. A folder that cannot be read is an error: what is not listed looks unneeded."""
        for below, _, names in os.walk(folder, onerror=_unread):
            yield from (Path(below, name) for name in names)

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        try:
            yield self._path(key)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound(
                f"The stored object {self.where(key)} is missing.", remedy="Restore it from a backup."
            ) from error
        except PermissionError as error:
            raise StorageDenied(
                f"{self.where(key)} cannot be read: {error.strerror}.",
                remedy="Check its owner and permissions.",
            ) from error

    def _path(self, key: str) -> Path:
        return self.root / checked(key, str(self.root))


def _unread(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise StorageDenied(
            f"{error.filename} cannot be read: {error.strerror}.", remedy="Check its owner and permissions."
        ) from error


def _make_way(path: Path) -> None:
    """A folder that stands where an object belongs is none of ours: it is kept under another name."""
    if path.is_dir() and not path.is_symlink():
        with _storage_errors(path):
            path.rename(path.with_name(f"{path.name}.{token()}.aside"))


def write_atomically(
    path: Path, data: bytes | Iterable[bytes], *, new: bool = False, mode: int = 0o666
) -> None:
    """Replace ``path`` by ``data``: after a crash there is the old content or the new, never between.

    ``data`` may come in parts. With ``new`` a file that came there meanwhile stays. ``mode`` is less the
    process's mask.
    """
    with _storage_errors(path):
        _make_folders(path.parent)
        with _draft(path, mode) as (file, draft):
            for part in [data] if isinstance(data, bytes) else data:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            if not (new and _linked(draft, path)):
                draft.replace(path)
        _sync_folder(path.parent)


def write_file(path: Path, data: bytes | Iterable[bytes]) -> None:
    """As ``write_atomically``, in a folder that nobody sweeps: what killed writes have left there goes."""
    with suppress(OSError):  # no folder yet, or one that may only be written
        for left in [one for one in path.parent.iterdir() if _OWN.fullmatch(one.name)]:
            with suppress(OSError), left.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a write that goes on holds it
                left.unlink()
    write_atomically(path, data)


@contextmanager
def _draft(path: Path, mode: int) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside ``path``, locked until the end, so that ``write_file`` knows that it is written."""
    while True:
        draft = path.with_name(f".{path.name[:40]}.{token()}{DRAFT}")
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            with suppress(OSError):  # a file system without locks: there nothing is taken for left
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # taken for left before it was locked
            try:
                yield file, draft
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            return


def _linked(draft: Path, path: Path) -> bool:
    """Give the draft its name unless the name is taken. False where the file system knows no links: there
    the last of two equal contents wins."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    except OSError:
        return False
    draft.unlink()
    return True


def _make_folders(folder: Path) -> None:
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # what file systems without folders of ours say, such as /proc
        raise StorageDenied(
            f"{folder} cannot be written: no folder can be made there.", remedy="Name another place."
        ) from error
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders; its rename is durable by the journal
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"No space left to write {path}.",
                remedy="Free some space and run again: nothing was half-written.",
            ) from error
        if error.errno == errno.EISDIR:
            raise StorageDenied(
                f"{path} cannot be written: it is a folder.", remedy="Name a file in it."
            ) from error
        there = next(folder for folder in path.parents if _is_there(folder))
        if error.errno in (errno.ENOTDIR, errno.EEXIST) and not there.is_dir():
            raise StorageDenied(
                f"{path} cannot be written: {there} is no folder.",
                remedy="Move it away, or name another folder.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageDenied(
                f"{there} cannot be written: {error.strerror}.",
                remedy="Check its owner and permissions.",
            ) from error
        raise


def _is_there(folder: Path) -> bool:
    try:
        folder.stat()
    except OSError:
        return False
    return True
