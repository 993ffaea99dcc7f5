"""What a registration gives back, and how its version is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from everloop.core.data import DatasetVersion
from everloop.flows.project import Project
from everloop.store import datasets, refs
from everloop.store.database import Tx

from . import tables


@dataclass(frozen=True)
class Registered:
    """A registered version with its table (of files: their listing; None of a table that was too large to be
    held in memory). ``new`` is false when the same content was there already."""

    version: DatasetVersion
    table: pa.Table | None
    new: bool


def base_of(tx: Tx, dataset: str, branch: str, parent: str | None) -> DatasetVersion | None:
    """The version that a new one is compared with."""
    if parent is not None:
        return datasets.known_version(tx, parent, dataset)
    there = refs.find_ref(tx, dataset, branch)
    head = there.version_id if there else refs.head(tx, dataset)
    return datasets.known_version(tx, head, dataset) if head else None


def record(
    project: Project, version: DatasetVersion, branch: str, keep_again: Callable[[], object]
) -> DatasetVersion:
    """Record a version whose content is kept, and put the branch there. ``keep_again`` keeps it once more,
    should a collection have taken it for what a registration that was killed had left."""
    while True:
        with project.store.writing() as tx:
            if tables.is_kept(project, tx, version.version_id):
                return datasets.add_version(tx, version, branch, at=project.clock.now(), by=project.user)
        keep_again()
