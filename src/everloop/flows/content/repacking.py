"""Packs of which little is still needed, written anew: the living segments in new packs.

At each step the store is whole: the new packs are there before a manifest names them, and the old ones stay
until no manifest does. A mark says since when others have taken a pack's place: those who began to read it
before can go on for as long as a collection's grace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from everloop.core.errors import Corrupt
from everloop.data import manifest as manifests
from everloop.data.manifest import Manifest, refs
from everloop.data.packs import Builder, Pack, Ref

from .objects import Objects

LEAST_NEEDED = 0.5  # of a pack's bytes: below it, it is written anew
_BATCH = 64 << 20  # bytes of living segments that are held in memory

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Sparse:
    """A pack and the segments in it that versions need; ``bytes`` is their size."""

    pack: Pack
    entries: tuple[int, ...]
    bytes: int


def sparse(there: Objects, documents: Mapping[str, Document]) -> list[Sparse]:
    """The packs of which less than half is needed by the versions with these manifests' documents.

    Those that a version of files names are left as they are.
    """
    packs: dict[str, Pack] = {}
    runs: dict[str, set[tuple[int, int]]] = {}
    left: set[str] = set()
    for document in documents.values():
        named = manifests.packs_in(document)
        packs.update({pack.id: pack for pack in named})
        if "columns" not in document:
            left.update(pack.id for pack in named)
            continue
        for number, first, count in _runs(document):
            runs.setdefault(named[number].id, set()).add((first, count))
    found = []
    for name, spans in runs.items():
        if name in left:
            continue
        index = there.index(packs[name])
        entries = sorted({first + step for first, count in spans for step in range(count)})
        needed = sum(index.span(entry)[1] for entry in entries)
        if needed < LEAST_NEEDED * packs[name].index[0]:
            found.append(Sparse(packs[name], tuple(entries), needed))
    return sorted(found, key=lambda each: each.pack.id)


def repack(there: Objects, poor: Sequence[Sparse], documents: Mapping[str, Document]) -> int:
    """Write the living segments of packs anew, and the manifests that name those; returns the bytes of the
    new packs. Raises Corrupt where a segment is damaged; what was done until then is whole."""
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
        for version_id, document in documents.items():
            if not names.isdisjoint(pack.id for pack in manifests.packs_in(document)):
                _rewrite(there, version_id, moved, fresh)
    return written


def _rewrite(there: Objects, version_id: str, moved: Mapping[Ref, Ref], fresh: Mapping[str, Pack]) -> None:
    """Let a manifest name the new places."""
    old = there.manifest(version_id)

    def there_now(ref: Ref) -> Ref:
        return moved.get(ref, ref)

    columns = tuple(
        replace(
            column,
            segments=tuple(None if ref is None else there_now(ref) for ref in column.segments),
            patches=tuple(map(there_now, column.patches)),
            levels=None if column.levels is None else tuple(map(there_now, column.levels)),
        )
        for column in old.columns
    )
    order = None if old.order is None else there_now(old.order)
    known = {**{pack.id: pack for pack in old.packs}, **fresh}
    named = tuple(known[name] for name in dict.fromkeys(ref.pack for ref in refs(columns, order)))
    new: Manifest = replace(old, columns=columns, order=order, packs=named)
    there.blobs.replace(there.manifest_key(version_id), manifests.dump(new))


def _runs(document: Document) -> Iterator[tuple[int, int, int]]:
    """All that a table's manifest points at, as (number of the pack, first entry, count)."""
    lists: Iterable[Any] = [document["order"]]
    for column in document["columns"]:
        lists = [*lists, column["segments"], column["patches"], column["levels"] or ()]
    return ((number, first, count) for runs in lists for number, first, count in runs if number >= 0)


def _batches(poor: Sequence[Sparse]) -> Iterator[list[Sparse]]:
    batch: list[Sparse] = []
    for each in poor:
        batch.append(each)
        if sum(b.bytes for b in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
