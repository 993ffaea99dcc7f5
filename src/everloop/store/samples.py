"""Rows with a known target that somebody sent for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .database import Row, Tx
from .tables import training_samples

_S = training_samples.c


def begin(tx: Tx, model: str) -> None:
    """Samples of a model are added and taken one transaction after the other, so that all before the last one
    that somebody sees are seen too."""
    tx.lock(f"samples/{model}")


def add(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Each with ``sample_id``, ``model``, ``inputs``, ``target``, ``at`` and ``request_id``."""
    tx.add_all(training_samples, [{**row, "used_in": None} for row in rows])


def count(tx: Tx, model: str, *, waiting: bool = False, after: str | None = None) -> int:
    """All of a model's samples, or those that no turn has used yet, or that came ``after`` the one with this
    id."""
    chosen = [_S.used_in.is_(None)] if waiting else []
    last = tx.row(training_samples, _S.model == model, _S.sample_id == after) if after else None
    chosen += [_S.sequence > last["sequence"]] if last is not None else []
    return tx.count(training_samples, _S.model == model, *chosen)


def list_samples(tx: Tx, model: str, until: str | None = None) -> list[Row]:
    """Oldest first, up to the one with the id ``until`` and with it."""
    if until is None:
        return list(tx.rows(training_samples, _S.model == model))
    last = tx.row(training_samples, _S.model == model, _S.sample_id == until)
    if last is None:
        return []
    return list(tx.rows(training_samples, _S.model == model, _S.sequence <= last["sequence"]))


def newest(tx: Tx, model: str) -> str | None:
    rows = tx.rows(training_samples, _S.model == model, newest=True, limit=1, only=("sample_id",))
    return str(rows[0]["sample_id"]) if rows else None


def mark_used(tx: Tx, model: str, until: str, turn_id: str) -> int:
    """The samples up to ``until`` that no turn has used before are used in this one; returns how many."""
    last = tx.row(training_samples, _S.model == model, _S.sample_id == until)
    if last is None:
        return 0
    chosen = (_S.model == model, _S.sequence <= last["sequence"], _S.used_in.is_(None))
    return tx.change(training_samples, *chosen, used_in=turn_id)


def release(tx: Tx, model: str, turn_id: str) -> int:
    """What a turn that failed has used waits again."""
    return tx.change(training_samples, _S.model == model, _S.used_in == turn_id, used_in=None)
