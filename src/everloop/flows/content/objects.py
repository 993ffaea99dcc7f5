"""Packs and manifests as objects: written durably, read in parts, each part checked against its hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from blake3 import blake3

from everloop.core.errors import Corrupt, NotFound
from everloop.core.ports import Blobs
from everloop.data import manifest as manifests
from everloop.data import packs
from everloop.data.manifest import Manifest
from everloop.data.packs import Index, Pack, Ref
from everloop.data.stored import Fetch

_INDEXES = 4_096  # kept in memory: they never change


class Objects:
    """The objects of one tenant."""

    def __init__(self, blobs: Blobs, tenant: str) -> None:
        self.blobs = blobs
        self.tenant = tenant
        self.index = lru_cache(_INDEXES)(self._index)

    def pack_key(self, pack_id: str) -> str:
        return f"{self.tenant}/packs/{pack_id}.pack"

    def manifest_key(self, version_id: str) -> str:
        return f"{self.tenant}/versions/{version_id}.manifest"

    def manifest(self, version_id: str) -> Manifest:
        """Raises NotFound, and Corrupt when its bytes are not what was written."""
        key = self.manifest_key(version_id)
        try:
            found = manifests.load(self.blobs.get(key))
        except Corrupt as error:
            raise damaged(self.blobs.where(key), error.message, error.remedy) from error
        if found.version_id != version_id:
            raise damaged(self.blobs.where(key), f"It belongs to version {found.version_id[:12]}.")
        return found

    def is_intact(self, pack: Pack) -> bool:
        """Whether every byte of a pack is what was written."""
        try:
            return str(blake3(self.blobs.get(self.pack_key(pack.id))).hexdigest()) == pack.id
        except (NotFound, Corrupt):
            return False

    def fetcher(self, among: Sequence[Pack], unsaved: Mapping[str, bytes] | None = None) -> Fetch:
        """A function that gets segments out of some packs, in the order asked for. ``unsaved``: the bytes of
        packs that are not stored yet."""
        known = {pack.id: pack for pack in among}
        held = unsaved or {}

        def fetch(refs: Sequence[Ref]) -> list[memoryview]:
            wanted: dict[str, set[int]] = {}
            for ref in refs:
                wanted.setdefault(ref.pack, set()).add(ref.entry)
            found = {
                Ref(name, entry): data
                for name, entries in wanted.items()
                for entry, data in self._read(known[name], sorted(entries), held.get(name)).items()
            }
            return [found[ref] for ref in refs]

        return fetch

    def _read(self, pack: Pack, entries: list[int], held: bytes | None) -> dict[int, memoryview]:
        if held is not None:
            at, length = pack.index
            index = packs.read_index(pack, held[at : at + length])
            return {e: memoryview(held)[index.span(e)[0] :][: index.span(e)[1]] for e in entries}
        index, key = self.index(pack), self.pack_key(pack.id)
        groups = list(packs.spans(index, entries))
        try:
            blocks = self.blobs.ranges(key, [(start, length) for start, length, _ in groups])
        except NotFound as error:
            raise damaged(self.blobs.where(key), "It is missing.") from error
        found = {}
        for (start, _, group), block in zip(groups, blocks, strict=True):
            for entry in group:
                at, length = index.span(entry)
                data = memoryview(block)[at - start :][:length]
                if packs.digest(data) != index.check(entry):
                    raise damaged(self.blobs.where(key), f"Its bytes {at} to {at + length} changed.")
                found[entry] = data
        return found

    def _index(self, pack: Pack) -> Index:
        key = self.pack_key(pack.id)
        try:
            return packs.read_index(pack, self.blobs.ranges(key, [pack.index])[0])
        except NotFound as error:
            raise damaged(self.blobs.where(key), "It is missing.") from error
        except Corrupt as error:
            raise damaged(self.blobs.where(key), error.message, error.remedy) from error


def damaged(where: str, what: str, remedy: str = "") -> Corrupt:
    """The error for an object that is not what was written."""
    return Corrupt(
        f"The stored object {where} is damaged. {what}",
        remedy=remedy
        or "'everloop data verify' lists what it touches; 'everloop data repair' restores it from a backup "
        "or a copy, and so does registering the same data again (of files: 'everloop data add' --reread).",
    )
