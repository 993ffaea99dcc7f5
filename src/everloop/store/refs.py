"""Names in a dataset's history: where tags and branches stand, and where they stood before.

``main`` is always there: of a dataset that has no row for it, its head is the newest version.
"""

from __future__ import annotations

from datetime import datetime

from everloop.core.data import DataMove, DataRef
from everloop.data.names import MAIN

from .database import Row, Tx
from .tables import data_moves, data_refs, dataset_versions
from .times import to_text


def head(tx: Tx, dataset: str, branch: str = MAIN) -> str | None:
    """The version id that a branch stands at; None where there is no such branch."""
    ref = find_ref(tx, dataset, branch)
    return ref.version_id if ref and ref.kind == "branch" else None


def find_ref(tx: Tx, dataset: str, name: str) -> DataRef | None:
    row = tx.row(data_refs, data_refs.c.dataset == dataset, data_refs.c.name == name)
    if row is not None:
        return _ref(row)
    return _implied(tx, dataset) if name == MAIN else None


def list_refs(tx: Tx, dataset: str | None = None, kind: str | None = None) -> list[DataRef]:
    """By dataset and name."""
    wanted = [data_refs.c.dataset == dataset] if dataset is not None else []
    wanted += [data_refs.c.kind == kind] if kind is not None else []
    found = [_ref(row) for row in tx.rows(data_refs, *wanted, by="name")]
    return sorted(found, key=lambda ref: (ref.dataset, ref.kind, ref.name != MAIN, ref.name))


def move(tx: Tx, ref: DataRef, reason: str) -> None:
    """Put a name where ``ref`` says, and remember that it came there."""
    tx.put(
        data_refs,
        dataset=ref.dataset,
        name=ref.name,
        kind=ref.kind,
        version_id=ref.version_id,
        updated_at=to_text(ref.updated_at),
        updated_by=ref.updated_by,
    )
    _remember(tx, ref, ref.version_id, reason)


def remove(tx: Tx, ref: DataRef, *, at: datetime, by: str, reason: str) -> None:
    tx.remove(data_refs, data_refs.c.dataset == ref.dataset, data_refs.c.name == ref.name)
    _remember(tx, DataRef(ref.dataset, ref.name, ref.kind, ref.version_id, at, by), None, reason)


def list_moves(tx: Tx, dataset: str) -> list[DataMove]:
    """Oldest first."""
    return [_move(row) for row in tx.rows(data_moves, data_moves.c.dataset == dataset)]


def lost(tx: Tx) -> list[DataRef]:
    """Names that came somewhere and were never taken away, and that stand nowhere now, as they stood last."""
    standing = {(ref.dataset, ref.name) for ref in list_refs(tx)}
    last = {(row["dataset"], row["name"]): row for row in tx.each(data_moves)}
    return [
        DataRef(*name, row["kind"], row["version_id"], datetime.fromisoformat(row["at"]), row["by"])
        for name, row in last.items()
        if row["version_id"] is not None and name not in standing
    ]


def stood_at(tx: Tx, dataset: str, moment: datetime, name: str = MAIN) -> str | None:
    """The version that a name stood at then; None where it did not exist yet or any more."""
    columns = data_moves.c
    wanted = (columns.dataset == dataset, columns.name == name, columns.at <= to_text(moment))
    rows = tx.rows(data_moves, *wanted, newest=True, limit=1)
    return rows[0]["version_id"] if rows else None


def _remember(tx: Tx, ref: DataRef, version_id: str | None, reason: str) -> None:
    tx.add(
        data_moves,
        dataset=ref.dataset,
        sequence=tx.next_sequence(data_moves, data_moves.c.dataset == ref.dataset),
        name=ref.name,
        kind=ref.kind,
        version_id=version_id,
        at=to_text(ref.updated_at),
        by=ref.updated_by,
        reason=reason,
    )


def _implied(tx: Tx, dataset: str) -> DataRef | None:
    rows = tx.rows(
        dataset_versions,
        dataset_versions.c.dataset == dataset,
        newest=True,
        limit=1,
        only=("version_id", "created_at"),
    )
    if not rows:
        return None
    at = datetime.fromisoformat(rows[0]["created_at"])
    return DataRef(dataset, MAIN, "branch", rows[0]["version_id"], at, "")


def _ref(row: Row) -> DataRef:
    at = datetime.fromisoformat(row["updated_at"])
    return DataRef(row["dataset"], row["name"], row["kind"], row["version_id"], at, row["updated_by"])


def _move(row: Row) -> DataMove:
    names = ("dataset", "sequence", "name", "kind", "version_id", "by", "reason")
    return DataMove(**{name: row[name] for name in names}, at=datetime.fromisoformat(row["at"]))
