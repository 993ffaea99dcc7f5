"""The content of files out of a store: in bounded pieces, each checked, and each file against its hash."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from everloop.core.errors import Corrupt
from everloop.data import identity, listing, parts
from everloop.data.listing import CHUNK, Listed, chunks_of
from everloop.data.manifest import Manifest
from everloop.data.marks import Marks
from everloop.data.packs import Ref
from everloop.data.stored import Stored

from .objects import Objects, damaged

Named = npt.NDArray[np.void]
_AT_ONCE = 16 << 20  # bytes of content in memory
_MOST_FILES = 4_096


class Reader:
    """Reads files of one version."""

    def __init__(self, there: Objects, manifest: Manifest) -> None:
        self._there, self._manifest = there, manifest
        self._fetch = there.fetcher(manifest.chunks)

    def contents(self, rows: Iterable[Listed]) -> Iterator[tuple[Listed, Iterator[pa.Buffer]]]:
        """Each file with its bytes, in pieces. After the last piece the file's hash is compared: Corrupt is
        raised if it is another one."""
        for batch in _batches(rows):
            if len(batch) == 1:
                named = chunks_of(batch[0].chunks)
                yield batch[0], self._checked(batch[0], self.pieces(named))
                continue
            named = chunks_of(b"".join(row.chunks for row in batch))
            loaded = self.read(named)
            begin = 0
            for row in batch:
                end = begin + len(row.chunks) // CHUNK.itemsize
                yield row, self._checked(row, iter(loaded[begin:end]))
                begin = end

    def pieces(self, named: Named) -> Iterator[pa.Buffer]:
        """Chunks one after the other, some megabytes of them in memory."""
        ends = np.cumsum(named["size"], dtype=np.int64)
        begin = 0
        while begin < len(named):
            done = int(ends[begin - 1]) if begin else 0
            stop = max(int(np.searchsorted(ends, done + _AT_ONCE, "right")), begin + 1)
            yield from self.read(named[begin:stop])
            begin = stop

    def read(self, named: Named) -> list[pa.Buffer]:
        """Chunks, all at once. Raises Corrupt, naming the object."""
        numbers, entries = self._marks.find(named["mark"])
        if (numbers < 0).any():
            lost = bytes(named["mark"][int(np.argmax(numbers < 0))]).hex()
            raise self._corrupt(f"It names the chunk {lost[:12]}, which is in none of its packs.")
        packs = self._manifest.chunks
        refs = [Ref(packs[n].id, e) for n, e in zip(numbers.tolist(), entries.tolist(), strict=True)]
        found = [parts.split(segment)[0] for segment in self._fetch(refs)]
        if [len(piece) for piece in found] != named["size"].tolist():
            raise self._corrupt("It names chunks by other lengths than they have.")
        return found

    @cached_property
    def _marks(self) -> Marks:
        with ThreadPoolExecutor(8) as pool:
            return Marks(list(pool.map(self._there.index, self._manifest.chunks)))

    def _checked(self, row: Listed, pieces: Iterator[pa.Buffer]) -> Iterator[pa.Buffer]:
        hasher = identity.new_hasher(self._manifest.algorithm)
        for piece in pieces:
            hasher.update(piece)
            yield piece
        if bytes.fromhex(hasher.hexdigest()) != row.digest:
            raise self._corrupt(f"The content that it names for '{row.path}' is another one.")

    def _corrupt(self, what: str) -> Corrupt:
        key = self._there.manifest_key(self._manifest.version_id)
        return damaged(self._there.blobs.where(key), what)


def listing_of(there: Objects, manifest: Manifest) -> pa.Table:
    """The listing of a version of files. Raises Corrupt where it is not what the version's id says."""
    found = Stored(manifest, there.fetcher(manifest.packs)).table()
    try:
        listing.check(found)
        if listing.version_id(found, manifest.algorithm) != manifest.version_id:
            raise Corrupt("The listing that it names is another one.")
    except Corrupt as error:
        raise damaged(there.blobs.where(there.manifest_key(manifest.version_id)), error.message) from error
    return found


def prove(there: Objects, manifest: Manifest) -> None:
    """Read all files of a version. Raises Corrupt where one is not what was registered."""
    rows = [row for row in listing.rows(listing_of(there, manifest)) if row.kind != listing.FOLDER]
    for _, pieces in Reader(there, manifest).contents(rows):
        for _ in pieces:
            pass


class FileStream(io.RawIOBase):
    """A stored file, to be read from any place; only the chunks that are asked for are fetched."""

    def __init__(self, row: Listed, read: Callable[[Named], list[pa.Buffer]]) -> None:
        super().__init__()
        self.name = row.path
        self._named = chunks_of(row.chunks)
        self._ends = np.cumsum(self._named["size"], dtype=np.int64)
        self._size = row.size
        self._read = read
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise ValueError(f"a file has no place {begin + offset}")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill as much as one fetch of a few megabytes gives."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # a writable buffer, as of any RawIOBase
        stop = min(self._at + min(len(view), _AT_ONCE), self._size)
        if stop <= self._at:
            return 0
        first = int(np.searchsorted(self._ends, self._at, "right"))
        last = int(np.searchsorted(self._ends, stop, "left")) + 1
        place = int(self._ends[first] - self._named["size"][first])
        written = 0
        for piece in self._read(self._named[first:last]):
            some = memoryview(piece).cast("B")[max(self._at - place, 0) : stop - place]
            view[written : written + len(some)] = some
            written += len(some)
            place += len(piece)
        self._at += written
        return written

    def readall(self) -> bytes:
        """What is left."""
        found = bytearray(max(self._size - self._at, 0))
        view = memoryview(found)
        at = 0
        while count := self.readinto(view[at:]):
            at += count
        return bytes(found)


def _batches(rows: Iterable[Listed]) -> Iterator[list[Listed]]:
    """Files that are fetched together: a large one alone, small ones that follow one another in groups."""
    batch: list[Listed] = []
    size = 0
    for row in rows:
        if batch and (size + row.size > _AT_ONCE or len(batch) == _MOST_FILES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row.size
    if batch:
        yield batch
