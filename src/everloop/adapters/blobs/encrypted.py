"""Blobs encrypted at rest. Names, and so what is deduplicated, stay those of the plain bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from everloop.core.errors import Corrupt, InvalidSettings, NotFound
from everloop.core.ports import Blobs, Entry

from .keys import PLAIN, Key, Keyring
from .keys import ring_of as ring_of
from .sealing import (
    FRAME,
    HEADER,
    SEALED,
    Broken,
    Header,
    Opener,
    plain_size,
    read_header,
    seal,
)

Span = tuple[int, int]


class EncryptedBlobs:
    """What ``inner`` keeps is sealed with the newest key of the ring and opened with any of them.

    An object that is not encrypted is refused, except while ``plain`` is in the ring. Sizes are those of the
    plain bytes; while ``plain`` is in the ring that takes a look into each object.
    """

    def __init__(self, inner: Blobs, ring: Keyring) -> None:
        self.inner = inner
        self.ring = ring

    def put(self, key: str, data: bytes) -> None:
        self.inner.put(key, seal(self.ring.newest, key, data))

    def replace(self, key: str, data: bytes) -> None:
        self.inner.replace(key, seal(self.ring.newest, key, data))

    def get(self, key: str) -> bytes:
        stored = self.inner.get(key)
        try:
            header = self._header(key, stored[:HEADER])
            return stored if header is None else self._whole(key, header, stored)
        except Broken as broken:
            self._corrupt(key, broken)

    def ranges(self, key: str, spans: Sequence[Span]) -> list[bytes]:
        """Reads and opens the frames that hold the parts, and no others."""
        try:
            return self._ranges(key, spans)
        except Broken:
            pass
        try:
            return self._ranges(key, spans)  # encrypted anew between two requests, perhaps
        except Broken as broken:
            self._corrupt(key, broken)

    def size(self, key: str) -> int | None:
        stored = self.inner.size(key)
        try:
            return None if stored is None else self._plain_size(key, stored)
        except NotFound:
            return None
        except Broken as broken:
            self._corrupt(key, broken)

    def exists(self, key: str) -> bool:
        return self.inner.exists(key)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """An object that cannot be a sealed one is listed with its size as it is: reading it tells more."""
        for entry in self.inner.entries(prefix):
            try:
                yield replace(entry, size=self._plain_size(entry.key, entry.size))
            except NotFound:
                continue
            except Broken:
                yield entry

    def remove(self, key: str) -> None:
        self.inner.remove(key)

    def where(self, key: str) -> str:
        return self.inner.where(key)

    def sweep_drafts(self, older_than: datetime) -> int:
        return self.inner.sweep_drafts(older_than)

    def key_of(self, key: str) -> str:
        """The id of the key that an object needs, also of one that is not in the ring; ``plain`` for none."""
        try:
            header = read_header(self.inner.ranges(key, [(0, HEADER)])[0])
        except Broken as broken:
            self._corrupt(key, broken)
        return header.key_id if header else PLAIN

    def reseal(self, key: str) -> None:
        """Encrypt an object with the newest key. What was sealed is opened before it takes the place of the
        old object, which cannot be had back."""
        data = self.get(key)
        sealed = seal(self.ring.newest, key, data)
        header = read_header(sealed[:HEADER])
        if header is None or self._whole(key, header, sealed) != data:
            raise Corrupt(f"Sealing {self.where(key)} has gone wrong.", remedy="Check this machine's memory.")
        self.inner.replace(key, sealed)

    def _ranges(self, key: str, spans: Sequence[Span]) -> list[bytes]:
        runs = _runs(spans)
        places = [(HEADER + first * SEALED, (last - first + 1) * SEALED) for first, last in runs]
        raw, *sealed = self.inner.ranges(key, [(0, HEADER), *places])
        header = self._header(key, raw)
        if header is None:
            return self.inner.ranges(key, spans)
        opener = Opener(header, self._key(key, header), key)
        frames: dict[int, bytes] = {}
        for (first, last), part in zip(runs, sealed, strict=True):
            frames.update(enumerate(opener.open(first, part), first))
            if any(index not in frames for index in range(first, min(last + 1, header.frames))):
                raise Broken("it is cut short")
        if not frames:  # all lies beyond the end, says a header that no frame has vouched for
            opener.open(0, self.inner.ranges(key, [(HEADER, SEALED)])[0] or b"\0")
        return [_cut(frames, start, min(start + length, header.size)) for start, length in spans]

    def _whole(self, key: str, header: Header, stored: bytes) -> bytes:
        opened = b"".join(Opener(header, self._key(key, header), key).open(0, memoryview(stored)[HEADER:]))
        if len(opened) != header.size or plain_size(len(stored)) != header.size:
            raise Broken("it is cut short or has more than was stored")
        return opened

    def _header(self, key: str, raw: bytes) -> Header | None:
        """None for an object that is not encrypted, where that is accepted."""
        header = read_header(raw)
        if header is None and not self.ring.plain:
            raise Corrupt(
                f"{self.where(key)} is not encrypted, and such objects are not accepted: "
                "somebody else may have put it there.",
                remedy="Restore it from a backup; 'Store data in S3' tells when plain objects are accepted.",
            )
        return header

    def _key(self, key: str, header: Header) -> Key:
        found = self.ring.find(header.key_id)
        if found is None:
            known = ", ".join(f"'{one.id}'" for one in self.ring.keys)
            raise InvalidSettings(
                f"{self.where(key)} needs the key '{header.key_id}', which is not among {known}.",
                remedy="Add that key to the key file again, from where you keep a copy.",
            )
        return found

    def _plain_size(self, key: str, stored: int) -> int:
        if self.ring.plain and read_header(self.inner.ranges(key, [(0, HEADER)])[0]) is None:
            return stored
        return plain_size(stored)

    def _corrupt(self, key: str, broken: Broken) -> NoReturn:
        raise Corrupt(
            f"The stored object {self.where(key)} is damaged: {broken}.", remedy="Restore it from a backup."
        ) from broken


def _runs(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The frames, first and last, that hold the spans, each frame once."""
    wanted = sorted((start // FRAME, (start + length - 1) // FRAME) for start, length in spans if length > 0)
    runs: list[tuple[int, int]] = []
    for first, last in wanted:
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return runs


def _cut(frames: dict[int, bytes], start: int, stop: int) -> bytes:
    if stop <= start:
        return b""
    first, last = start // FRAME, (stop - 1) // FRAME
    joined = frames[first] if first == last else b"".join(frames[i] for i in range(first, last + 1))
    return joined[start - first * FRAME : stop - first * FRAME]
