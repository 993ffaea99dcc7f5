"""Data versions for Python: register a table, load it by its id, compare two."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.core.documents import dump
from everloop.core.errors import Invalid, UnknownVersion
from everloop.core.files import File, FilesDiff
from everloop.data import frames
from everloop.flows import comparison, data, files, refs, upkeep
from everloop.flows.content.verifying import Verification

from .places import absolute, close_with, open_place


class VersionMeta(TypedDict):
    """What is known of a data version. ``schema``: column -> logical type; ``feature_means``: of columns that
    have one; ``statistics``: column -> count, missing, mean, std, minimum, maximum, quantiles, levels."""

    version_id: str
    dataset: str
    sequence: int
    row_count: int
    schema: dict[str, str]
    feature_means: dict[str, float]
    statistics: dict[str, dict[str, Any]]
    parent: str | None
    created_at: str
    created_by: str
    source: str
    hash_algorithm: str
    tags: dict[str, str]


class DataVersioner:
    """Versions of datasets, named by the hash of their content.

    Args:
        folder: where contents are [the project's in the working folder]. A folder that the project's
            configuration names as ``paths.data_versions`` shares the versions that turns have made.
        dataset: what ``register`` adds to.
        hash_algorithm: sha256, sha512, blake2b … [the configuration's].
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        dataset: str = "default",
        tenant_id: str | None = None,
        hash_algorithm: str | None = None,
    ) -> None:
        chosen = {"hash_algorithm": hash_algorithm} if hash_algorithm else {}
        self.dataset = dataset
        self._project = open_place(folder, "data_versions", tenant_id, {"data_versioning": chosen})
        close_with(self, self._project)

    def register(
        self,
        source: object,
        *,
        tags: Mapping[str, str] | None = None,
        described_as: str | None = None,
        branch: str = "main",
    ) -> str:
        """The version id of a table (pandas, Polars, Arrow) or file. The same content twice is one version.
        ``branch`` then stands at it; one that is not there begins at main's head.

        A pandas index and ``attrs`` are no content: ``load`` gives back those that came first with it. Call
        ``reset_index()`` first where the index matters.

        Raises EmptyTable, DuplicateColumns, WrongType, Invalid, and for files FileMissing and Unreadable.
        """
        place = absolute(source)
        texts = _texts(tags)
        return data.register(
            self._project, place, self.dataset, tags=texts, described_as=described_as, branch=branch
        ).version.version_id

    def load(
        self,
        version_id: str,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[tuple[str, str, Any]] = (),
        start: int = 0,
        stop: int | None = None,
        into: str = "pandas",
    ) -> tuple[Any, VersionMeta]:
        """A version's table and what is known of it. ``version_id`` may be the beginning of one, a
        tag or branch of the dataset, or ``latest``.

        ``columns``, the rows from ``start`` to before ``stop``, and conditions, such as ``("city", "in",
        ["Rome", "Oslo"])`` or ``("amount", ">=", 100)``, choose a part of it; only that part is read.
        ``into`` is "pandas", "arrow" or "polars". Raises UnknownVersion, UnknownColumn, Invalid, WrongType,
        and Corrupt when what is stored was damaged.
        """
        version = self._find(version_id)
        table = data.load(self._project, version, columns, start=start, stop=stop, where=where)
        return frames.convert(table, into), _meta(version)

    def reader(self, version_id: str, *, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """A version's table as a stream of batches, for tables larger than memory. DuckDB, Polars and
        ``pyarrow.dataset`` take it; iterating gives record batches."""
        return data.reader(self._project, self._find(version_id), columns)

    def list_versions(self) -> list[VersionMeta]:
        """The dataset's versions, oldest first."""
        return [_meta(version) for version in data.list_versions(self._project, self.dataset)]

    def diff(self, before: str, after: str, *, key: Sequence[str] | str | None = None) -> DatasetDiff:
        """What changed between two versions: schema, rows, cells, statistics.

        ``key`` names the columns that tell rows apart [one that is unique in both]; empty: whole rows.
        Raises UnknownColumn, WrongType.
        """
        columns = [key] if isinstance(key, str) else key
        if columns is not None and not (
            isinstance(columns, Sequence) and all(isinstance(name, str) for name in columns)
        ):
            raise Invalid(f"{key!r} is no key.", remedy='Write the names of columns: key=["id"].')
        return comparison.compare(self._project, self._find(before), self._find(after), key=columns)

    def register_files(
        self,
        source: str | Path,
        *,
        tags: Mapping[str, str] | None = None,
        described_as: str | None = None,
        branch: str = "main",
        reread: bool = False,
    ) -> str:
        """The version id of any file, or of a folder with everything in it, kept as it is. Files that did not
        change since they were last read are not read again, unless ``reread``.

        Raises FileMissing, Unreadable, StorageDenied, and Conflict when a file changes while it is read.
        """
        texts = _texts(tags)
        data.check_name(self._project, self.dataset)
        return files.register_files(
            self._project,
            str(absolute(source)),
            self.dataset,
            tags=texts,
            described_as=described_as,
            branch=branch,
            reread=reread,
        ).version.version_id

    def list_files(self, version_id: str, paths: Sequence[str] = ()) -> list[File]:
        """The files of a version, all or those that ``paths`` (patterns such as ``cats/*``) name."""
        return files.list_files(self._project, self._find(version_id), paths)

    def open_file(self, version_id: str, path: str) -> io.BufferedReader:
        """A file of a version, to be read from any place; only the parts that are read are fetched."""
        return files.open_file(self._project, self._find(version_id), path)

    def get_files(
        self, version_id: str, to: str | Path, paths: Sequence[str] = (), *, force: bool = False
    ) -> Path:
        """Write the files of a version into a folder. Raises Refused where other files are in the way, unless
        ``force``; Corrupt before a damaged file gets its name."""
        target = Path(str(absolute(to)))
        return files.restore(self._project, self._find(version_id), target, paths=paths, force=force).folder

    def diff_files(self, before: str, after: str) -> FilesDiff:
        """Which files were added, removed, changed and renamed between two versions of files."""
        return files.compare(self._project, self._find(before), self._find(after))

    def tag(self, version_id: str, name: str, *, move: bool = False) -> None:
        """Call a version ``name`` for good: ``DATASET@NAME`` then means it. Raises Conflict where the tag
        stands elsewhere and ``move`` is not said."""
        refs.tag(self._project, self._spelt(version_id), name, move=move)

    def branch(self, name: str, start: str | None = None, *, move: bool = False) -> None:
        """Begin a branch at ``start`` [the head of main], or with ``move`` put one there."""
        begin = self._spelt(start) if start else None
        refs.branch(self._project, name, start=begin, dataset=self.dataset, move=move)

    def rollback(self, version_id: str, *, branch: str = "main", reason: str = "") -> None:
        """Let the dataset, or a branch of it, stand at an earlier version; no version goes away."""
        refs.rollback(self._project, self.dataset, version_id, branch=branch, reason=reason)

    def names(self) -> dict[str, str]:
        """The dataset's tags and branches: name -> version id."""
        every = refs.list_refs(self._project)
        return {ref.name: ref.version_id for ref in every if ref.dataset == self.dataset}

    def verify(self, *, full: bool = False) -> Verification:
        """Whether what is stored is what was written: ``sound``, and ``damages`` with what each touches.

        ``full`` also decodes every version, computes its id anew, and hashes models and plots.
        """
        return upkeep.verify(self._project, full=full)

    def close(self) -> None:
        self._project.close()

    def _find(self, version_id: str) -> DatasetVersion:
        try:
            return data.find(self._project, str(version_id), self.dataset)
        except UnknownVersion:
            return data.find(self._project, str(version_id))

    def _spelt(self, version_id: str) -> str:
        found = self._find(version_id)
        return f"{found.dataset}@{found.version_id}"


def _texts(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Tags as texts."""
    if tags is not None and not isinstance(tags, Mapping):
        raise Invalid(f"{tags!r} are no tags.", remedy='Write tags={"source": "billing"}.')
    return {str(name): str(value) for name, value in (tags or {}).items()}


def _meta(version: DatasetVersion) -> VersionMeta:
    statistics = {name: dump(column) for name, column in version.statistics.items()}
    means = {name: column.mean for name, column in version.statistics.items()}
    return VersionMeta(
        version_id=version.version_id,
        dataset=version.dataset,
        sequence=version.sequence,
        row_count=version.rows,
        schema={column.name: column.type for column in version.columns},
        feature_means={name: mean for name, mean in means.items() if mean is not None},
        statistics=statistics,
        parent=version.parent,
        created_at=version.created_at.isoformat(),
        created_by=version.created_by,
        source=version.source,
        hash_algorithm=version.hash_algorithm,
        tags=dict(version.tags),
    )
