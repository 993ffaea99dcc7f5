"""Data versions for Python: register a table, load it by its id, compare two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.core.documents import dump
from everloop.flows import data

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
        self, source: object, *, tags: Mapping[str, str] | None = None, described_as: str | None = None
    ) -> str:
        """The version id of a table (pandas, Polars, Arrow) or file. The same content twice is one version.

        Raises EmptyTable, DuplicateColumns, WrongType, and for files FileMissing and Unreadable.
        """
        place = absolute(source)
        texts = {str(name): str(value) for name, value in (tags or {}).items()}
        return data.register(
            self._project, place, self.dataset, tags=texts, described_as=described_as
        ).version.version_id

    def load(self, version_id: str) -> tuple[pd.DataFrame, VersionMeta]:
        """A version's table and what is known of it. ``version_id`` may be the beginning of one, or
        ``DATASET@latest``. Raises UnknownVersion, and Corrupt when the stored content was damaged."""
        version = self._find(version_id)
        frame: pd.DataFrame = data.load(self._project, version).to_pandas()
        return frame, _meta(version)

    def list_versions(self) -> list[VersionMeta]:
        """The dataset's versions, oldest first."""
        return [_meta(version) for version in data.list_versions(self._project, self.dataset)]

    def diff(self, before: str, after: str) -> DatasetDiff:
        """What changed between two versions: rows, columns, statistics."""
        return data.compare(self._project, self._find(before), self._find(after))

    def close(self) -> None:
        self._project.close()

    def _find(self, version_id: str) -> DatasetVersion:
        return data.find(self._project, str(version_id))


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
