"""Register, list, load and compare data versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from everloop.core.data import ColumnStatistics, DatasetDiff, DatasetVersion
from everloop.core.errors import Corrupt, NotFound
from everloop.data import diff as differences
from everloop.data import identity, reading, statistics, writing
from everloop.data.stored import Stored
from everloop.data.types import type_name
from everloop.store import datasets

from .content import tables
from .content.objects import damaged
from .project import Project


@dataclass(frozen=True)
class Registered:
    """A registered version with its table. ``new`` is false when the same content was there already."""

    version: DatasetVersion
    table: pa.Table
    new: bool


def register(
    project: Project,
    source: object,
    dataset: str,
    *,
    encoding_name: str = "utf-8",
    described_as: str | None = None,
    tags: Mapping[str, str] | None = None,
    origin: Mapping[str, str] | None = None,
    parent: str | None = None,
) -> Registered:
    """Version a file (path) or a pandas, Polars or Arrow table. The same content twice is one version.

    ``origin`` says where the content came from; ``parent`` is the version before it [the dataset's newest].
    """
    if isinstance(source, (str, Path)):
        path = project.settings.root / Path(source).expanduser()
        table, named = reading.read_file(path, encoding=encoding_name), str(source)
    else:
        table, named = reading.to_table(source), "memory"
    algorithm = project.settings.data_versioning.hash_algorithm
    digests = identity.column_digests(table, algorithm)
    version_id = identity.assemble(table.schema, table.num_rows, digests, algorithm)
    with project.store.reading() as tx:
        known = datasets.known_version(tx, version_id, dataset)
        newest = datasets.newest(tx, dataset)
    before = known.parent if known else parent or (newest.version_id if newest else None)
    size = tables.keep(project, table, version_id, algorithm, digests, before)
    if known:
        return Registered(known, table, new=False)
    version = DatasetVersion(
        dataset=dataset,
        version_id=version_id,
        sequence=0,
        rows=table.num_rows,
        columns=statistics.schema(table),
        statistics=_described(project, table, digests, newest),
        hash_algorithm=algorithm,
        created_at=project.clock.now(),
        created_by=project.user,
        source=described_as or named,
        bytes=size,
        tags=dict(tags or {}),
        parent=parent,
        origin=dict(origin or {}),
    )
    with project.store.writing() as tx:
        placed = datasets.add_version(tx, version)
    return Registered(placed, table, new=True)


def find(project: Project, version_id: str, dataset: str | None = None) -> DatasetVersion:
    """A version by id, by a beginning of one, or as ``DATASET@latest``."""
    with project.store.reading() as tx:
        return datasets.find_version(tx, version_id, dataset)


def list_versions(project: Project, dataset: str | None = None) -> list[DatasetVersion]:
    """Oldest first."""
    with project.store.reading() as tx:
        return datasets.versions(tx, dataset)


def load(
    project: Project,
    version: DatasetVersion,
    columns: Sequence[str] | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
) -> pa.Table:
    """A version's table: all of it, some columns, the rows from ``start`` to before ``stop``.

    Only what is asked for is read, and every byte read is checked against its hash. Raises Corrupt, naming
    the object, when one changed or is missing; UnknownColumn.
    """
    return _stored(project, version).table(columns, start, stop)


def rows_of(project: Project, version: DatasetVersion) -> np.ndarray:
    """The hash of each row, in the table's order."""
    return identity.row_hashes(load(project, version))


def shared_rows(project: Project, table: pa.Table, version: DatasetVersion) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the rows of a table and of a version that say which are the same where the columns are not:
    over the columns of both, numbers as doubles (a first missing value makes floats of pandas' integers);
    a column that became something else is left out."""
    there = {column.name for column in version.columns}
    other = load(project, version, [name for name in table.column_names if name in there])
    kinds = [(name, _kind(table, name), _kind(other, name)) for name in other.column_names]
    names = [name for name, here, before in kinds if here == before]
    numbers = {name for name, here, _ in kinds if here == "number"}
    hashes = [identity.row_hashes(_doubles(each, numbers), names) for each in (table, other)]
    return hashes[0], hashes[1]


def compare(project: Project, before: DatasetVersion, after: DatasetVersion) -> DatasetDiff:
    """What changed between two versions: rows, columns, statistics."""
    if [c.name for c in before.columns] == [c.name for c in after.columns]:
        return differences.diff(before, rows_of(project, before), after, rows_of(project, after))
    names = {column.name for column in after.columns}
    shared = [column.name for column in before.columns if column.name in names]
    hashes = [identity.row_hashes(load(project, version, shared), shared) for version in (before, after)]
    return differences.diff(before, hashes[0], after, hashes[1])


def export(project: Project, version: DatasetVersion, path: Path) -> Path:
    """Write a version to ``path`` as Parquet or CSV, by its ending."""
    target = project.settings.root / path
    project.write_file(target, writing.to_bytes(load(project, version), target.suffix))
    return target


def _kind(table: pa.Table, name: str) -> str:
    field = table.schema.field(name)
    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return "number" if number else type_name(field)


def _doubles(table: pa.Table, names: set[str]) -> pa.Table:
    for at, name in enumerate(table.column_names):
        if name in names:
            table = table.set_column(at, name, table.column(at).cast(pa.float64(), safe=False))
    return table


def _stored(project: Project, version: DatasetVersion) -> Stored:
    there = tables.objects(project)
    try:
        return tables.open_version(there, version.version_id)
    except NotFound as error:
        where = project.data.where(there.manifest_key(version.version_id))
        raise damaged(where, f"The manifest of {version.dataset}@{version.short} is missing.") from error


def _described(
    project: Project, table: pa.Table, digests: Sequence[str], before: DatasetVersion | None
) -> dict[str, ColumnStatistics]:
    """The statistics of each column; of those that are as they were in the version before, its own."""
    known: dict[str, ColumnStatistics] = {}
    if before is not None and before.hash_algorithm == project.settings.data_versioning.hash_algorithm:
        try:
            manifest = tables.objects(project).manifest(before.version_id)
        except (NotFound, Corrupt):
            manifest = None
        same = zip(manifest.schema.names, manifest.columns, strict=True) if manifest else ()
        now = dict(zip(table.column_names, digests, strict=True))
        kinds = {c.name: c.type for c in before.columns}
        known = {
            name: before.statistics[name]
            for name, column in same
            if now.get(name) == column.digest and kinds[name] == type_name(table.schema.field(name))
        }
    fresh = statistics.describe(table.select([n for n in table.column_names if n not in known]))
    return {name: known.get(name) or fresh[name] for name in table.column_names}
