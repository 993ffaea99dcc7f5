"""Dataset versions and contracts."""

from __future__ import annotations

from dataclasses import replace

from everloop.core.contracts import Contract
from everloop.core.data import DatasetVersion
from everloop.core.documents import dump, load
from everloop.core.errors import UnknownVersion, nearest

from .database import Tx
from .tables import contracts, dataset_versions
from .times import to_text


def add_version(tx: Tx, version: DatasetVersion) -> DatasetVersion:
    """Record a version once: the same content again gives the version that is there."""
    tx.lock(f"dataset/{version.dataset}")
    table = dataset_versions
    known = tx.row(table, table.c.dataset == version.dataset, table.c.version_id == version.version_id)
    if known is not None:
        return load(DatasetVersion, known["document"])
    newest = tx.rows(table, table.c.dataset == version.dataset, newest=True, limit=1)
    placed = replace(
        version,
        sequence=newest[0]["sequence"] + 1 if newest else 1,
        parent=newest[0]["version_id"] if newest else None,
    )
    tx.add(
        table,
        dataset=placed.dataset,
        version_id=placed.version_id,
        sequence=placed.sequence,
        created_at=to_text(placed.created_at),
        document=dump(placed),
    )
    return placed


def versions(tx: Tx, dataset: str | None = None) -> list[DatasetVersion]:
    table = dataset_versions
    wanted = [table.c.dataset == dataset] if dataset else []
    return [load(DatasetVersion, row["document"]) for row in tx.rows(table, *wanted, by="created_at")]


def datasets(tx: Tx) -> list[str]:
    return tx.distinct(dataset_versions, "dataset")


def known_version(tx: Tx, version_id: str, dataset: str | None = None) -> DatasetVersion | None:
    """The version with exactly this id, read alone: with its statistics each is a large document."""
    table = dataset_versions
    wanted = [table.c.version_id == version_id, *([table.c.dataset == dataset] if dataset else [])]
    rows = tx.rows(table, *wanted, by="created_at", limit=1)
    return load(DatasetVersion, rows[0]["document"]) if rows else None


def find_version(tx: Tx, version_id: str, dataset: str | None = None) -> DatasetVersion:
    """The version with this id, a unique beginning of one (4 characters or more), or ``DATASET@latest``."""
    table = dataset_versions
    name, _, spec = version_id.partition("@")
    if spec:
        dataset, version_id = name, spec
    known = known_version(tx, version_id, dataset)
    if known is not None:
        return known
    found = versions(tx, dataset)
    if version_id == "latest" and found:
        return found[-1]
    matching = [v for v in found if len(version_id) >= 4 and v.version_id.startswith(version_id)]
    if len({v.version_id for v in matching}) > 1:
        shown = ", ".join(v.short for v in matching[:5])
        raise UnknownVersion(
            f"'{version_id}' is the beginning of several versions: {shown}.", remedy="Give more of it."
        )
    if matching:
        return matching[0]
    there = tx.count(table)
    raise UnknownVersion(
        f"There is no data version '{version_id}'.",
        remedy=nearest(version_id, [v.short for v in found[-12:]])
        + (" 'everloop data list' shows all." if there else " 'everloop data add FILE' makes the first."),
    )


def add_contract(tx: Tx, model: str, contract: Contract, at: str) -> None:
    """Record the contract that a model's data are checked against, if it is not the newest already."""
    if newest_contract(tx, model) == contract:
        return
    sequence = tx.next_sequence(contracts, contracts.c.model == model)
    tx.add(contracts, model=model, sequence=sequence, created_at=at, document=dump(contract))


def newest_contract(tx: Tx, model: str) -> Contract | None:
    rows = tx.rows(contracts, contracts.c.model == model, newest=True, limit=1)
    return load(Contract, rows[0]["document"]) if rows else None
