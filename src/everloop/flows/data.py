"""Register, list, load and compare data versions."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.data import ColumnStatistics, DatasetVersion
from everloop.core.errors import Invalid, NotFound, Refused, StorageDenied, WrongType
from everloop.data import conditions, identity, names, reading, statistics, summaries, writing
from everloop.data.conditions import Condition
from everloop.data.files import is_table
from everloop.data.rows import longest
from everloop.data.stored import Stored
from everloop.data.survey import Survey, survey
from everloop.data.types import type_name
from everloop.store import datasets

from .content import streams, tables
from .content.leases import Lease, leased
from .content.objects import damaged
from .content.registered import Registered as Registered
from .content.registered import base_of, record
from .files import list_files as list_files
from .files import open_file as open_file
from .files import register_files
from .project import Project

_FIRST_BATCH = 1_024  # rows, to see how wide they are


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
    branch: str = names.MAIN,
    rows_needed: bool = False,
    as_files: bool | None = False,
    tell: streams.Tell = streams.quiet,
) -> Registered:
    """Version a file (path) or a pandas, Polars or Arrow table. The same content twice is one version.

    ``branch`` then stands at it. ``origin`` says where the content came from; ``parent`` is the version
    before it [where the branch stood]. With ``rows_needed`` an empty table raises EmptyTable. ``as_files``
    takes a file or folder as it is (``files.register_files``); None does where the path is not of a table. A
    file whose table is larger than ``data_versioning.memory`` is read in batches, unless rows are needed;
    ``tell`` is told how far it is. Raises Invalid for a name that no dataset can have.
    """
    check_name(project, dataset)
    if as_files or (as_files is None and is_of_files(project, source)):
        return register_files(
            project,
            str(source),
            dataset,
            described_as=described_as,
            tags=tags,
            origin=origin,
            parent=parent,
            branch=branch,
        )
    if isinstance(source, (str, Path)):
        path = project.settings.root / Path(source).expanduser()
        if not rows_needed and streams.is_large(path, encoding_name, project.settings.data_versioning.memory):
            return streams.register(
                project,
                path,
                dataset,
                branch=branch,
                parent=parent,
                tell=tell,
                source=described_as or str(source),
                tags=dict(tags or {}),
                origin=dict(origin or {}),
            )
        table, named = reading.read_file(path, encoding=encoding_name), str(source)
    else:
        reading.refuse_lost_attributes(source)
        table, named = reading.to_table(source), "memory"
    if rows_needed:
        reading.refuse_empty(table, "The table" if named == "memory" else f"'{path}'")
    with leased(project.data, project.tenant, project.clock) as lease:
        return _register(
            project,
            lease,
            table,
            dataset,
            branch=branch,
            parent=parent,
            source=described_as or named,
            tags=dict(tags or {}),
            origin=dict(origin or {}),
        )


def check_name(project: Project, dataset: str) -> None:
    """Raises Invalid where there is no such dataset and none can be called so."""
    with project.store.reading() as tx:
        datasets.check_name(tx, dataset)


def is_of_files(project: Project, source: object) -> bool:
    """Whether a source is a path that is there and is not of a table: a folder, or another ending."""
    if not isinstance(source, (str, Path)):
        return False
    path = project.settings.root / Path(source).expanduser()
    return path.exists() and (path.is_dir() or not is_table(path))


def _register(
    project: Project,
    lease: Lease,
    table: pa.Table,
    dataset: str,
    *,
    branch: str,
    parent: str | None,
    **facts: Any,
) -> Registered:
    with project.store.reading() as tx:
        base = base_of(tx, dataset, branch, parent)
    before = tables.try_open(project, base.version_id) if base else None
    algorithm = project.settings.data_versioning.hash_algorithm
    new = survey(table, algorithm, before.manifest if before else None)
    with project.store.reading() as tx:
        known = datasets.known_version(tx, new.version_id, dataset)
    if known is not None and known.parent:  # what is damaged is made again just as it was
        before = tables.try_open(project, known.parent)
    kept = tables.keep(project, lease, new, before)
    version = known or DatasetVersion(
        dataset=dataset,
        version_id=new.version_id,
        sequence=0,
        rows=table.num_rows,
        columns=statistics.schema(table.schema),
        statistics=_described(new, kept, before, base),
        hash_algorithm=algorithm,
        created_at=project.clock.now(),
        created_by=project.user,
        bytes=kept.bytes,
        parent=parent,
        **facts,
    )
    placed = record(project, version, branch, lambda: tables.keep(project, lease, new, before))
    return Registered(placed, table, new=known is None)


def find(project: Project, version_id: str, dataset: str | None = None) -> DatasetVersion:
    """A version by id, by a beginning of one, or as ``DATASET@latest``, ``@TAG``, ``@BRANCH``, ``@TIME``."""
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
    where: Sequence[Condition] = (),
) -> pa.Table:
    """A version's table: all of it, some columns, the rows from ``start`` to before ``stop``, and of these
    the ones for which all of ``where`` holds: (column, one of == != < <= > >= in "not in", value or values).

    Only what is asked for is read, and every byte read is checked against its hash. Raises Corrupt, naming
    the object, when one changed or is missing; UnknownColumn, Invalid for what cannot be asked.
    """
    stored = _stored(project, version)
    chosen = _listed(columns)
    start, stop = _row("start", start), None if stop is None else _row("stop", stop)
    if not conditions.checked(where):
        return stored.table(chosen, start, stop)
    return stored.table(chosen, rows=conditions.matching(stored, where, start, stop))


def batches(
    project: Project,
    version: DatasetVersion,
    columns: Sequence[str] | None = None,
    *,
    rows: int | None = None,
) -> Iterator[pa.Table]:
    """A version's table as tables of at most ``rows`` rows [131,072; fewer of wide ones], in order: memory
    holds one at a time."""
    stored = _stored(project, version)
    start, step = 0, rows or _FIRST_BATCH
    while start < stored.manifest.rows:
        table = stored.table(columns, start, start + step)
        yield table
        start, step = start + step, rows or longest(table.nbytes / table.num_rows)


def reader(
    project: Project, version: DatasetVersion, columns: Sequence[str] | None = None
) -> pa.RecordBatchReader:
    """A version's table as a stream that DuckDB, Polars, ``pyarrow.dataset.Scanner.from_batches`` and others
    take."""
    schema = _stored(project, version).table(_listed(columns), 0, 0).schema
    parts = (batch for table in batches(project, version, columns) for batch in table.to_batches())
    return pa.RecordBatchReader.from_batches(schema, parts)


def rows_of(project: Project, version: DatasetVersion) -> np.ndarray:
    """The hash of each row, in the table's order."""
    return identity.row_hashes(load(project, version))


def shared_rows(project: Project, table: pa.Table, version: DatasetVersion) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the rows of a table and of a version that say which are the same where the columns are not:
    over the columns of both, numbers as doubles (a first missing value makes floats of pandas' integers);
    a column that became something else is left out."""
    there = {column.name for column in version.columns}
    other = load(project, version, [name for name in table.column_names if name in there])
    kinds = [(name, kind(table, name), kind(other, name)) for name in other.column_names]
    names = [name for name, here, before in kinds if here == before]
    numbers = {name for name, here, _ in kinds if here == "number"}
    hashes = [identity.row_hashes(_doubles(each, numbers), names) for each in (table, other)]
    return hashes[0], hashes[1]


def export(
    project: Project,
    version: DatasetVersion,
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    where: Sequence[Condition] = (),
    force: bool = False,
    tell: streams.Tell = streams.quiet,
) -> int:
    """Write a version to ``path`` as Parquet, CSV or Feather, by its ending; part by part, unless there are
    conditions. Returns how many rows were written.

    Raises Refused where a file is there, unless ``force``, and StorageDenied where none can be written.
    """
    target = project.settings.root / path
    if target.is_dir():
        raise Refused(f"'{target}' is a folder.", remedy="Name a file in it.")
    if os.path.lexists(target) and not force:
        raise Refused(
            f"'{target}' is there already.", remedy="Say --force to replace it, or write to another file."
        )
    parts: Iterable[pa.Table]
    rows: int
    if where:
        found = load(project, version, columns, where=where)
        schema, parts, rows = found.schema, [found], found.num_rows
    else:
        schema = load(project, version, columns, stop=0).schema
        parts, rows = _told(batches(project, version, columns), version.rows, tell), version.rows
    try:
        project.write_file(target, writing.pieces(schema, parts, target.suffix.lower()))
    except (FileNotFoundError, FileExistsError) as error:  # of a folder that is no place for files
        raise StorageDenied(
            f"'{target}' cannot be written: {error.strerror}.", remedy="Write to another folder."
        ) from error
    return rows


def is_estimate(version: DatasetVersion, known: ColumnStatistics) -> bool:
    """Whether a column's number of different values may be an estimate: of large tables with many of them."""
    return version.rows > summaries.LARGE and known.distinct > summaries.EXACT


def _told(parts: Iterator[pa.Table], rows: int, tell: streams.Tell) -> Iterator[pa.Table]:
    done = 0
    for part in parts:
        yield part
        done += part.num_rows
        tell(done, rows, "writing")


def _listed(columns: Sequence[str] | None) -> list[str] | None:
    """The names of columns. Raises Invalid for what is no list of names."""
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise Invalid(f"{columns!r} is no list of columns.", remedy='Write columns=["age", "city"].')
    for name in columns:
        if not isinstance(name, str):
            raise Invalid(f"{name!r} is no name of a column.", remedy="Columns are named by text.")
    return list(columns)


def _row(name: str, value: Any) -> int:
    """The number of a row. Raises Invalid for what is none."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < 2**63:
        raise Invalid(
            f"{name} cannot be {value!r}.", remedy="Rows are counted from 0; the last of them is before stop."
        )
    return number


def kind(table: pa.Table, name: str) -> str:
    """The type of a column by name; all numbers are ``number``."""
    field = table.schema.field(name)
    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return "number" if number else type_name(field)


def _doubles(table: pa.Table, names: set[str]) -> pa.Table:
    for at, name in enumerate(table.column_names):
        if name in names:
            table = table.set_column(at, name, table.column(at).cast(pa.float64(), safe=False))
    return table


def _stored(project: Project, version: DatasetVersion) -> Stored:
    if version.kind != "table":
        raise WrongType(
            f"{version.dataset}@{version.short} is a version of files, not a table.",
            remedy=f"Write the files to a folder: everloop data get {version.short} --to FOLDER",
        )
    there = tables.objects(project)
    try:
        return tables.open_version(there, version.version_id)
    except NotFound as error:
        where = project.data.where(there.manifest_key(version.version_id))
        raise damaged(where, f"The manifest of {version.dataset}@{version.short} is missing.") from error


def _described(
    new: Survey, kept: tables.Kept, before: Stored | None, base: DatasetVersion | None
) -> dict[str, ColumnStatistics]:
    """The statistics of each column; of those that are as they were in the version before, its own."""
    known: dict[str, ColumnStatistics] = {}
    if before is not None and base is not None and base.version_id == before.manifest.version_id:
        old = dict(zip(before.manifest.schema.names, before.manifest.columns, strict=True))
        types = {column.name: column.type for column in base.columns}
        known = {
            field.name: base.statistics[field.name]
            for field in new.table.schema
            if field.name in old
            and old[field.name].digest == new.digests[field.name]
            and types[field.name] == type_name(field)
        }
    known |= {name: summaries.merge(found) for name, found in kept.summaries.items()}
    fresh = statistics.describe(new.table.select([n for n in new.columns if n not in known]))
    return {name: known.get(name) or fresh[name] for name in new.columns}
