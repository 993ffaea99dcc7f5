"""Tables: kept as what differs from the version before, and loaded whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from everloop.core.errors import Corrupt, NotFound, WrongType
from everloop.data import identity
from everloop.data.manifest import Manifest, dump
from everloop.data.packs import Pack, Ref
from everloop.data.revision import Revision, revise
from everloop.data.stored import Stored
from everloop.data.summaries import Summary
from everloop.data.survey import Survey
from everloop.data.types import is_delicate
from everloop.flows.project import Project
from everloop.store.database import Tx

from .leases import Lease, outlast
from .objects import Objects


def objects(project: Project) -> Objects:
    return Objects(project.data, project.tenant)


@dataclass(frozen=True)
class Kept:
    """What storing a table added, in bytes, and the summaries of its blocks where it is large and new."""

    bytes: int
    summaries: Mapping[str, Sequence[Summary]]


def keep(project: Project, lease: Lease, new: Survey, parent: Stored | None) -> Kept:
    """Store a table as a successor of ``parent``. Idempotent."""
    there = objects(project)
    if is_whole(there, new.version_id):
        return Kept(0, {})
    revision = _proved(there, new, revised(there, new, parent))
    size = write(there, revision)
    outlast(project, there, lease, revision.packs)
    return Kept(size, revision.summaries)


def is_kept(project: Project, tx: Tx, version_id: str) -> bool:
    """Whether a version's manifest is there, which it then is until the transaction ends: since ``keep`` a
    collection may have taken it for what a registration that was killed had left."""
    tx.lock(f"content/{version_id}")
    return project.data.exists(objects(project).manifest_key(version_id))


def write(there: Objects, revision: Revision) -> int:
    """Packs first, then the manifest that names them."""
    content = dump(revision.manifest)
    for pack, data in revision.packs:
        there.blobs.replace(there.pack_key(pack.id), data)
    there.blobs.replace(there.manifest_key(revision.manifest.version_id), content)
    return len(content) + sum(pack.size for pack, _ in revision.packs)


def open_version(there: Objects, version_id: str) -> Stored:
    """Raises NotFound or Corrupt when the version's manifest is not there or not what was written."""
    return stored(there, there.manifest(version_id))


def stored(there: Objects, manifest: Manifest) -> Stored:
    """The table of a version (of files: their listing)."""
    return Stored(manifest, there.fetcher(manifest.packs))


def try_open(project: Project, version_id: str, kind: str = "table") -> Stored | None:
    """A version to build on; None when its manifest is not there or damaged, or it is of another kind."""
    try:
        found = open_version(objects(project), version_id)
    except (NotFound, Corrupt):
        return None
    return found if found.manifest.kind == kind else None


def is_whole(there: Objects, version_id: str) -> bool:
    """Whether a version is stored with every segment it needs, each as it was written."""
    try:
        manifest = there.manifest(version_id)
        return all(there.is_intact(pack) for pack in manifest.packs)
    except (NotFound, Corrupt):
        return False


def revised(there: Objects, new: Survey, before: Stored | None) -> Revision:
    """On top of the version before where that can be read, else from nothing."""
    if before is not None and before.manifest.version_id != new.version_id:
        try:
            return revise(new, before, finder(there, before.manifest.table_packs))
        except (NotFound, Corrupt):
            pass
    return revise(new, None, lambda _: None)


def finder(there: Objects, packs: Sequence[Pack]) -> Callable[[bytes], Ref | None]:
    """Finds the segment with a fingerprint in some packs."""
    marks: dict[bytes, Ref] = {}

    def find(mark: bytes) -> Ref | None:
        if not marks:
            for pack in packs:
                index = there.index(pack)
                marks.update({index.mark(entry): Ref(pack.id, entry) for entry in range(len(index))})
        return marks.get(mark)

    return find


def _proved(there: Objects, new: Survey, revision: Revision) -> Revision:
    """Read back the columns of types that are rarely met, before anybody relies on them."""
    table = new.table
    names = [field.name for field in table.schema if is_delicate(field.type)]
    if not names:
        return revision
    found = Stored(revision.manifest, there.fetcher(revision.manifest.packs, dict(_fresh(revision)))).table(
        names
    )
    for name in names:
        same_type = found.schema.field(name).type == table.schema.field(name).type
        if not same_type or identity.column_digest(found[name], new.algorithm) != new.digests[name]:
            raise WrongType(
                f"Column '{name}' of type {table.schema.field(name).type} does not survive being stored.",
                remedy="Convert it to a simpler type.",
            )
    return revision


def _fresh(revision: Revision) -> list[tuple[str, bytes]]:
    return [(pack.id, data) for pack, data in revision.packs]
