"""Turns of the loop and their steps: the journal that a killed turn is resumed from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from everloop.core.errors import Overtaken, UnknownVersion

from .database import Row, Tx
from .tables import steps, turns
from .times import to_text

Document = Mapping[str, Any]


def open_turn(tx: Tx, turn_id: str, model: str, plan: Document, at: datetime) -> None:
    tx.add(
        turns,
        turn_id=turn_id,
        model=model,
        status="running",
        started_at=to_text(at),
        plan={"format": 1, **plan},
    )


def unfinished(tx: Tx, model: str) -> Row | None:
    """The turn of this model that was begun and neither ended nor failed."""
    found = tx.rows(turns, turns.c.model == model, turns.c.status == "running", newest=True, by="started_at")
    return found[0] if found else None


def find_turn(tx: Tx, turn_id: str) -> Row:
    row = tx.row(turns, turns.c.turn_id == turn_id)
    if row is None:
        raise UnknownVersion(f"There is no turn '{turn_id}'.", remedy="'everloop status' shows the newest.")
    return row


def close_turn(
    tx: Tx,
    turn_id: str,
    status: str,
    at: datetime,
    *,
    summary: Document | None = None,
    error: str | None = None,
) -> None:
    """``status``: done, stopped (a contract failed) or failed (an error). One that has ended stays so."""
    values: dict[str, Any] = {"status": status, "finished_at": to_text(at), "error": error}
    if summary is not None:
        values["summary"] = {"format": 1, **summary}
    tx.change(turns, turns.c.turn_id == turn_id, turns.c.status == "running", **values)


def list_turns(tx: Tx, model: str | None = None, limit: int | None = None) -> list[Row]:
    """Newest first."""
    wanted = [turns.c.model == model] if model else []
    return list(tx.rows(turns, *wanted, newest=True, by="started_at", limit=limit))


def list_steps(tx: Tx, turn_id: str) -> list[Row]:
    return list(tx.rows(steps, steps.c.turn_id == turn_id, by="position"))


def finished_step(tx: Tx, turn_id: str, name: str) -> Row | None:
    return tx.row(steps, steps.c.turn_id == turn_id, steps.c.name == name, steps.c.status == "done")


def start_step(tx: Tx, turn_id: str, name: str, position: int, at: datetime) -> int:
    """Mark a step as running; returns the number of this attempt, its fencing token."""
    known = tx.row(steps, steps.c.turn_id == turn_id, steps.c.name == name)
    attempt = (known["attempt"] if known else 0) + 1
    tx.put(
        steps,
        turn_id=turn_id,
        name=name,
        position=position,
        status="running",
        attempt=attempt,
        started_at=to_text(at),
        finished_at=None,
        result=None,
        error=None,
    )
    return attempt


def finish_step(tx: Tx, turn_id: str, name: str, attempt: int, result: Document, at: datetime) -> None:
    """Keep a step's result. Refused when another process has started the step since (a newer attempt)."""
    done = tx.change(
        steps,
        steps.c.turn_id == turn_id,
        steps.c.name == name,
        steps.c.attempt == attempt,
        steps.c.status == "running",
        status="done",
        result={"format": 1, **result},
        finished_at=to_text(at),
    )
    if not done:
        raise Overtaken(
            f"Another process has taken over step '{name}' of turn {turn_id}.", remedy="Nothing was lost."
        )


def fail_step(tx: Tx, turn_id: str, name: str, attempt: int, error: str, at: datetime) -> None:
    """One that is done stays done: a database that goes away may have kept what it could not confirm."""
    tx.change(
        steps,
        steps.c.turn_id == turn_id,
        steps.c.name == name,
        steps.c.attempt == attempt,
        steps.c.status == "running",
        status="failed",
        error=error,
        finished_at=to_text(at),
    )
