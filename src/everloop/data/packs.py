"""Packs: many encoded segments in one immutable object, named by the hash of its bytes.

A pack is a magic word, the segments one after the other, and an index with one record each: where it is, the
hash of its bytes (checked on every reading) and the fingerprint of the values it holds (by which a later
version finds out that it need not store them again). A manifest names packs with the place and hash of their
index, so that a part of a pack can be read and checked without the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import blake3
import numpy as np
import numpy.typing as npt

from everloop.core.errors import Corrupt

MAGIC = b"everloop.pack/1\n"
CHECK = 16  # bytes of a segment's or index's hash
_RECORD = np.dtype([("start", "<u8"), ("length", "<u8"), ("check", "V16"), ("mark", "V32")])
FULL = 64 << 20  # bytes after which a pack ends


@dataclass(frozen=True)
class Ref:
    """A segment: the pack's id and its number there."""

    pack: str
    entry: int


@dataclass(frozen=True)
class Pack:
    """Where a pack's index is, and its hash. ``size`` is of the whole object in bytes."""

    id: str
    size: int
    index: tuple[int, int]
    check: str


@dataclass(frozen=True)
class Index:
    """The records of a pack, by number."""

    starts: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.uint64]
    checks: npt.NDArray[np.void]
    marks: npt.NDArray[np.void]

    def __len__(self) -> int:
        return len(self.starts)

    def span(self, entry: int) -> tuple[int, int]:
        return int(self.starts[entry]), int(self.lengths[entry])

    def check(self, entry: int) -> bytes:
        return bytes(self.checks[entry])

    def mark(self, entry: int) -> bytes:
        return bytes(self.marks[entry])


class Builder:
    """Collects segments into packs, ended after ``full`` bytes; equal fingerprints are stored once."""

    def __init__(self, full: int = FULL) -> None:
        self._full = full
        self._parts: list[bytes] = [MAGIC]
        self._records: list[tuple[int, int, bytes, bytes]] = []
        self._at = len(MAGIC)
        self._number = 0
        self._places: dict[bytes, tuple[int, int]] = {}
        self.sealed: list[tuple[Pack, bytes]] = []

    def add(self, segment: bytes, mark: bytes) -> tuple[int, int]:
        """Which pack of this builder a segment is in, and its number there."""
        known = self._places.get(mark)
        if known is not None:
            return known
        place = (self._number, len(self._records))
        self._records.append((self._at, len(segment), digest(segment), mark))
        self._parts.append(segment)
        self._at += len(segment)
        self._places[mark] = place
        if self._at >= self._full:
            self.seal()
        return place

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._places

    def seal(self) -> None:
        """End the pack at hand, if anything is in it."""
        if not self._records:
            return
        index = np.array(self._records, _RECORD).tobytes()
        content = b"".join([*self._parts, index])
        name = blake3.blake3(content).hexdigest()
        pack = Pack(name, len(content), (self._at, len(index)), digest(index).hex())
        self.sealed.append((pack, content))
        self._parts, self._records, self._at = [MAGIC], [], len(MAGIC)
        self._number += 1

    def unwritten(self) -> Iterator[tuple[Pack, bytes]]:
        """Sealed packs with their bytes, each once: the builder then keeps their names only."""
        for number, (pack, content) in enumerate(self.sealed):
            if content:
                self.sealed[number] = (pack, b"")
                yield pack, content

    def ref(self, place: tuple[int, int]) -> Ref:
        """The name of a place, once its pack is sealed."""
        return Ref(self.sealed[place[0]][0].id, place[1])


def read_index(pack: Pack, data: bytes) -> Index:
    """Raises Corrupt if the bytes are not the index of the pack."""
    if digest(data).hex() != pack.check or len(data) % _RECORD.itemsize:
        raise Corrupt(f"The index of pack {pack.id[:12]} is damaged.")
    records = np.frombuffer(data, _RECORD)
    return Index(records["start"], records["length"], records["check"], records["mark"])


def digest(data: bytes | memoryview) -> bytes:
    """The hash by which stored bytes are checked: the first 16 bytes of their BLAKE3."""
    return bytes(blake3.blake3(data).digest(CHECK))


def spans(index: Index, entries: list[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Entries that lie side by side, in order, as one span to read: (start, length, entries)."""
    start = stop = -1
    group: list[int] = []
    for entry in entries:
        at, length = index.span(entry)
        if group and at == stop:
            group.append(entry)
            stop += length
            continue
        if group:
            yield start, stop - start, group
        start, stop, group = at, at + length, [entry]
    if group:
        yield start, stop - start, group
