"""Everloop's side of the bench: a project in a folder, through its public functions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from everloop import wiring
from everloop.core.data import DatasetVersion
from everloop.flows import data, refs, upkeep
from everloop.flows.project import Project
from everloop.settings.loading import folder_settings

from .measure import Cost, best, cost, quiet_cost

DATASET = "history"


def open_in(folder: Path, tree: dict[str, Any] | None = None) -> Project:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    return wiring.connect(folder_settings(folder, tree or {}))


def register(project: Project, table: pa.Table) -> DatasetVersion:
    """The version alone: what else came back is let go."""
    return data.register(project, table, DATASET).version


def stored_bytes(project: Project) -> int:
    """Every file that keeps data versions: content, manifests, hashes of rows."""
    return sum(entry.size for entry in project.data.entries())


def stored_files(project: Project) -> list[Path]:
    return [Path(project.data.where(entry.key)) for entry in project.data.entries()]


def database_bytes(project: Project) -> int:
    """The metadata, with what SQLite has not yet folded in."""
    return sum(path.stat().st_size for path in project.settings.state.glob("everloop.db*"))


def checks(project: Project) -> dict[str, Cost]:
    """Seconds of checking the whole store: bytes against their hashes, and every version's id anew."""
    return {
        "fast": best(cost(lambda: upkeep.verify(project)) for _ in range(5)),
        "full": best(cost(lambda: upkeep.verify(project, full=True)) for _ in range(2)),
    }


def notices_damage(project: Project) -> bool:
    return not upkeep.verify(project).sound


def rollbacks(project: Project, versions: dict[int, DatasetVersion]) -> list[Cost]:
    """Seconds of letting the dataset's main branch stand at its 10th version and at the 20th again."""

    def roll(number: int) -> None:
        refs.rollback(project, DATASET, versions[number].version_id)

    return [quiet_cost(lambda number=number: roll(number)) for number in (10, 20) * 5]


def batches(project: Project, version: DatasetVersion) -> Iterator[pa.Table]:
    """A version in parts."""
    yield from data.batches(project, version)
