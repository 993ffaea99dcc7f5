"""What refers to data versions, and how a version is taken out of the database."""

from __future__ import annotations

import json

from .database import Tx
from .tables import dataset_versions, dvc_files, events, references, steps, turns


def holders(tx: Tx) -> dict[str, list[str]]:
    """The datasets that have each version, by its id."""
    found: dict[str, list[str]] = {}
    for row in tx.rows(dataset_versions, by="version_id", only=("version_id", "dataset")):
        found.setdefault(row["version_id"], []).append(row["dataset"])
    return found


def is_registered(tx: Tx, version_id: str) -> bool:
    """Whether some dataset has a version, whether or not what the database says of it can be read."""
    return tx.count(dataset_versions, dataset_versions.c.version_id == version_id) > 0


def references_to(tx: Tx, version_id: str) -> list[str]:
    """The models whose later data are compared with this version."""
    found = tx.rows(references, references.c.data_version == version_id, by="model", only=("model",))
    return [str(row["model"]) for row in found]


def unfinished_with(tx: Tx, named: str) -> list[str]:
    """The turns that were begun and not ended, in whose plan or results ``named`` stands."""
    found = []
    for turn in tx.rows(turns, turns.c.status == "running", by="started_at"):
        done = tx.rows(steps, steps.c.turn_id == turn["turn_id"], by="position")
        if named in json.dumps([turn["plan"], *(step["result"] for step in done)]):
            found.append(str(turn["turn_id"]))
    return found


def dvc_paths(tx: Tx, dataset: str, version_id: str) -> list[str]:
    """The files under DVC that are this version."""
    chosen = (dvc_files.c.dataset == dataset, dvc_files.c.version_id == version_id)
    return list(dict.fromkeys(str(row["path"]) for row in tx.rows(dvc_files, *chosen, by="at")))


def take_out(tx: Tx, dataset: str, version_id: str) -> None:
    """Remove a version's row, and which of DVC's files it is."""
    for table in (dvc_files, dataset_versions):
        tx.remove(table, table.c.dataset == dataset, table.c.version_id == version_id)


def removed(tx: Tx) -> set[str]:
    """The ids of versions that were taken out, by the history."""
    found = tx.rows(events, events.c.kind == "removed", only=("sequence", "details"))
    return {str(row["details"].get("version_id")) for row in found}
