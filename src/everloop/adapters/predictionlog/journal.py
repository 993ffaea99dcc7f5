"""The prediction log of one worker: whole lines only, in numbered files.

What ``write`` has returned from survives the death of the process; what ``sync`` has returned from survives
the death of the machine. The file being written is locked (``flock``), so a reader can tell a line that is
being written from one that a killed worker left torn.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from pathlib import Path

from everloop.core.errors import StorageDenied, StorageFull, Unavailable

PROBE = 4_096  # bytes


class Journal:
    """``folder/token-000001.jsonl`` and so on; a new file begins when one has ``rotate`` bytes."""

    def __init__(self, folder: Path, token: str, rotate: int) -> None:
        self._folder = folder
        self._token = token
        self._rotate = rotate
        self._number = 0
        self._size = 0
        self._file = -1
        self._synced = True
        self._fresh = True
        self._torn = False  # the last line of the file is not whole
        self._syncing = threading.Lock()
        self._left: list[int] = []  # full files, not yet durable
        self._gone = False  # somebody deleted the file
        self.written = 0
        self._open_next()

    def write(self, lines: bytes) -> None:
        """Append whole lines. Raises StorageFull, StorageDenied or Unavailable, and then nothing of them
        stays."""
        if self._gone:
            self._open_next()
        if self._torn:
            self._mend()
        if self._size >= self._rotate:
            with contextlib.suppress(StorageFull, StorageDenied, Unavailable):
                self._open_next()  # where that fails, this file grows on
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._file, lines[done:] if done else lines)
        except OSError as error:
            if done:
                self._torn = True
                with contextlib.suppress(StorageFull, StorageDenied, Unavailable):
                    self._mend()
            raise _told(error, self._folder) from error
        self._size += len(lines)
        self.written += len(lines)
        self._synced = False

    def probe(self) -> None:
        """See whether lines could be written: bytes are, and are taken back. Raises as ``write`` does."""
        size, written = self._size, self.written
        self.write(b" " * PROBE)
        self._size, self.written, self._torn = size, written, True
        self._mend()

    def sync(self) -> None:
        """Make all that was written before the call durable; may be called from other threads than ``write``,
        also from several at once."""
        with self._syncing:
            self._sync()

    def _sync(self) -> None:
        if self._synced or self._file < 0:
            return
        self._synced = True
        try:
            while self._left:
                os.fsync(self._left[0])
                os.close(self._left.pop(0))
            os.fsync(self._file)
            self._gone = os.fstat(self._file).st_nlink == 0
            if self._fresh and not self._gone:
                self._fresh = False
                folder = os.open(self._folder, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        except OSError as error:
            self._synced = False
            raise _told(error, self._folder) from error
        if self._gone:
            raise StorageDenied(
                f"A file of the prediction log in {self._folder} was deleted while it was written. What it "
                "held and was not in the database yet is lost; the next predictions go to a new one.",
                remedy="Keep what cleans up away from there: serving.log.keep_days does it.",
            )

    def close(self) -> None:
        if self._file >= 0:
            try:
                self.sync()
            finally:
                os.close(self._file)
                self._file = -1

    def _mend(self) -> None:
        """Take back what was written of lines that were refused."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            raise _told(error, self._folder) from error
        self._torn = False

    def _open_next(self) -> None:
        number = self._number + 1
        path = self._folder / f"{self._token}-{number:06}.jsonl"
        file = -1
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if file >= 0:
                os.close(file)
            raise _told(error, self._folder) from error
        before, self._file = self._file, file
        self._number, self._size = number, 0
        self._gone = self._torn = False
        if before >= 0:
            self._left.append(before)
        self._fresh = True


def _told(error: OSError, folder: Path) -> StorageFull | StorageDenied | Unavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull(f"No space left for the prediction log in {folder}.", remedy="Free some space.")
    if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        return StorageDenied(
            f"The prediction log in {folder} cannot be written: {error.strerror}.",
            remedy="Check the folder's owner and permissions.",
        )
    return Unavailable(
        f"The prediction log in {folder} cannot be written: {error.strerror}.", remedy="Check the disk."
    )
