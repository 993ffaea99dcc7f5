"""Tables: kept as what differs from the version before, and loaded whole or in part."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from everloop.core.errors import Corrupt, NotFound, WrongType
from everloop.data import identity
from everloop.data.manifest import Manifest, dump
from everloop.data.packs import Ref
from everloop.data.revision import Revision, revise
from everloop.data.stored import Stored
from everloop.data.types import is_delicate
from everloop.flows.project import Project

from .leases import leased
from .objects import Objects


def objects(project: Project) -> Objects:
    return Objects(project.data, project.tenant)


def keep(
    project: Project,
    table: pa.Table,
    version_id: str,
    algorithm: str,
    digests: Sequence[str],
    parent: str | None,
) -> int:
    """Store a table as a successor of ``parent``; returns the bytes that this added. Idempotent."""
    with leased(project.data, project.tenant, project.clock):
        there = objects(project)
        if is_whole(there, version_id):
            return 0
        revision = _revised(there, table, version_id, algorithm, digests, parent)
        return write(there, revision)


def write(there: Objects, revision: Revision) -> int:
    """Packs first, then the manifest that names them."""
    content = dump(revision.manifest)
    for pack, data in revision.packs:
        there.blobs.replace(there.pack_key(pack.id), data)
    there.blobs.replace(there.manifest_key(revision.manifest.version_id), content)
    for pack, data in revision.packs:
        if not there.blobs.exists(there.pack_key(pack.id)):  # a collection may have met an old copy of it
            there.blobs.replace(there.pack_key(pack.id), data)
    return len(content) + sum(pack.size for pack, _ in revision.packs)


def open_version(there: Objects, version_id: str) -> Stored:
    """Raises NotFound or Corrupt when the version's manifest is not there or not what was written."""
    manifest = there.manifest(version_id)
    return Stored(manifest, there.fetcher(manifest.packs))


def is_whole(there: Objects, version_id: str) -> bool:
    """Whether a version is stored with every segment it needs, each as it was written."""
    try:
        manifest = there.manifest(version_id)
        return all(there.is_intact(pack) for pack in manifest.packs)
    except (NotFound, Corrupt):
        return False


def _revised(
    there: Objects,
    table: pa.Table,
    version_id: str,
    algorithm: str,
    digests: Sequence[str],
    parent: str | None,
) -> Revision:
    """On top of the version before where that can be read, else from nothing."""
    before = None
    if parent is not None and parent != version_id:
        try:
            before = open_version(there, parent)
            return _proved(there, table, _revise(there, table, version_id, algorithm, digests, before))
        except (NotFound, Corrupt):
            pass
    return _proved(there, table, _revise(there, table, version_id, algorithm, digests, None))


def _revise(
    there: Objects,
    table: pa.Table,
    version_id: str,
    algorithm: str,
    digests: Sequence[str],
    before: Stored | None,
) -> Revision:
    packs = {pack.id: pack for pack in before.manifest.packs} if before else {}
    marks: dict[bytes, Ref] = {}

    def mark_of(ref: Ref) -> bytes:
        return there.index(packs[ref.pack]).mark(ref.entry)

    def known(mark: bytes) -> Ref | None:
        if packs and not marks:
            for pack in packs.values():
                index = there.index(pack)
                marks.update({index.mark(entry): Ref(pack.id, entry) for entry in range(len(index))})
        return marks.get(mark)

    return revise(table, version_id, algorithm, digests, before, mark_of, known)


def _proved(there: Objects, table: pa.Table, revision: Revision) -> Revision:
    """Read back the columns of types that are rarely met, before anybody relies on them."""
    names = [field.name for field in table.schema if is_delicate(field.type)]
    if not names:
        return revision
    found = Stored(revision.manifest, there.fetcher(revision.manifest.packs, dict(_fresh(revision)))).table(
        names
    )
    for name in names:
        if found.schema.field(name).type != table.schema.field(name).type or identity.column_digest(
            found[name], "blake2b"
        ) != identity.column_digest(table[name], "blake2b"):
            raise WrongType(
                f"Column '{name}' of type {table.schema.field(name).type} does not survive being stored.",
                remedy="Convert it to a simpler type.",
            )
    return revision


def _fresh(revision: Revision) -> list[tuple[str, bytes]]:
    return [(pack.id, data) for pack, data in revision.packs]


def check(stored: Manifest, table: pa.Table) -> None:
    """Raises Corrupt if a loaded table is not the content that the version's id names."""
    if identity.version_id(table, stored.algorithm) != stored.version_id:
        raise Corrupt(
            f"The stored content of version {stored.version_id[:12]} is not what was registered.",
            remedy="'everloop data repair' restores it from a backup or remote.",
        )
