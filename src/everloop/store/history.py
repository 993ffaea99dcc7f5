"""The append-only history of a model, and the history of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from everloop.core.models import Event

from .database import Row, Tx
from .tables import events, metrics
from .times import to_text


def append(
    tx: Tx,
    model: str,
    kind: str,
    summary: str,
    *,
    at: datetime,
    by: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add one line. ``kind`` is a past participle: versioned, decided, trained, judged, promoted …"""
    tx.add(
        events,
        model=model,
        kind=kind,
        at=to_text(at),
        by=by,
        summary=summary,
        details={"format": 1, **(details or {})},
    )


def list_events(tx: Tx, model: str | None = None, limit: int | None = None) -> list[Event]:
    """Oldest first; with ``limit`` the newest ones of them."""
    wanted = [events.c.model == model] if model else []
    rows = tx.rows(events, *wanted, newest=True, limit=limit)
    return [_event(row) for row in reversed(rows)]


def _event(row: Row) -> Event:
    details = {name: value for name, value in row["details"].items() if name != "format"}
    at = datetime.fromisoformat(row["at"])
    return Event(row["sequence"], row["model"], row["kind"], at, row["by"], row["summary"], details)


def add_metrics(
    tx: Tx,
    model: str,
    values: Mapping[str, float],
    *,
    at: datetime,
    rows: int | None = None,
    data_version: str | None = None,
    model_version: str | None = None,
    turn_id: str | None = None,
) -> None:
    shared = {
        "model": model,
        "at": to_text(at),
        "rows": rows,
        "data_version": data_version,
        "model_version": model_version,
        "turn_id": turn_id,
    }
    tx.add_all(metrics, [{"name": name, "value": value, **shared} for name, value in values.items()])


def measured(tx: Tx) -> list[str]:
    """The names of all models that have a metric."""
    return tx.distinct(metrics, "model")


def list_metrics(tx: Tx, model: str, name: str | None = None) -> list[Row]:
    """Oldest first."""
    wanted = [metrics.c.model == model]
    if name:
        wanted.append(metrics.c.name == name)
    return list(tx.rows(metrics, *wanted))
