"""The append-only history of a model, and the history of its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select

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
        environment=(details or {}).get("environment"),
    )


def list_events(
    tx: Tx,
    model: str | None = None,
    limit: int | None = None,
    *,
    kind: str | None = None,
    environment: str | None = None,
    until: datetime | None = None,
) -> list[Event]:
    """Oldest first; with ``limit`` the newest ones of them. Those of an ``environment`` are its releases."""
    wanted = [events.c.model == model] if model else []
    wanted += [events.c.kind == kind] if kind else []
    wanted += [events.c.environment == environment] if environment else []
    wanted += [events.c.at <= to_text(until)] if until else []
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


def known_metrics(tx: Tx, model: str, until: datetime, versions: Sequence[str]) -> list[Row]:
    """The newest value of each metric that was measured until a moment, by name: of these versions, or of
    none in particular."""
    of = or_(metrics.c.model_version.is_(None), metrics.c.model_version.in_(versions))
    found: list[Row] = []
    name = ""
    while True:
        following = select(func.min(metrics.c.name).label("name"))
        after = tx.select(following.where(metrics.c.model == model, metrics.c.name > name), metrics)
        if after[0]["name"] is None:
            return found
        name = after[0]["name"]
        wanted = (metrics.c.model == model, metrics.c.name == name, metrics.c.at <= to_text(until), of)
        order = (metrics.c.at.desc(), metrics.c.sequence.desc())
        found += tx.select(select(metrics).where(*wanted).order_by(*order).limit(1), metrics)


def list_metrics(tx: Tx, model: str, name: str | None = None) -> list[Row]:
    """Oldest first."""
    wanted = [metrics.c.model == model]
    if name:
        wanted.append(metrics.c.name == name)
    return list(tx.rows(metrics, *wanted))
