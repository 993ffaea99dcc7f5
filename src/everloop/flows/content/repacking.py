"""Packs of which little is still needed, written anew: the living segments in new packs.

At each step the store is whole: the new packs are there before a manifest names them, and the old ones stay
until no manifest does. A mark says since when others have taken a pack's place: those who began to read it
before can go on for as long as a collection's grace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from everloop.core.errors import Corrupt
from everloop.data import manifest as manifests
from everloop.data.manifest import Manifest, StoredColumn, refs
from everloop.data.packs import Builder, Pack, Ref

from .objects import Objects

LEAST_NEEDED = 0.5  # of a pack's bytes: below it, it is written anew
_BATCH = 64 << 20  # bytes of living segments that are held in memory


@dataclass(frozen=True)
class Sparse:
    """A pack and the segments in it that versions need; ``bytes`` is their size."""

    pack: Pack
    entries: tuple[int, ...]
    bytes: int


def sparse(there: Objects, versions: Iterable[str]) -> list[Sparse]:
    """The packs of which less than half is needed by these versions, which are all that name them. Those that
    a version of files names are left as they are. Raises Corrupt, NotFound."""
    packs: dict[str, Pack] = {}
    entries: dict[str, set[int]] = {}
    left: set[str] = set()
    for version_id in versions:
        manifest = there.manifest(version_id)
        packs.update({pack.id: pack for pack in manifest.packs})
        if manifest.kind != "table":
            left.update(pack.id for pack in manifest.packs)
        for ref in refs(manifest.columns, manifest.order):
            entries.setdefault(ref.pack, set()).add(ref.entry)
    found = []
    for name, wanted in sorted(entries.items()):
        if name not in left:
            index = there.index(packs[name])
            needed = sum(index.span(entry)[1] for entry in wanted)
            if needed < LEAST_NEEDED * packs[name].index[0]:
                found.append(Sparse(packs[name], tuple(sorted(wanted)), needed))
    return found


def repack(there: Objects, poor: Sequence[Sparse], users: Mapping[str, Collection[str]]) -> int:
    """Write the living segments of packs anew, and the manifests that name those (``users``: which packs each
    version names); returns the bytes of the new packs. Raises Corrupt where a segment is damaged; what was
    done until then is whole."""
    written = 0
    for batch in _batches(poor):
        names = {each.pack.id for each in batch}
        builder = Builder()
        places: dict[Ref, tuple[int, int]] = {}
        for each in batch:
            there.blobs.replace(f"{there.tenant}/rewritten/{each.pack.id}", b"")
            index = there.index(each.pack)
            segments = [Ref(each.pack.id, entry) for entry in each.entries]
            for ref, data in zip(segments, there.fetcher([each.pack])(segments), strict=True):
                places[ref] = builder.add(bytes(data), index.mark(ref.entry))
        builder.seal()
        for pack, content in builder.sealed:
            there.blobs.replace(there.pack_key(pack.id), content)
            if not there.is_intact(pack):
                raise Corrupt(f"{there.blobs.where(there.pack_key(pack.id))} is not what was written.")
            written += pack.size
        moved = {ref: builder.ref(place) for ref, place in places.items()}
        fresh = {pack.id: pack for pack, _ in builder.sealed}
        for version_id, named in users.items():
            if not names.isdisjoint(named):
                _rewrite(there, version_id, moved, fresh)
    return written


def _rewrite(there: Objects, version_id: str, moved: Mapping[Ref, Ref], fresh: Mapping[str, Pack]) -> None:
    """Let a manifest name the new places."""
    old = there.manifest(version_id)

    columns = tuple(_moved(column, moved) for column in old.columns)
    order = None if old.order is None else moved.get(old.order, old.order)
    known = {**{pack.id: pack for pack in old.packs}, **fresh}
    named = tuple(known[name] for name in dict.fromkeys(ref.pack for ref in refs(columns, order)))
    new: Manifest = replace(old, columns=columns, order=order, packs=named)
    there.blobs.replace(there.manifest_key(version_id), manifests.dump(new))


def _moved(column: StoredColumn, moved: Mapping[Ref, Ref]) -> StoredColumn:
    """A column whose segments, of whatever kind, are where they are now."""
    known: Mapping[str, Any] = vars(column)
    fresh: dict[str, Any] = {
        name: tuple(moved.get(v, v) for v in each) for name, each in known.items() if _has_refs(each)
    }
    return replace(column, **fresh)


def _has_refs(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, Ref) for each in value)


def _batches(poor: Sequence[Sparse]) -> Iterator[list[Sparse]]:
    batch: list[Sparse] = []
    for each in poor:
        batch.append(each)
        if sum(b.bytes for b in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
