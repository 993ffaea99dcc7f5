"""Files on their way into the store: read once, hashed, cut into chunks; new chunks are kept in packs.

Memory stays bounded however large a file is: a block is read at a time, and a full pack is written at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from blake3 import blake3

from everloop.core.errors import Conflict, StorageDenied
from everloop.data import chunks, folders, identity, parts
from everloop.data.folders import Found
from everloop.data.listing import CHUNK, FOLDER, LINK, Listed
from everloop.data.marks import Marks, marks_of
from everloop.data.packs import Builder, Pack, Ref
from everloop.data.workers import workers
from everloop.flows.project import Project

from .leases import Lease
from .objects import Objects

Tell = Callable[[int, int, str], None]
"""Told how many bytes were looked at, of how many, and which file is next."""
_TRIES = 3
_RENEWAL = 300.0  # seconds
_SMALL_PACK, _MOST_SMALL_PACKS = 8 << 20, 32


class Intake:
    """Takes in the files of one version. ``packs`` are the stored ones in which chunks may be found."""

    def __init__(
        self, project: Project, there: Objects, lease: Lease, packs: Sequence[Pack], algorithm: str
    ) -> None:
        self._there, self._lease, self._clock = there, lease, project.clock
        self._packs = list(packs)
        self._algorithm = algorithm
        self._builder = Builder()
        self._threads = workers()
        self._writing: Future[None] | None = None
        self._renewed = project.clock.monotonic()
        self.written: list[Pack] = []
        with ThreadPoolExecutor(8) as pool:
            self._marks = Marks(list(pool.map(there.index, self._packs)))

    def read(self, file: Found, tell: Callable[[int], None]) -> Listed:
        """Take a file in. Raises Conflict when it is changed while it is read, StorageDenied."""
        self._stay_alive()
        if file.kind == FOLDER:
            return Listed(file.path, FOLDER, 0, self._digest(b""), b"")
        if file.kind == LINK:
            target = str(Path(file.place).readlink()).encode()
            return Listed(file.path, LINK, len(target), self._digest(target), self._take([target]))
        for _ in range(_TRIES):
            with _opened(file) as stream:
                before = os.fstat(stream.fileno())
                digest, size, named = self._content(stream, before.st_size, tell)
                after = os.fstat(stream.fileno())
            if size == before.st_size and _state(before) == _state(after):
                return Listed(file.path, folders.kind_of(after.st_mode), size, digest, named)
        raise Conflict(
            f"'{file.place}' is changed while it is read.", remedy="Register it when nobody writes to it."
        )

    def knows(self, named: Sequence[bytes]) -> list[bool]:
        """Whether all chunks that each of some files names are stored."""
        counts = [len(each) // CHUNK.itemsize for each in named]
        wanted = np.frombuffer(b"".join(named), CHUNK)["mark"]
        missing = np.r_[0, np.cumsum(self._marks.find(wanted)[0] < 0)]
        ends = np.cumsum([0, *counts])
        return [bool(each) for each in missing[ends[1:]] == missing[ends[:-1]]]

    def finish(self, listed: Iterable[Listed]) -> tuple[Pack, ...]:
        """Write what is not written yet; the packs that hold the chunks of these files."""
        marks = np.frombuffer(b"".join(row.chunks for row in listed), CHUNK)["mark"]
        numbers, entries = self._marks.find(marks)
        needed = np.unique(numbers[numbers >= 0]).tolist()
        small = [n for n in needed if self._packs[n].size < _SMALL_PACK]
        if len(small) > _MOST_SMALL_PACKS:
            for number in small:
                self._gather(self._packs[number], np.unique(entries[numbers == number]).tolist())
            needed = [n for n in needed if n not in set(small)]
        self._builder.seal()
        self._write_sealed()
        self._wait()
        return (*(self._packs[number] for number in needed), *self.written)

    def close(self) -> None:
        self._threads.shutdown()

    def _content(self, stream: BinaryIO, size: int, tell: Callable[[int], None]) -> tuple[bytes, int, bytes]:
        """Digest, size and chunks of what a file holds."""
        if size <= chunks.LEAST:
            data = stream.read(chunks.LEAST + 1)
            tell(len(data))
            return self._digest(data), len(data), self._take([data] if data else [])
        hasher = identity.new_hasher(self._algorithm)
        read, named = 0, []
        for pieces in chunks.chunks(stream):
            hashing = self._threads.submit(_update, hasher, pieces)
            named.append(self._take(pieces))
            hashing.result()
            count = sum(map(len, pieces))
            read += count
            tell(count)
            self._stay_alive()
        return bytes.fromhex(hasher.hexdigest()), read, b"".join(named)

    def _take(self, pieces: Sequence[bytes]) -> bytes:
        """Keep the chunks that are new; how a listing names them."""
        several = len(pieces) > 1
        each = self._threads.map if several else map
        names = [bytes(mark) for mark in each(_mark, pieces)]
        new = {name: piece for name, piece in zip(names, pieces, strict=True) if name not in self._builder}
        if new and len(self._marks):
            missing = self._marks.find(marks_of(list(new)))[0] < 0
            new = {name: piece for (name, piece), lacks in zip(new.items(), missing, strict=True) if lacks}
        for name, segment in zip(new, each(_encode, new.values()), strict=True):
            self._builder.add(segment, name)
        self._write_sealed()
        return b"".join(
            name + len(piece).to_bytes(4, "little") for name, piece in zip(names, pieces, strict=True)
        )

    def _gather(self, pack: Pack, entries: list[int]) -> None:
        """Keep chunks out of a small pack together with others, lest a version needs ever more packs."""
        index = self._there.index(pack)
        found = self._there.fetcher([pack])([Ref(pack.id, entry) for entry in entries])
        for entry, segment in zip(entries, found, strict=True):
            self._builder.add(bytes(segment), index.mark(entry))
        self._write_sealed()

    def _write_sealed(self) -> None:
        """Write full packs, one at a time, while reading goes on."""
        for pack, content in self._builder.sealed:
            self._wait()
            self._writing = self._threads.submit(
                self._there.blobs.replace, self._there.pack_key(pack.id), content
            )
            self.written.append(pack)
        self._builder.sealed.clear()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _digest(self, data: bytes) -> bytes:
        hasher = identity.new_hasher(self._algorithm)
        hasher.update(data)
        return bytes.fromhex(hasher.hexdigest())

    def _stay_alive(self) -> None:
        now = self._clock.monotonic()
        if now - self._renewed > _RENEWAL:
            self._lease.renew()
            self._renewed = now


@contextmanager
def _opened(file: Found) -> Iterator[BinaryIO]:
    """Unbuffered. What became a link since it was found is not followed."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(file.place, flags)
    except PermissionError as error:
        raise StorageDenied(
            f"'{file.place}' cannot be read: {error.strerror}.", remedy="Check its owner and permissions."
        ) from error
    except OSError as error:
        raise Conflict(
            f"'{file.place}' was there a moment ago, and cannot be opened now: {error.strerror}.",
            remedy="Register the folder when nobody writes to it.",
        ) from error
    with os.fdopen(handle, "rb", buffering=0) as stream:
        yield stream


def _state(known: os.stat_result) -> tuple[int, int, int]:
    return known.st_size, known.st_mtime_ns, known.st_ino


def _update(hasher: identity.Hasher, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        hasher.update(piece)


def _mark(piece: bytes) -> bytes:
    return bytes(blake3(piece).digest())


def _encode(piece: bytes) -> bytes:
    return parts.join([piece])
