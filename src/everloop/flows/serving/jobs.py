"""Retraining that was asked for: a queue of jobs, each held by one process at a time. ``flows.loop.working``
does them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from everloop.core.errors import NotFound, Overtaken, nearest
from everloop.core.ids import new_id
from everloop.flows.project import Project
from everloop.store import history, jobs
from everloop.store.database import Row, Tx
from everloop.store.times import to_text

RETRAIN = "retrain"
MOST_IN_VAIN = 3
_LATER = timedelta(seconds=5)
_NEEDED: Mapping[str, type] = {"force": bool, "reason": str, "request_id": str}  # of a request


@dataclass(frozen=True)
class Job:
    """``status``: queued, running, done or failed. ``turn_id`` is the turn that a retraining became, and
    ``summary`` what it did (``core.turns.TurnSummary``). ``attempts`` counts the processes that took it,
    ``in_vain`` those in a row that got no further and are gone. ``decision_id``: what was decided of it.
    ``unreadable``: what of its request is damaged; it cannot be done."""

    job_id: str
    kind: str
    model: str
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    force: bool
    reason: str
    request_id: str
    attempts: int
    in_vain: int = 0
    turn_id: str | None = None
    summary: Mapping[str, Any] | None = None
    error: str | None = None
    decision_id: str | None = None
    unreadable: tuple[str, ...] = ()


def join(tx: Tx, project: Project, model: str, *, force: bool, reason: str, request_id: str = "") -> Job:
    """Ask for a retraining of a model on its data and what is new, in the transaction of what calls for it;
    ``force`` trains whatever speaks against it.

    The job that is queued for the model already is the answer, if there is one; it is forced from now on if
    this one is. One that is running does not count: it may have begun without what is new.
    ``store.jobs.begin`` goes before it.
    """
    row = jobs.waiting(tx, RETRAIN, model)
    if row is None or _unreadable(row):
        return enqueue(tx, project, model, force=force, reason=reason, request_id=request_id)
    if force and not row["request"]["force"]:
        jobs.replace_request(tx, row["job_id"], {**row["request"], "force": True, "reason": reason})
    return _job(_known(jobs.find(tx, row["job_id"])))


def newest(tx: Tx, model: str) -> Job:
    """Of a model that has had one."""
    return _job(jobs.list_jobs(tx, model, limit=1)[0])


def under_way(tx: Tx, model: str) -> bool:
    """Whether a job of the model waits or is being done."""
    return any(jobs.list_jobs(tx, model, status, limit=1) for status in ("queued", "running"))


def enqueue(
    tx: Tx,
    project: Project,
    model: str,
    *,
    force: bool,
    reason: str,
    request_id: str = "",
    decision_id: str | None = None,
) -> Job:
    """Another job, in the transaction of what asks for it; ``decision_id``: the decision is made."""
    now = project.clock.now()
    job_id = new_id("job", now)
    request = {"force": force, "reason": reason, "request_id": request_id}
    request |= {"decision_id": decision_id} if decision_id else {}
    jobs.add(tx, job_id, RETRAIN, model, request, now)
    said = f"retraining asked for{', forced' if force else ''}: {reason or 'no reason given'}"
    details = {"job_id": job_id, **request}
    history.append(tx, model, "requested", said, at=now, by=project.user, details=details)
    return _job(_known(jobs.find(tx, job_id)))


def join_decision(tx: Tx, job_id: str, decision_id: str) -> None:
    """What the job asks for is part of a decision that was made before."""
    request = _known(jobs.find(tx, job_id))["request"]
    jobs.replace_request(tx, job_id, {**request, "decision_id": decision_id})


def find(project: Project, job_id: str) -> Job:
    """Raises NotFound."""
    with project.store.reading() as tx:
        row = jobs.find(tx, job_id)
        if row is None:
            newest = [known["job_id"] for known in jobs.list_jobs(tx, limit=12)]
            raise NotFound(f"There is no job '{job_id[:80]}'.", remedy=nearest(job_id[:80], newest))
    return _job(row)


def list_jobs(
    project: Project, model: str | None = None, status: str | None = None, limit: int | None = 100
) -> list[Job]:
    """Newest first."""
    with project.store.reading() as tx:
        return [_job(row) for row in jobs.list_jobs(tx, model, status, limit)]


# -- holding a job -------------------------------------------------------------------------------------------


def is_due(project: Project) -> bool:
    """Whether there is a job that nobody holds."""
    with project.store.reading() as tx:
        return jobs.next_free(tx, project.clock.now()) is not None


def lease(project: Project) -> timedelta:
    """How long a job is held by who took it or renewed that."""
    return timedelta(seconds=project.settings.worker.hold)


def claim(project: Project, owner: str) -> Job | None:
    """Take the oldest job that nobody holds; None where there is none.

    It is the owner's until ``lease`` has passed without ``renew``; then it is anybody's, as are the jobs of
    processes that died.
    """
    now = project.clock.now()
    with project.store.writing() as tx:
        jobs.begin(tx)
        row = jobs.next_free(tx, now)
        if row is None:
            return None
        jobs.take(tx, {**row, "request": _request(row)}, owner, now, now + lease(project))
        return _job(_known(jobs.find(tx, row["job_id"])))


def renew(project: Project, job_id: str, owner: str) -> bool:
    """Hold a job for another ``lease``; False where it is somebody else's by now."""
    until = to_text(project.clock.now() + lease(project))
    with project.store.writing() as tx:
        return jobs.change(tx, job_id, owner, lease_until=until)


def finish(project: Project, job_id: str, owner: str, result: Mapping[str, Any]) -> Job:
    """The job is done. Raises Overtaken where it is somebody else's by now."""
    with project.store.writing() as tx:
        return _end(tx, project, job_id, owner, status="done", result={"format": 1, **result}, error=None)


def fail(
    tx: Tx, project: Project, job_id: str, owner: str, error: str, result: Mapping[str, Any] | None = None
) -> Job:
    """The job came to nothing, in the transaction of what follows from that. Raises Overtaken where it is
    somebody else's by now."""
    document = {"format": 1, **(result or {})}
    return _end(tx, project, job_id, owner, status="failed", result=document, error=error)


def release(project: Project, job_id: str, owner: str) -> None:
    """Put a job back for a while: its model is busy."""
    with project.store.writing() as tx:
        row = jobs.find(tx, job_id)
        if row is not None and (row["status"], row["owner"]) == ("running", owner):
            jobs.put_back(tx, row, project.clock.now() + _LATER)


def give_back(project: Project, owner: str) -> list[str]:
    """Put back what an owner that is gone still holds: it was stopped, which is no failed attempt. Returns
    the jobs."""
    with project.store.reading() as tx:
        held = [row["job_id"] for row in jobs.list_jobs(tx, status="running") if row["owner"] == owner]
    for job_id in held:
        release(project, job_id, owner)
    return held


def _end(tx: Tx, project: Project, job_id: str, owner: str, **values: Any) -> Job:
    finished = to_text(project.clock.now())
    if not jobs.change(tx, job_id, owner, finished_at=finished, lease_until=None, **values):
        raise Overtaken(
            f"The job {job_id} is not held by {owner}.", remedy="Somebody else has taken it over."
        )
    return _job(_known(jobs.find(tx, job_id)))


def _known(row: Row | None) -> Row:
    if row is None:
        raise AssertionError("the job that was just written is there")
    return row


def _job(row: Row) -> Job:
    request, result = _request(row), row["result"] or {}
    times = {name: row[name] for name in ("started_at", "finished_at")}
    moments = {name: datetime.fromisoformat(text) if text else None for name, text in times.items()}
    return Job(
        job_id=row["job_id"],
        kind=row["kind"],
        model=row["model"],
        status=row["status"],
        created_at=datetime.fromisoformat(row["created_at"]),
        started_at=moments["started_at"],
        finished_at=moments["finished_at"],
        force=request.get("force", False),
        reason=request.get("reason", ""),
        request_id=request.get("request_id", ""),
        attempts=row["attempts"],
        in_vain=request.get("taken", {}).get("times", 1) - 1,
        turn_id=result.get("turn_id"),
        summary=result.get("summary"),
        error=row["error"],
        decision_id=result.get("decision_id") or request.get("decision_id"),
        unreadable=_unreadable(row),
    )


def _request(row: Row) -> Mapping[str, Any]:
    """What of it can be read."""
    known = row["request"] if isinstance(row["request"], Mapping) else {}
    kinds = {**_NEEDED, "taken": Mapping}
    return {name: value for name, value in known.items() if isinstance(value, kinds.get(name, object))}


def _unreadable(row: Row) -> tuple[str, ...]:
    return tuple(name for name in _NEEDED if name not in _request(row))
