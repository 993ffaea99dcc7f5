"""What waits to be delivered, each entry once: to the tracking server, in order; and messages of alerts, each
when it is due. Neither waits for the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from .database import Row, Tx
from .tables import outbox
from .times import to_text

ALERT = "alert"
_TRACKING = outbox.c.kind != ALERT
_WAITING = (outbox.c.delivered_at.is_(None), outbox.c.rejected_at.is_(None))


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
    """Entries for the tracking server, not yet delivered nor rejected, in order."""
    return list(tx.rows(outbox, _TRACKING, *_WAITING, limit=limit))


def rejected(tx: Tx) -> list[Row]:
    return list(tx.rows(outbox, _TRACKING, outbox.c.rejected_at.is_not(None)))


def count_waiting(tx: Tx) -> int:
    return tx.count(outbox, _TRACKING, *_WAITING)


def mark_delivered(tx: Tx, sequence: int, at: datetime) -> None:
    tx.change(outbox, outbox.c.sequence == sequence, delivered_at=to_text(at), last_error=None)


def mark_failed(tx: Tx, sequence: int, error: str) -> None:
    tx.change(outbox, outbox.c.sequence == sequence, attempts=outbox.c.attempts + 1, last_error=error)


def mark_rejected(tx: Tx, sequence: int, error: str, at: datetime) -> None:
    """The server understood the entry and will never take it: the ones behind it go on."""
    tx.change(outbox, outbox.c.sequence == sequence, rejected_at=to_text(at), last_error=error)


def send_again(tx: Tx) -> int:
    """Let everything that the tracking server got wait again; returns how much that is."""
    return tx.change(outbox, _TRACKING, outbox.c.delivered_at.is_not(None), delivered_at=None)


# -- messages of alerts ------------------------------------------------------------------------------------


def messages(tx: Tx, limit: int | None = None) -> list[Row]:
    """Those that wait, the oldest first."""
    return list(tx.rows(outbox, outbox.c.kind == ALERT, *_WAITING, limit=limit))


def failed_messages(tx: Tx, alert_id: str) -> list[Row]:
    """Those of an alert that could not be delivered so far, or were given up."""
    wrong = (outbox.c.delivered_at.is_(None), outbox.c.last_error.is_not(None))
    return list(tx.rows(outbox, outbox.c.kind == ALERT, _of_alert(alert_id), *wrong))


def of_alert(tx: Tx, alert_id: str, channel: str) -> list[Row]:
    """All of an alert to a channel, the oldest first."""
    rows = tx.rows(outbox, outbox.c.kind == ALERT, _of_alert(alert_id))
    return [row for row in rows if row["document"]["channel"] == channel]


def _of_alert(alert_id: str) -> ColumnElement[bool]:
    return outbox.c.key.like(f"alert/%/{alert_id}-%")


def count_messages(tx: Tx, since: datetime) -> tuple[int, int]:
    """How many messages wait, and how many were given up since then."""
    given_up = outbox.c.rejected_at >= to_text(since)
    return (
        tx.count(outbox, outbox.c.kind == ALERT, *_WAITING),
        tx.count(outbox, outbox.c.kind == ALERT, given_up),
    )


def given_up(tx: Tx, since: datetime) -> list[Row]:
    return list(tx.rows(outbox, outbox.c.kind == ALERT, outbox.c.rejected_at >= to_text(since)))


def put_off(tx: Tx, entry: Row, error: str, until: datetime) -> None:
    """A message could not be delivered: it is tried again, not before ``until``."""
    document = {**entry["document"], "not_before": to_text(until)}
    changed = {"document": document, "attempts": outbox.c.attempts + 1, "last_error": error}
    tx.change(outbox, outbox.c.sequence == entry["sequence"], **changed)


def digests(tx: Tx, channel: str) -> list[Row]:
    """The digests of a channel, the newest first."""
    begins = digest_key(channel, "")
    wanted = (outbox.c.kind == ALERT, outbox.c.key.startswith(begins, autoescape=True))
    return [row for row in tx.rows(outbox, *wanted, newest=True) if row["key"].startswith(begins)]


def digest_key(channel: str, number: int | str) -> str:
    return f"alert/digest/{channel}/{number}"
