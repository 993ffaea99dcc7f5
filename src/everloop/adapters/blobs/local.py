"""Blobs in a local folder. A write is a temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from everloop.core.errors import NotFound, StorageDenied, StorageFull
from everloop.core.ids import token
from everloop.core.ports import Entry


class LocalBlobs:
    """Blobs below ``root``; a key is a relative path with ``/``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: bytes) -> None:
        """Store ``data`` under ``key``, durably, whole or not at all. A key that is there stays as it is."""
        path = self._path(key)
        if not path.exists():
            write_atomically(path, data)

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise self._missing(key) from error

    def replace(self, key: str, data: bytes) -> None:
        write_atomically(self._path(key), data)

    def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read by position, not by mapping the file into memory: a file cut short meanwhile would end the
        process there."""
        try:
            with self._path(key).open("rb", buffering=0) as file:
                parts = []
                for start, length in spans:
                    file.seek(start)
                    parts.append(file.read(length))
                return parts
        except FileNotFoundError as error:
            raise self._missing(key) from error

    def size(self, key: str) -> int | None:
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        base = self._path(prefix) if prefix.endswith("/") or not prefix else self._path(prefix).parent
        for folder, _, names in os.walk(base):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not (name.startswith(".") and name.endswith(".tmp")):
                    with suppress(FileNotFoundError):
                        known = path.stat()
                        yield Entry(key, known.st_size, datetime.fromtimestamp(known.st_mtime, UTC))

    def remove(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        _sync_folder(path.parent)

    def where(self, key: str) -> str:
        return str(self._path(key))

    def _missing(self, key: str) -> NotFound:
        return NotFound(
            f"The stored object {self.where(key)} is missing.", remedy="Restore it from a backup."
        )

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise NotFound(f"'{key}' is no object of {self.root}.")
        return path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: after a crash there is the old content or the new, never between."""
    with _storage_errors(path):
        _make_folders(path.parent)
        draft = path.with_name(f".{path.name[:40]}.{token()}.tmp")
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _make_folders(folder: Path) -> None:
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
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
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise StorageDenied(
                f"{path.parent} cannot be written: {error.strerror}.",
                remedy="Check the folder's owner and permissions, or set another in 'paths'.",
            ) from error
        raise
