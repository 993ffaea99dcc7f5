"""Tables larger than memory: read in batches, kept strip by strip, named when all of it is stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.data import ColumnStatistics, DatasetVersion
from everloop.core.errors import Conflict
from everloop.data import batches, files, identity, statistics, streaming, summaries, values
from everloop.data.drafts import Known, Slot, slot
from everloop.data.manifest import Manifest, StoredColumn, dump, refs
from everloop.data.packs import FULL, Builder, Ref
from everloop.data.revision import store_levels
from everloop.data.stored import Stored
from everloop.data.survey import MARK
from everloop.data.workers import workers
from everloop.flows.project import Project
from everloop.store import datasets

from . import tables
from .leases import Lease, await_collection, leased
from .registered import Registered, base_of, record

Tell = Callable[[int, int, str], None]
_SMALL = 1 << 20  # bytes of a pack, however little memory there is


def quiet(done: int, total: int, text: str) -> None:
    """Nobody looks."""


def is_large(path: Path, encoding: str, memory: int) -> bool:
    """Whether a file's table is to be registered without being held in memory (``memory``: bytes)."""
    return (
        files.is_there(path)
        and batches.is_streamable(path, encoding)
        and batches.size_in_memory(path) > memory
    )


def register(
    project: Project,
    path: Path,
    dataset: str,
    *,
    branch: str,
    parent: str | None,
    tell: Tell,
    **facts: Any,
) -> Registered:
    """Version the table in a large file, as ``data.register`` does; its ``table`` is None."""
    algorithm = project.settings.data_versioning.hash_algorithm
    with leased(project.data, project.tenant, project.clock) as lease:
        with project.store.reading() as tx:
            base = base_of(tx, dataset, branch, parent)
        before = tables.try_open(project, base.version_id) if base else None
        source = batches.open_file(path)
        identity.check(source.schema, algorithm)
        intake = _Intake(project, lease, source, before)
        intake.read(tell)
        manifest = intake.finish()
        with project.store.reading() as tx:
            known = datasets.known_version(tx, manifest.version_id, dataset)
        intake.keep(manifest)
        version = known or DatasetVersion(
            dataset=dataset,
            version_id=manifest.version_id,
            sequence=0,
            rows=manifest.rows,
            columns=statistics.schema(manifest.schema),
            statistics=intake.statistics(manifest),
            hash_algorithm=algorithm,
            created_at=project.clock.now(),
            created_by=project.user,
            bytes=intake.written,
            parent=parent,
            **facts,
        )
        placed = record(project, version, branch, lambda: intake.keep(manifest))
    return Registered(placed, None, new=known is None)


class _Intake:
    """Keeps the strips of one table as they come."""

    def __init__(
        self, project: Project, lease: Lease, source: batches.Batches, before: Stored | None
    ) -> None:
        self._project, self._lease, self._source = project, lease, source
        self._there = tables.objects(project)
        self._cutter = streaming.Cutter(before.manifest if before else None)
        self._packs = list(before.manifest.packs) if before else []
        self._find: Known = tables.finder(self._there, self._packs)
        self._builder = Builder(min(FULL, max(_SMALL, project.settings.data_versioning.memory // 16)))
        self._algorithm = project.settings.data_versioning.hash_algorithm
        names = source.schema.names
        self._leaves = {name: streaming.Leaves(self._algorithm) for name in names}
        self._segments: dict[str, list[Slot]] = {name: [] for name in names}
        self._summaries: dict[str, list[Slot]] = {name: [] for name in names}
        self._marks: dict[str, list[bytes]] = {name: [] for name in names}
        self._levels: dict[str, pa.Array] = {}
        self._strips: list[int] = []
        self.written = 0

    def read(self, tell: Tell) -> None:
        """Take in the whole file."""
        with workers() as pool:
            for batch, done in self._source.each():
                for strip in self._cutter.feed(batch):
                    self._take(strip, pool)
                tell(done, self._source.size, "reading")
            for strip in self._cutter.finish():
                self._take(strip, pool)

    def finish(self) -> Manifest:
        """The manifest of what was taken in, under the name that its content gives it."""
        levels = {n: store_levels(a, self._builder, self._find) for n, a in self._levels.items()}
        self._builder.seal()
        self._flush()
        columns = []
        for name, leaves in self._leaves.items():
            leaves.finish()
            columns.append(
                StoredColumn(
                    identity.root(sum(self._strips), leaves.digests, self._algorithm, self._order_of(name)),
                    tuple(map(self._ref, self._segments[name])),
                    levels=tuple(map(self._ref, levels[name])) if name in levels else None,
                    marks=tuple(self._marks[name]),
                    summaries=tuple(map(self._ref, self._summaries[name])),
                    leaves=tuple(leaves.digests),
                )
            )
        return self._manifest(tuple(columns))

    def keep(self, manifest: Manifest) -> None:
        """Write the manifest, unless the version is there. Raises Conflict when a collection took packs that
        were there before."""
        if tables.is_whole(self._there, manifest.version_id):
            return
        key = self._there.manifest_key(manifest.version_id)
        content = dump(manifest)
        self._there.blobs.replace(key, content)
        self.written += len(content)
        await_collection(self._project, self._lease, [pack.id for pack in manifest.packs])
        for pack in manifest.packs:
            if not self._there.blobs.exists(self._there.pack_key(pack.id)):
                self._there.blobs.remove(key)
                raise Conflict(
                    f"Pack {pack.id[:12]} was removed while the table was registered.",
                    remedy="Register it again.",
                )

    def statistics(self, manifest: Manifest) -> dict[str, ColumnStatistics]:
        """The statistics of each column, of a small table exactly."""
        stored = tables.stored(self._there, manifest)
        if manifest.rows <= summaries.LARGE:
            return statistics.describe(stored.table())
        named = zip(manifest.schema.names, manifest.columns, strict=True)
        return {name: summaries.merge(stored.summaries(column.summaries)) for name, column in named}

    def _take(self, strip: pa.Table, pool: ThreadPoolExecutor) -> None:
        found = list(pool.map(lambda name: self._parts(name, strip[name]), strip.column_names))
        for name, (mark, segment, told) in zip(strip.column_names, found, strict=True):
            self._marks[name].append(mark[:MARK])
            where = self._find(mark) if segment is None else self._builder.add(segment, mark)
            self._segments[name].append(where or self._builder.add(segment or b"", mark))
            self._summaries[name].append(slot(told, self._builder, self._find))
            if kinds.is_dictionary(strip.schema.field(name).type):
                self._add_levels(name, strip[name])
        self._strips.append(strip.num_rows)
        self._flush()

    def _parts(self, name: str, column: pa.ChunkedArray) -> tuple[bytes, bytes | None, tuple[bytes, bytes]]:
        """A segment's fingerprint, its bytes unless it is there, and its summary."""
        found = values.of(column)
        self._leaves[name].feed(values.plain(found))
        mark = found.fingerprint
        told = summaries.encode(summaries.summarise(found))
        segment = None if self._find(mark) or mark in self._builder else found.encode()
        return mark, segment, (told, summaries.mark_of(told))

    def _add_levels(self, name: str, column: pa.ChunkedArray) -> None:
        """The levels of all batches: of the longest, where it begins with the others', else all there are."""
        for chunk in column.chunks:
            seen, new = self._levels.get(name), chunk.dictionary
            if seen is None or new.slice(0, len(seen)).equals(seen):
                self._levels[name] = new
            elif not seen.slice(0, len(new)).equals(new):
                self._levels[name] = pc.unique(pa.concat_arrays([seen, new]))

    def _flush(self) -> None:
        """Write packs that are full, and forget what is in them."""
        for pack, content in self._builder.unwritten():
            self._there.blobs.replace(self._there.pack_key(pack.id), content)
            self.written += pack.size
            self._packs.append(pack)
            self._lease.renew()

    def _ref(self, where: Slot) -> Ref:
        return where if isinstance(where, Ref) else self._builder.ref(where)

    def _order_of(self, name: str) -> bytes:
        """The digest of the levels of an ordered category."""
        kind = self._source.schema.field(name).type
        if not (kinds.is_dictionary(kind) and kind.ordered):
            return b""
        levels = pa.chunked_array([self._levels.get(name, pa.array([], kind.value_type))])
        return bytes.fromhex(identity.column_digest(levels, self._algorithm))

    def _manifest(self, columns: tuple[StoredColumn, ...]) -> Manifest:
        needed = {ref.pack for ref in refs(columns, None)}
        schema, rows = self._source.schema, sum(self._strips)
        return Manifest(
            version_id=identity.assemble(schema, rows, [c.digest for c in columns], self._algorithm),
            algorithm=self._algorithm,
            rows=rows,
            schema=schema,
            columns=columns,
            strips=tuple(self._strips),
            order=None,
            key=self._cutter.key or (),
            blocks=tuple(accumulate(self._strips)),
            packs=tuple(pack for pack in self._packs if pack.id in needed),
        )
