"""Data versions for Python: register a table, load it by its id, compare two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.core.documents import dump
from everloop.core.errors import UnknownVersion
from everloop.flows import comparison, data, refs

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

        Raises EmptyTable, DuplicateColumns, WrongType, and for files FileMissing and Unreadable.
        """
        place = absolute(source)
        texts = {str(name): str(value) for name, value in (tags or {}).items()}
        return data.register(
            self._project, place, self.dataset, tags=texts, described_as=described_as, branch=branch
        ).version.version_id

    def load(self, version_id: str) -> tuple[pd.DataFrame, VersionMeta]:
        """A version's table and what is known of it. ``version_id`` may be the beginning of one, a
        tag or branch of the dataset, or ``latest``. Raises UnknownVersion, and Corrupt when what is stored
        was damaged."""
        version = self._find(version_id)
        frame: pd.DataFrame = data.load(self._project, version).to_pandas()
        return frame, _meta(version)

    def list_versions(self) -> list[VersionMeta]:
        """The dataset's versions, oldest first."""
        return [_meta(version) for version in data.list_versions(self._project, self.dataset)]

    def diff(self, before: str, after: str, *, key: Sequence[str] | str | None = None) -> DatasetDiff:
        """What changed between two versions: schema, rows, cells, statistics.

        ``key`` names the columns that tell rows apart [one that is unique in both]; empty: whole rows.
        Raises UnknownColumn, WrongType.
        """
        columns = key if key is None else [key] if isinstance(key, str) else list(key)
        return comparison.compare(self._project, self._find(before), self._find(after), key=columns)

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
