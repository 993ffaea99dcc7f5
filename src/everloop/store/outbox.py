"""What waits to be delivered to the tracking server: in order, each entry once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .database import Row, Tx
from .tables import outbox
from .times import to_text


def post(tx: Tx, kind: str, key: str, document: Mapping[str, Any], at: datetime) -> None:
    """Add an entry; one with the same key is added once only."""
    tx.add_once(
        outbox,
        ["key"],
        kind=kind,
        key=key,
        document={"format": 1, **document},
        created_at=to_text(at),
        attempts=0,
    )


def waiting(tx: Tx, limit: int | None = None) -> list[Row]:
    """Entries not yet delivered nor rejected, in order."""
    open_ = (outbox.c.delivered_at.is_(None), outbox.c.rejected_at.is_(None))
    return list(tx.rows(outbox, *open_, limit=limit))


def rejected(tx: Tx) -> list[Row]:
    return list(tx.rows(outbox, outbox.c.rejected_at.is_not(None)))


def count_waiting(tx: Tx) -> int:
    return tx.count(outbox, outbox.c.delivered_at.is_(None), outbox.c.rejected_at.is_(None))


def mark_delivered(tx: Tx, sequence: int, at: datetime) -> None:
    tx.change(outbox, outbox.c.sequence == sequence, delivered_at=to_text(at), last_error=None)


def mark_failed(tx: Tx, sequence: int, error: str) -> None:
    tx.change(outbox, outbox.c.sequence == sequence, attempts=outbox.c.attempts + 1, last_error=error)


def mark_rejected(tx: Tx, sequence: int, error: str, at: datetime) -> None:
    """The server understood the entry and will never take it: the ones behind it go on."""
    tx.change(outbox, outbox.c.sequence == sequence, rejected_at=to_text(at), last_error=error)


def send_again(tx: Tx) -> int:
    """Let everything that was delivered wait again; returns how much that is."""
    return tx.change(outbox, outbox.c.delivered_at.is_not(None), delivered_at=None)
