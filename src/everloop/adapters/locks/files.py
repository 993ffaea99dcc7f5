"""Locks by file, for projects on one machine: the kernel frees them when the process ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from everloop.core.errors import Busy, StorageDenied


class FileLocks:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def hold(self, name: str, *, wait: float = 0.0) -> Iterator[None]:
        """Hold ``name``, or raise Busy when somebody else still does after ``wait`` seconds."""
        path = self.folder / f"{sha256(name.encode()).hexdigest()[:24]}.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path, timeout=wait)
            lock.acquire()
        except Timeout as error:
            raise Busy(name) from error
        except OSError as error:
            raise StorageDenied(
                f"The lock {path} cannot be made: {error.strerror}.", remedy="Check the folder's permissions."
            ) from error
        try:
            yield
        finally:
            lock.release()
