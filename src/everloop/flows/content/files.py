"""Files and folders as they are: a version is a listing, kept as a table is, and the chunks of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt, Invalid, NotFound
from everloop.data import folders, listing, statistics
from everloop.data.folders import Found
from everloop.data.listing import Listed
from everloop.data.manifest import Manifest
from everloop.data.names import MAIN
from everloop.data.packs import Pack
from everloop.data.revision import Revision
from everloop.data.survey import survey
from everloop.flows.project import Project
from everloop.store import datasets, refs

from . import tables
from .intake import Intake, Tell
from .leases import Lease, await_collection, leased, outlast
from .objects import Objects, damaged
from .reader import listing_of
from .registered import Registered
from .seen import Seen

KIND = "files"
_OTHERS = 16  # versions, besides the one before, whose chunks are recognised


def quiet(done: int, total: int, text: str) -> None:
    """Nobody looks."""


@dataclass(frozen=True)
class _Work:
    """What one registration is about."""

    project: Project
    there: Objects
    lease: Lease
    files: Sequence[Found]
    seen: Seen | None
    algorithm: str
    before: Manifest | None
    others: Sequence[Manifest]
    reread: bool
    tell: Tell


def register_files(
    project: Project,
    source: str | Path | Mapping[str, Path],
    dataset: str,
    *,
    described_as: str | None = None,
    tags: Mapping[str, str] | None = None,
    origin: Mapping[str, str] | None = None,
    parent: str | None = None,
    branch: str = MAIN,
    reread: bool = False,
    tell: Tell = quiet,
) -> Registered:
    """Version any file, or a folder with everything in it. The same content twice is one version.

    ``source`` may also give the files by the path that each is to have (links are followed then). Files that
    did not change since they were last read are not read again, unless ``reread``, which also makes anew what
    is damaged in the store. Raises FileMissing, Unreadable (sockets, links that lead out of the folder, names
    that are not UTF-8), StorageDenied, and Conflict when a file changes while it is read.
    """
    algorithm = project.settings.data_versioning.hash_algorithm
    with leased(project.data, project.tenant, project.clock) as lease:
        if isinstance(source, Mapping):
            files, seen, named = folders.given(source), None, "files"
        else:
            root, named = project.settings.root / Path(source).expanduser(), str(source)
            _refuse_own(project, root)
            files = folders.scan(root, _own_folders(project))
            seen = Seen(project, root, algorithm)
        if not files:
            raise Invalid(f"There is nothing in '{named}' to version.", remedy="Name a folder with files.")
        before, others = _earlier(project, dataset, branch, parent)
        there = tables.objects(project)
        work = _Work(project, there, lease, files, seen, algorithm, before, others, reread, tell)
        facts = {"source": described_as or named, "tags": dict(tags or {}), "origin": dict(origin or {})}
        return _register(work, dataset, branch, parent, **facts)


def open_listing(project: Project, version: DatasetVersion) -> pa.Table:
    """The listing of a version of files, sorted by path. Raises Corrupt, Invalid for a table's version."""
    return read_listing(project, version)[0]


def read_listing(project: Project, version: DatasetVersion) -> tuple[pa.Table, Manifest]:
    """The listing, checked, and the manifest that it came with."""
    if version.kind != KIND:
        raise Invalid(
            f"{version.dataset}@{version.short} is a table, not files.",
            remedy=f"Write it to a file: everloop data get {version.short} --to FILE.parquet",
        )
    there = tables.objects(project)
    try:
        manifest = there.manifest(version.version_id)
    except NotFound as error:
        where = project.data.where(there.manifest_key(version.version_id))
        raise damaged(where, f"The manifest of {version.dataset}@{version.short} is missing.") from error
    return listing_of(there, manifest), manifest


def _register(work: _Work, dataset: str, branch: str, parent: str | None, **facts: Any) -> Registered:
    project = work.project
    while True:
        found, size = _keep(work)
        version_id = listing.version_id(found, work.algorithm)
        with project.store.reading() as tx:
            known = datasets.known_version(tx, version_id, dataset)
        now = project.clock.now()
        version = known or DatasetVersion(
            dataset=dataset,
            version_id=version_id,
            sequence=0,
            rows=found.num_rows,
            columns=(),
            statistics=statistics.describe(found.select(["size"])),
            hash_algorithm=work.algorithm,
            created_at=now,
            created_by=project.user,
            bytes=size,
            parent=parent,
            kind=KIND,
            **facts,
        )
        with project.store.writing() as tx:
            if tables.is_kept(project, tx, version_id):
                placed = datasets.add_version(tx, version, branch, at=now, by=project.user)
                return Registered(placed, found, new=known is None)


def _keep(work: _Work) -> tuple[pa.Table, int]:
    """Store what is not stored yet; the listing, and the bytes that this added. Idempotent."""
    there = work.there
    while True:
        intake = Intake(work.project, there, work.lease, _usable(work), work.algorithm)
        try:
            rows = _take_in(work, intake)
            found = listing.table(rows)
            version_id = listing.version_id(found, work.algorithm)
            size = 0
            if work.reread or intake.written or not _is_there(there, version_id):
                content = intake.finish(rows)
                revision = _revision(work, found, version_id, content)
                size = tables.write(there, revision) + sum(pack.size for pack in intake.written)
                await_collection(work.project, work.lease, [pack.id for pack in content])
                outlast(work.project, there, work.lease, revision.packs)
        finally:
            intake.close()
        if work.seen is not None:
            work.seen.remember(work.files, rows)
        if _is_there(there, version_id):  # else a collection met an old copy of a pack: once more
            return found, size


def _take_in(work: _Work, intake: Intake) -> list[Listed]:
    """The rows of all files: from memory those that did not change and that are stored, read the others."""
    recalled = [None if work.reread or not work.seen else work.seen.recall(file) for file in work.files]
    stored = intake.knows([known[1] if known else b"" for known in recalled])
    total, done = sum(file.size for file in work.files), 0
    rows = []
    for file, known, is_stored in zip(work.files, recalled, stored, strict=True):
        if known is not None and is_stored:
            rows.append(Listed(file.path, file.kind, file.size, *known))
            done += file.size
            continue

        def told(count: int, path: str = file.path) -> None:
            nonlocal done
            done += count
            work.tell(min(done, total), total, path)

        rows.append(intake.read(file, told))
    work.tell(total, total, "")
    return rows


def _revision(work: _Work, found: pa.Table, version_id: str, content: tuple[Pack, ...]) -> Revision:
    before = work.before
    new = replace(survey(found, work.algorithm, before), version_id=version_id)
    revision = tables.revised(work.there, new, tables.stored(work.there, before) if before else None)
    manifest = revision.manifest
    packs = tuple({pack.id: pack for pack in (*manifest.packs, *content)}.values())
    return replace(revision, manifest=replace(manifest, kind=KIND, packs=packs, chunks=content))


def _earlier(
    project: Project, dataset: str, branch: str, parent: str | None
) -> tuple[Manifest | None, list[Manifest]]:
    """The manifest of the version before, and of the newest others of files, whatever their dataset."""
    with project.store.reading() as tx:
        there = refs.find_ref(tx, dataset, branch)
        head = parent or (there.version_id if there else refs.head(tx, dataset))
        every = datasets.versions(tx, statistics=False)
    ids = [v.version_id for v in reversed(every) if v.kind == KIND and v.version_id != head]
    names = list(dict.fromkeys(ids))[:_OTHERS]
    others = [_manifest(project, name) for name in names]
    return (_manifest(project, head) if head else None), [each for each in others if each]


def _manifest(project: Project, version_id: str) -> Manifest | None:
    found = tables.try_open(project, version_id, KIND)
    return found.manifest if found else None


def _usable(work: _Work) -> list[Pack]:
    """The packs of earlier versions that are there as they should be: by their size, or with ``reread`` in
    every byte."""
    every = [manifest for manifest in (work.before, *work.others) if manifest]
    packs = list({pack.id: pack for manifest in every for pack in manifest.chunks}.values())

    def usable(pack: Pack) -> bool:
        if work.reread:
            return work.there.is_intact(pack)
        return work.there.blobs.size(work.there.pack_key(pack.id)) == pack.size and _has_index(work, pack)

    with ThreadPoolExecutor(8) as pool:
        return [pack for pack, good in zip(packs, pool.map(usable, packs), strict=True) if good]


def _has_index(work: _Work, pack: Pack) -> bool:
    try:
        work.there.index(pack)
    except Corrupt:
        return False
    return True


def _is_there(there: Objects, version_id: str) -> bool:
    """Whether a version's manifest is whole and what it names is there: the listing in every byte, packs of
    chunks by their size."""
    try:
        manifest = there.manifest(version_id)
    except (NotFound, Corrupt):
        return False
    return all(there.is_intact(pack) for pack in manifest.table_packs) and all(
        there.blobs.size(there.pack_key(pack.id)) == pack.size for pack in manifest.chunks
    )


def _refuse_own(project: Project, root: Path) -> None:
    """What lies in the project's own folders changes with each registration."""
    real = root.resolve()
    for own in _own_folders(project):
        if real.is_relative_to(own):
            raise Invalid(
                f"'{root}' is in {own}, where the project keeps its own state.",
                remedy="Name a folder or file of yours. For copies of the state: everloop backup create.",
            )


def _own_folders(project: Project) -> list[Path]:
    """What of the project itself may lie in a folder to version, and does not belong to it."""
    settings = project.settings
    places = [settings.data_place, settings.models_place]
    inner = [settings.root / place for place in places if "://" not in place]
    return [place.resolve() for place in (settings.state, *inner)]
