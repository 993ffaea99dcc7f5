"""A store of tables in memory: what ``flows.content`` does with objects, with a dict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from everloop.data import manifest, packs
from everloop.data.packs import Index, Pack, Ref
from everloop.data.revision import Revision, revise
from everloop.data.stored import Stored
from everloop.data.survey import survey


@dataclass
class MemoryStore:
    """``packs``: bytes by id; ``manifests``: bytes by version id; ``fetched``: every segment read so far."""

    packs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    fetched: list[Ref] = field(default_factory=list)

    def keep(self, table: pa.Table, parent: str | None = None, algorithm: str = "sha256") -> str:
        """The id of a version that was stored on top of ``parent``."""
        revision = self.revise(table, parent, algorithm)
        for pack, content in revision.packs:
            self.packs[pack.id] = content
        name = revision.manifest.version_id
        self.manifests[name] = manifest.dump(revision.manifest)
        return name

    def revise(self, table: pa.Table, parent: str | None = None, algorithm: str = "sha256") -> Revision:
        before = None if parent is None else self.open(parent)
        new = survey(table, algorithm, before.manifest if before else None)
        if before is None or parent == new.version_id:
            return revise(new, None, lambda _: None)
        known = {
            index.mark(entry): Ref(pack.id, entry)
            for pack in before.manifest.packs
            for index in [self._index(pack)]
            for entry in range(len(index))
        }
        return revise(new, before, known.get)

    def open(self, version_id: str) -> Stored:
        found = manifest.load(self.manifests[version_id])
        among = {pack.id: pack for pack in found.packs}

        def fetch(refs: Sequence[Ref]) -> list[memoryview]:
            self.fetched += refs
            return [self._segment(among[ref.pack], ref.entry) for ref in refs]

        return Stored(found, fetch)

    def load(self, version_id: str) -> pa.Table:
        return self.open(version_id).table()

    def size(self) -> int:
        """Bytes of all objects."""
        return sum(map(len, [*self.packs.values(), *self.manifests.values()]))

    def _index(self, pack: Pack) -> Index:
        at, length = pack.index
        return packs.read_index(pack, self.packs[pack.id][at : at + length])

    def _segment(self, pack: Pack, entry: int) -> memoryview:
        index = self._index(pack)
        at, length = index.span(entry)
        data = memoryview(self.packs[pack.id])[at : at + length]
        assert packs.digest(data) == index.check(entry)
        return data
