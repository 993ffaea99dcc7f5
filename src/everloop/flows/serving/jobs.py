"""Retraining that was asked for: written down, done once, by whoever comes to it, and seen through when that
process dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from everloop.core.documents import dump
from everloop.core.errors import Busy, Conflict, MLOpsError, NotFound, Unavailable, nearest
from everloop.core.ids import new_id, token
from everloop.core.turns import Listener
from everloop.data import writing
from everloop.flows import turn
from everloop.flows.project import Project
from everloop.store import history, jobs, turns
from everloop.store import samples as stored
from everloop.store.database import Row
from everloop.store.times import to_text

from . import samples

RETRAIN = "retrain"
LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 3
_LATER = timedelta(seconds=5)


@dataclass(frozen=True)
class Job:
    """``status``: queued, running, done or failed. ``turn_id`` is the turn that a retraining became, and
    ``summary`` what it did (``core.turns.TurnSummary``). ``attempts`` counts the processes that took it."""

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
    turn_id: str | None = None
    summary: Mapping[str, Any] | None = None
    error: str | None = None


def enqueue_retrain(
    project: Project, model: str, *, force: bool = False, reason: str = "", request_id: str = ""
) -> Job:
    """Ask for a turn of a model on its data and samples; ``force`` trains whatever speaks against it.

    The job that is queued for the model already is the answer, if there is one; it is forced from now on if
    this one is. One that is running does not count: it may have begun without what is new.
    """
    project.model(model)
    now = project.clock.now()
    with project.store.writing() as tx:
        jobs.begin(tx)
        row = jobs.waiting(tx, RETRAIN, model)
        if row is not None and force and not row["request"]["force"]:
            jobs.replace_request(tx, row["job_id"], {**row["request"], "force": True, "reason": reason})
        if row is None:
            job_id = new_id("job", now)
            request = {"force": force, "reason": reason, "request_id": request_id}
            jobs.add(tx, job_id, RETRAIN, model, request, now)
            said = f"retraining asked for{', forced' if force else ''}: {reason or 'no reason given'}"
            details = {"job_id": job_id, **request}
            history.append(tx, model, "requested", said, at=now, by=project.user, details=details)
        else:
            job_id = row["job_id"]
        return _job(_known(jobs.find(tx, job_id)))


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


def claim(project: Project, owner: str, lease: timedelta = LEASE) -> Job | None:
    """Take the oldest job that nobody holds; None where there is none.

    It is the owner's until ``lease`` has passed without ``renew``; then it is anybody's, as are the jobs of
    processes that died. One that MOST_ATTEMPTS processes have died of is failed.
    """
    now = project.clock.now()
    with project.store.writing() as tx:
        jobs.begin(tx)
        while (row := jobs.next_free(tx, now)) is not None:
            jobs.take(tx, row, owner, now, now + lease)
            if row["attempts"] < MOST_ATTEMPTS:
                return _job(_known(jobs.find(tx, row["job_id"])))
            said = f"{MOST_ATTEMPTS} processes that took it have died or were stopped"
            jobs.change(
                tx,
                row["job_id"],
                owner,
                status="failed",
                finished_at=to_text(now),
                error=said,
                lease_until=None,
            )
    return None


def renew(project: Project, job_id: str, owner: str, lease: timedelta = LEASE) -> bool:
    """Hold a job for another ``lease``; False where it is somebody else's by now."""
    until = to_text(project.clock.now() + lease)
    with project.store.writing() as tx:
        return jobs.change(tx, job_id, owner, lease_until=until)


def finish(project: Project, job_id: str, owner: str, result: Mapping[str, Any]) -> Job:
    """The job is done. Raises Conflict where it is somebody else's by now."""
    return _end(project, job_id, owner, status="done", result={"format": 1, **result}, error=None)


def fail(
    project: Project, job_id: str, owner: str, error: str, result: Mapping[str, Any] | None = None
) -> Job:
    """The job came to nothing. Raises Conflict where it is somebody else's by now."""
    return _end(project, job_id, owner, status="failed", result={"format": 1, **(result or {})}, error=error)


def release(project: Project, job_id: str, owner: str) -> None:
    """Put a job back for a while: its model is busy."""
    with project.store.writing() as tx:
        row = jobs.find(tx, job_id)
        tried = row["attempts"] - 1 if row is not None else 0
        later = to_text(project.clock.now() + _LATER)
        jobs.change(tx, job_id, owner, status="queued", attempts=tried, lease_until=later)


def give_back(project: Project, owner: str) -> list[str]:
    """Put back what an owner that is gone still holds: it was stopped, which is no failed attempt. Returns
    the jobs."""
    with project.store.reading() as tx:
        held = [row["job_id"] for row in jobs.list_jobs(tx, status="running") if row["owner"] == owner]
    for job_id in held:
        release(project, job_id, owner)
    return held


def _end(project: Project, job_id: str, owner: str, **values: Any) -> Job:
    finished = to_text(project.clock.now())
    with project.store.writing() as tx:
        if not jobs.change(tx, job_id, owner, finished_at=finished, lease_until=None, **values):
            raise Conflict(
                f"The job {job_id} is not held by {owner}.", remedy="Somebody else has taken it over."
            )
        return _job(_known(jobs.find(tx, job_id)))


# -- doing it ------------------------------------------------------------------------------------------------


def run_next(
    project: Project,
    *,
    owner: str | None = None,
    lease: timedelta = LEASE,
    listener: Listener = turn.silent,
    wait: float = 0.0,
    taken: Callable[[Job], None] | None = None,
) -> Job | None:
    """Take the next job and see it through: one turn on the model's data with its samples. ``taken`` hears
    which one it is.

    None where there is nothing to do, or the model is busy for longer than ``wait`` seconds (then the job
    waits). A turn that fails makes the job fail, with its error, and the samples wait again. What a process
    that died had begun is gone on with: a job has one turn, however many processes worked on it.
    """
    owner = owner or f"worker-{token()}"
    job = claim(project, owner, lease)
    if job is None:
        return None
    if taken is not None:
        taken(job)
    with _held(project, job.job_id, owner, lease):
        try:
            turn_id = _opened(project, job, owner, wait)
            result = _walked(project, job, turn_id, listener, wait)
        except Busy:
            release(project, job.job_id, owner)
            return None
        except Exception as error:
            said = error.message if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
            _give_back(project, job)
            failed = fail(project, job.job_id, owner, said, {"turn_id": _turn_id(project, job)})
            if isinstance(error, MLOpsError):
                return failed
            raise
    done = finish(project, job.job_id, owner, result)
    _forget_source(project, job.job_id)
    return done


@contextmanager
def _held(project: Project, job_id: str, owner: str, lease: timedelta) -> Iterator[None]:
    """Renew the hold on a job for as long as this process lives and works on it."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(lease.total_seconds() / 3):
            with suppress(Unavailable):
                renew(project, job_id, owner, lease)

    beating = threading.Thread(target=beat, name=f"hold-{job_id}", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()


def _opened(project: Project, job: Job, owner: str, wait: float) -> str:
    """The id of the job's turn, opened if it was not, with its samples marked as used in it.

    The turn's source is a file of this job alone: by it the turn is known again, whoever opened it.
    """
    until = _samples_until(project, job)
    if (turn_id := _turn_id(project, job)) is None:
        source = _source(project, job.job_id)
        with _model_free(project, job.model, wait):
            table = samples.merge(project, job.model, until)
            path = project.settings.root / source
            project.write_file(path, writing.pieces(table.schema, [table], ".parquet"))
        while True:
            opened = turn.open_turn(project, job.model, source=source, force=job.force, wait=wait)
            if (turn_id := _turn_id(project, job)) is not None:
                break
            with suppress(MLOpsError):  # of somebody who died: it is ended first, and has its own error
                opened.advance(turn.STEPS[-1], wait=wait)
    with project.store.writing() as tx:
        stored.begin(tx, job.model)
        if until:
            stored.mark_used(tx, job.model, until, turn_id)
        jobs.change(tx, job.job_id, owner, result={"format": 1, "turn_id": turn_id})
    return turn_id


@contextmanager
def _model_free(project: Project, model: str, wait: float) -> Iterator[None]:
    """Nobody registers data of the model meanwhile."""
    with project.locks.hold(f"model/{model}", wait=wait):
        yield


def _walked(project: Project, job: Job, turn_id: str, listener: Listener, wait: float) -> Mapping[str, Any]:
    """The turn's summary, once it has ended."""
    while True:
        with project.store.reading() as tx:
            known = turns.find_turn(tx, turn_id)
        if known["status"] == "failed":
            raise Conflict(
                f"The turn {turn_id} failed: {known['error']}", remedy="Ask for another retraining."
            )
        if known["status"] != "running":
            return {"turn_id": turn_id, "summary": known["summary"]}
        opened = turn.open_turn(project, job.model, listener=listener, wait=wait)
        if opened.turn_id == turn_id:  # else somebody has ended it just now
            summary = opened.advance(turn.STEPS[-1], wait=wait)
            return {"turn_id": turn_id, "summary": dump(summary)}


def _samples_until(project: Project, job: Job) -> str | None:
    """The last sample that belongs to this job, chosen once."""
    with project.store.writing() as tx:
        stored.begin(tx, job.model)
        row = _known(jobs.find(tx, job.job_id))
        if "samples" not in row["request"]:
            newest = stored.newest(tx, job.model)
            jobs.replace_request(tx, job.job_id, {**row["request"], "samples": newest})
            return newest
        known: str | None = row["request"]["samples"]
        return known


def _turn_id(project: Project, job: Job) -> str | None:
    """The turn that has this job's file as its source."""
    with project.store.reading() as tx:
        return jobs.turn_of(tx, job.model, _source(project, job.job_id), job.created_at)


def _give_back(project: Project, job: Job) -> None:
    turn_id = _turn_id(project, job)
    if turn_id is not None:
        with project.store.writing() as tx:
            stored.begin(tx, job.model)
            stored.release(tx, job.model, turn_id)
    _forget_source(project, job.job_id)


def _source(project: Project, job_id: str) -> str:
    """The job's file, from the project's folder: so it is the same in one that was restored elsewhere."""
    return str(Path(project.settings.paths.state) / "retraining" / project.tenant / f"{job_id}.parquet")


def _forget_source(project: Project, job_id: str) -> None:
    (project.settings.root / _source(project, job_id)).unlink(missing_ok=True)


def _known(row: Row | None) -> Row:
    if row is None:
        raise AssertionError("the job that was just written is there")
    return row


def _job(row: Row) -> Job:
    request, result = row["request"], row["result"] or {}
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
        force=request["force"],
        reason=request["reason"],
        request_id=request["request_id"],
        attempts=row["attempts"],
        turn_id=result.get("turn_id"),
        summary=result.get("summary"),
        error=row["error"],
    )
