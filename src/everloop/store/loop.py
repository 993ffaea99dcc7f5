"""What the loop keeps: triggers until they are considered, decision records, pauses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from everloop.core.documents import dump, load
from everloop.core.errors import Corrupt
from everloop.core.loop import CLOSED, DecisionRecord, Pause, Trigger

from . import ids
from .database import Row, Tx
from .tables import decisions, pauses, triggers
from .times import to_text

_T, _D, _P = triggers.c, decisions.c, pauses.c
LISTING = "everloop decisions list"
LOST = "lost"  # the code of a decision that people have ended, as it could not be read
_LEGIBLE = ("decision_id", "model", "at", "action", "stage", "job_id", "number")


def begin(tx: Tx, model: str) -> None:
    """What is decided of a model is decided one transaction after the other."""
    tx.lock(f"loop/{model}")


# -- triggers ----------------------------------------------------------------------------------------------


def add_trigger(tx: Tx, model: str, trigger: Trigger) -> bool:
    """Whether it is new: the same key triggers once."""
    return tx.add_once(
        triggers,
        ("model", "key"),
        model=model,
        key=trigger.key,
        at=to_text(trigger.at),
        document=dump(trigger),
    )


def waiting(tx: Tx, model: str) -> list[Trigger]:
    """Those that no decision was made of, oldest first."""
    rows = tx.rows(triggers, _T.model == model, _T.decision_id.is_(None))
    return [load(Trigger, row["document"]) for row in rows]


def newest_trigger(tx: Tx, model: str, prefix: str) -> Trigger | None:
    """The newest whose key begins so."""
    rows = tx.rows(
        triggers, _T.model == model, _T.key.startswith(prefix, autoescape=True), newest=True, limit=1
    )
    return load(Trigger, rows[0]["document"]) if rows else None


def known_keys(tx: Tx, model: str, keys: list[str]) -> set[str]:
    """Which of these have triggered before."""
    rows = tx.rows(triggers, _T.model == model, _T.key.in_(keys), only=("key",))
    return {row["key"] for row in rows}


def settle(tx: Tx, model: str, decision_id: str, keys: list[str]) -> None:
    """These triggers are considered."""
    tx.change(
        triggers, _T.model == model, _T.key.in_(keys), _T.decision_id.is_(None), decision_id=decision_id
    )


# -- decisions ---------------------------------------------------------------------------------------------


def put(tx: Tx, record: DecisionRecord) -> None:
    tx.put(
        decisions,
        decision_id=record.decision_id,
        model=record.model,
        at=to_text(record.at),
        action=record.action,
        stage=record.stage,
        job_id=record.job_id,
        number=record.number,
        document=dump(record),
    )


def find(tx: Tx, decision_id: str) -> DecisionRecord:
    """By its id, or a unique ending or beginning of it. Raises NotFound, and Corrupt."""
    try:
        return _record(ids.find(tx, _D.decision_id, decision_id, noun="decision", listing=LISTING))
    except Corrupt as error:
        lost = find_lost(tx, decision_id)
        if lost is None:
            raise
        raise _stops(lost) from error


def of_job(tx: Tx, job_id: str) -> DecisionRecord | None:
    row = tx.row(decisions, _D.job_id == job_id)
    return _record(row) if row else None


def under_way(tx: Tx, model: str | None = None) -> list[DecisionRecord]:
    """Retrainings that have not ended, without those that cannot be read; see ``lost``."""
    return _open(tx, model)[0]


def lost(tx: Tx, model: str | None = None) -> list[Row]:
    """Those that have not ended and cannot be read: all but the document. The loop of their model stops until
    people end them."""
    damaged = _open(tx, model)[1]
    return list(tx.rows(decisions, _D.decision_id.in_(damaged), by="at", only=_LEGIBLE)) if damaged else []


def find_lost(tx: Tx, decision_id: str) -> Row | None:
    """Such a one, as ``find`` does."""
    given = decision_id.lower()
    found = [row for row in lost(tx) if ids.is_part(given, row["decision_id"])]
    return found[0] if len(found) == 1 else None


def check(tx: Tx, model: str) -> None:
    """Raises Corrupt where one has not ended and cannot be read."""
    for row in lost(tx, model):
        raise _stops(row)


def _stops(row: Row) -> Corrupt:
    named = row["decision_id"]
    return Corrupt(
        f"The loop of {row['model']} stops: its decision {named} is damaged in the table decisions, and has "
        "not ended.",
        remedy=f"Restore from a backup: everloop backup restore --replace. Or end it, what it says is lost: "
        f"everloop decisions reject {named} --why TEXT.",
    )


def _open(tx: Tx, model: str | None) -> tuple[list[DecisionRecord], list[str]]:
    wanted = [_D.model == model] if model else []
    return _read(tx.readable(decisions, _D.stage.not_in(CLOSED), *wanted, by="at"))


def on_trial(tx: Tx) -> list[DecisionRecord]:
    """Retrainings whose candidate is judged again, without those that cannot be read."""
    return _read(tx.readable(decisions, _D.stage == "trial", by="at"))[0]


def _read(
    rows: Iterable[tuple[tuple[str, ...], Row | None]],
) -> tuple[list[DecisionRecord], list[str]]:
    """The records, and the ids of those that cannot be read."""
    found, unreadable = [], []
    for (decision_id,), row in rows:
        try:
            if row is None:
                unreadable.append(decision_id)
            else:
                found.append(_record(row))
        except Corrupt:
            unreadable.append(decision_id)
    return found, unreadable


def _record(row: Row) -> DecisionRecord:
    """Raises Corrupt, which names it."""
    try:
        return load(DecisionRecord, row["document"])
    except Corrupt as error:
        said = f"In the table decisions {row['decision_id']} cannot be read: {error.message}"
        raise Corrupt(said, remedy=error.remedy) from error


def list_decisions(
    tx: Tx,
    model: str | None = None,
    action: str | None = None,
    *,
    limit: int | None = None,
) -> list[DecisionRecord]:
    """Newest first: of one model by their numbers, as a clock may go back. Those that cannot be read are left
    out."""
    return read_decisions(tx, model, action, limit=limit)[0]


def read_decisions(
    tx: Tx,
    model: str | None = None,
    action: str | None = None,
    *,
    limit: int | None = None,
) -> tuple[list[DecisionRecord], list[str]]:
    """As ``list_decisions``, with the ids of those that cannot be read."""
    wanted = [_D.model == model] if model else []
    wanted += [_D.action == action] if action else []
    by = "number" if model else "at"
    return _read(tx.readable(decisions, *wanted, newest=True, by=by, limit=limit))


def next_number(tx: Tx, model: str) -> int:
    """Of the next decision of a model."""
    rows = tx.rows(decisions, _D.model == model, newest=True, by="number", limit=1, only=("number",))
    return int(rows[0]["number"]) + 1 if rows else 1


def retrained(tx: Tx, model: str) -> tuple[datetime, ...]:
    """When the loop has trained it, newest first. One that cannot be read counts: it may have."""
    found, unreadable = read_decisions(tx, model, "retrain")
    damaged = tx.rows(decisions, _D.decision_id.in_(unreadable), by="at", only=("at",))
    return tuple(
        sorted(
            [
                *(one.at for one in found if one.run_id or one.code == LOST),
                *(datetime.fromisoformat(row["at"]) for row in damaged),
            ],
            reverse=True,
        )
    )


# -- pauses ------------------------------------------------------------------------------------------------


def put_pause(tx: Tx, model: str, pause: Pause) -> None:
    tx.put(pauses, model=model, document=dump(pause))


def remove_pause(tx: Tx, model: str) -> bool:
    """Whether there was one."""
    return bool(tx.remove(pauses, _P.model == model))


def pause_of(tx: Tx, model: str) -> Pause | None:
    row = tx.row(pauses, _P.model == model)
    return load(Pause, row["document"]) if row else None
