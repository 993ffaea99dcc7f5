"""Register, list, load and compare data versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.core.errors import Corrupt, NotFound
from everloop.data import diff as differences
from everloop.data import encoding, identity, reading, statistics, writing
from everloop.data.types import type_name
from everloop.store import datasets

from . import artifacts
from .project import Project


@dataclass(frozen=True)
class Registered:
    """A registered version with its table. ``new`` is false when the same content was there already."""

    version: DatasetVersion
    table: pa.Table
    rows: np.ndarray
    new: bool


def register(
    project: Project,
    source: object,
    dataset: str,
    *,
    encoding_name: str = "utf-8",
    described_as: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Registered:
    """Version a file (path) or a pandas, Polars or Arrow table. The same content twice is one version."""
    if isinstance(source, (str, Path)):
        path = project.settings.root / Path(source).expanduser()
        table, origin = reading.read_file(path, encoding=encoding_name), str(source)
    else:
        table, origin = reading.to_table(source), "memory"
    algorithm = project.settings.data_versioning.hash_algorithm
    version_id = identity.version_id(table, algorithm)
    with project.store.reading() as tx:
        known = datasets.known_version(tx, version_id, dataset)
    kept = (_content(project, version_id), _rows(project, version_id))
    if known and all(project.data.exists(key) for key in kept):
        return Registered(known, table, rows_of(project, known), new=False)

    with ThreadPoolExecutor() as pool:  # three passes over the table that need not wait for each other
        hashed = pool.submit(identity.row_hashes, table)
        described = pool.submit(statistics.describe, table)
        content, rows = encoding.encode(table), hashed.result()
        columns = described.result()
    project.data.put(_content(project, version_id), content)
    project.data.put(_rows(project, version_id), artifacts.to_bytes(rows))
    version = DatasetVersion(
        dataset=dataset,
        version_id=version_id,
        sequence=0,
        rows=table.num_rows,
        columns=statistics.schema(table),
        statistics=columns,
        hash_algorithm=algorithm,
        created_at=project.clock.now(),
        created_by=project.user,
        source=described_as or origin,
        bytes=len(content),
        tags=dict(tags or {}),
    )
    with project.store.writing() as tx:
        placed = datasets.add_version(tx, version)
    return Registered(placed, table, rows, new=known is None)


def find(project: Project, version_id: str, dataset: str | None = None) -> DatasetVersion:
    """A version by id, by a beginning of one, or as ``DATASET@latest``."""
    with project.store.reading() as tx:
        return datasets.find_version(tx, version_id, dataset)


def list_versions(project: Project, dataset: str | None = None) -> list[DatasetVersion]:
    """Oldest first."""
    with project.store.reading() as tx:
        return datasets.versions(tx, dataset)


def load(project: Project, version: DatasetVersion, columns: Sequence[str] | None = None) -> pa.Table:
    """A version's table, whole (its content is hashed and compared) or some of its columns."""
    table = encoding.decode(_read(project, _content(project, version.version_id), version), columns)
    if columns is None and identity.version_id(table, version.hash_algorithm) != version.version_id:
        raise Corrupt(
            f"The stored content of {version.dataset}@{version.short} is not what was registered.",
            remedy="Register the same data again after removing the damaged file: "
            + project.data.where(_content(project, version.version_id)),
        )
    return table


def rows_of(project: Project, version: DatasetVersion) -> np.ndarray:
    """The hash of each row, in the table's order."""
    return artifacts.from_bytes(_read(project, _rows(project, version.version_id), version))


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


def _read(project: Project, key: str, version: DatasetVersion) -> bytes:
    try:
        return project.data.get(key)
    except NotFound as error:
        raise Corrupt(
            f"The content of {version.dataset}@{version.short} is missing: {project.data.where(key)}.",
            remedy="Register the same data again, or restore the file from a backup.",
        ) from error


def _content(project: Project, version_id: str) -> str:
    return f"{project.tenant}/{version_id}.parquet"


def _rows(project: Project, version_id: str) -> str:
    return f"{project.tenant}/{version_id}.rows.npy"
