"""Work to be done once, in the order in which it was asked for; whoever takes a job holds it for a while."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_

from .database import Row, Tx
from .tables import decisions, jobs, steps, turns
from .times import to_text

_J = jobs.c
Document = Mapping[str, Any]


def begin(tx: Tx) -> None:
    """Jobs are enqueued and taken one transaction after the other."""
    tx.lock("jobs")


def add(tx: Tx, job_id: str, kind: str, model: str, request: Document, at: datetime) -> None:
    tx.add(
        jobs,
        job_id=job_id,
        kind=kind,
        model=model,
        status="queued",
        created_at=to_text(at),
        request={"format": 1, **request},
        attempts=0,
    )


def find(tx: Tx, job_id: str) -> Row | None:
    return tx.row(jobs, _J.job_id == job_id)


def waiting(tx: Tx, kind: str, model: str) -> Row | None:
    """The job of this kind that is queued for a model."""
    return tx.row(jobs, _J.kind == kind, _J.model == model, _J.status == "queued")


def list_jobs(
    tx: Tx, model: str | None = None, status: str | None = None, limit: int | None = None
) -> list[Row]:
    """Newest first."""
    wanted = [_J.model == model] if model else []
    wanted += [_J.status == status] if status else []
    return list(tx.rows(jobs, *wanted, newest=True, by="created_at", limit=limit))


def next_free(tx: Tx, now: datetime) -> Row | None:
    """The oldest job that nobody holds, of a model for which no other one is being done."""
    held = {
        row["model"]
        for row in tx.rows(jobs, _J.status == "running", _J.lease_until > to_text(now), by="job_id")
    }
    free = or_(_J.lease_until.is_(None), _J.lease_until <= to_text(now))
    found = tx.rows(jobs, or_(_J.status == "queued", _J.status == "running"), free, by="created_at")
    begun = {row["model"]: row for row in reversed(found) if row["status"] == "running"}
    for row in found:
        if row["model"] not in held:
            return begun.get(row["model"], row)  # what a dead process began comes before what is new
    return None


def take(tx: Tx, job: Row | Document, owner: str, now: datetime, until: datetime) -> None:
    """It is counted how many in a row have taken it and got no further."""
    reached, before = _reached(tx, job), job["request"].get("taken", {})
    times = before["times"] + 1 if before.get("reached") == reached else 1
    tx.change(
        jobs,
        _J.job_id == job["job_id"],
        status="running",
        owner=owner,
        attempts=_J.attempts + 1,
        started_at=job["started_at"] or to_text(now),
        lease_until=to_text(until),
        request={**job["request"], "taken": {"reached": reached, "times": times}},
    )


def _reached(tx: Tx, job: Row | Document) -> int:
    """How far a job is: whether it is decided, whether its turn is open, how many steps of that are done."""
    turn_id = (job["result"] or {}).get("turn_id")
    done = tx.count(steps, steps.c.turn_id == turn_id, steps.c.status == "done") if turn_id else -1
    return tx.count(decisions, decisions.c.job_id == job["job_id"]) + 1 + done


def change(tx: Tx, job_id: str, held_by: str, **values: Any) -> bool:
    """Whether the job is still held by this owner; only then it changes."""
    held = and_(_J.job_id == job_id, _J.status == "running", _J.owner == held_by)
    return bool(tx.change(jobs, held, **values))


def put_back(tx: Tx, job: Row, later: datetime) -> None:
    """It is free from ``later`` on; that it was taken does not count."""
    taken = job["request"].get("taken", {"times": 1})
    tx.change(
        jobs,
        _J.job_id == job["job_id"],
        status="queued",
        attempts=_J.attempts - 1,
        lease_until=to_text(later),
        request={**job["request"], "taken": {**taken, "times": taken["times"] - 1}},
    )


def replace_request(tx: Tx, job_id: str, request: Document) -> None:
    tx.change(jobs, _J.job_id == job_id, request={"format": 1, **request})


def turn_of(tx: Tx, model: str, source: str, since: datetime) -> str | None:
    """The turn of a model that was opened with this source."""
    chosen = (turns.c.model == model, turns.c.started_at >= to_text(since))
    found = tx.rows(turns, *chosen, by="started_at", only=("turn_id", "plan"))
    return next((str(row["turn_id"]) for row in found if row["plan"].get("source") == source), None)
