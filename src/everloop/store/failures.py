"""Requests that an arm of a gradual release could not answer, or whose inputs it refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from .database import Row, Tx
from .tables import failures
from .times import to_text

COLUMNS = (
    *("failure_id", "at", "model", "version", "variant", "release_id", "unit", "kind", "request_id"),
    "error",
)
_F = failures.c
_MANY = 500


def add(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows of ``COLUMNS``, those whose id is known excepted; returns how many were new."""
    return tx.add_new(failures, COLUMNS, rows)


def is_known(tx: Tx, failure_id: str) -> bool:
    return tx.row(failures, _F.failure_id == failure_id) is not None


def list_failures(tx: Tx, release_id: str, limit: int | None = None) -> list[Row]:
    """Of a release, the newest first."""
    return list(tx.rows(failures, _F.release_id == release_id, newest=True, by="at", limit=limit))


def prune(tx: Tx, before: datetime, limit: int) -> int:
    """Delete at most ``limit`` from before a time; returns how many."""
    chosen = select(_F.failure_id).where(_F.at < to_text(before)).limit(limit)
    ids = [row["failure_id"] for row in tx.select(chosen, failures)]
    return sum(
        tx.remove(failures, _F.failure_id.in_(ids[start : start + _MANY]))
        for start in range(0, len(ids), _MANY)
    )
