"""Compare two data versions: schema, rows, cells and statistics."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.core.errors import WrongType
from everloop.data.diff import Load, Side, diff

from . import data
from .project import Project


def compare(
    project: Project,
    before: DatasetVersion,
    after: DatasetVersion,
    *,
    key: Sequence[str] | None = None,
    examples: int = 20,
) -> DatasetDiff:
    """What changed between two versions, reading column after column.

    ``key``: the columns that tell rows apart; None takes one that is unique in both, if there is one; empty
    compares whole rows. Raises UnknownColumn, WrongType, Corrupt.
    """
    return diff(side(project, before), side(project, after), key=key, examples=examples)


def side(project: Project, version: DatasetVersion) -> Side:
    """A version to compare. Raises WrongType for one of files, which has no rows."""
    if version.kind != "table":
        raise WrongType(
            f"{version.dataset}@{version.short} is a version of files, not a table.",
            remedy="Only tables are compared row by row.",
        )
    return Side(version, _column(project, version))


def _column(project: Project, version: DatasetVersion) -> Load:
    def load(name: str) -> pa.ChunkedArray:
        return data.load(project, version, [name]).column(0)

    return load
