"""What days of backups are made of: a shop's versions, its rows, and the copies of its objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from everloop.data.examples.customers import customers
from everloop.flows import data
from everloop.flows.project import Project
from everloop.store import models
from everloop.store.tables import BACKED_UP

SETTINGS = """
models:
  default: {data: {example: {name: customers, rows: 300}}, target: churned, exclude: [signup_date]}
tracking: {enabled: false}
backup: {to: ../backups, every: 6h}
"""

Open = Callable[..., Project]


def register(project: Project, seed: int) -> str:
    return data.register(project, customers(rows=60, seed=seed), "sales").version.version_id


def promote(project: Project, version: str) -> None:
    with project.store.writing() as tx:
        models.set_alias(tx, "default", "champion", version, "t")


def state(project: Project) -> dict[str, list[dict[str, Any]]]:
    """All rows, without the lines that backups themselves add to the history."""
    with project.store.snapshot() as tx:
        rows = {table.name: [dict(row) for row in tx.each(table)] for table in BACKED_UP}
    rows["events"] = [row for row in rows["events"] if row["model"] != "backup"]
    return rows


def versions(project: Project) -> list[str]:
    """Each is loaded, so each is there."""
    found = data.list_versions(project)
    assert all(data.load(project, version).num_rows == version.rows for version in found)
    return [version.version_id for version in found]


def copied(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "backups" / "default" / "objects").glob("*/*")}


def models_of(project: Project) -> list[Any]:
    with project.store.reading() as tx:
        return models.list_runs(tx)


def flip(path: Path, at: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
