"""Do what is queued: consider it, and where that is the decision, do a turn, and what comes after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.documents import dump
from everloop.core.errors import Busy, Corrupt, MLOpsError, Overtaken, Unavailable
from everloop.core.ids import token
from everloop.core.loop import DecisionRecord, Order
from everloop.core.turns import Listener
from everloop.data import writing
from everloop.flows import artifacts, turn
from everloop.flows.monitoring import unchecked
from everloop.flows.project import Project
from everloop.flows.serving import jobs, samples
from everloop.flows.serving.jobs import Job
from everloop.flows.steps import about_rows
from everloop.store import jobs as queue
from everloop.store import samples as stored
from everloop.store import turns
from everloop.store.times import to_text

from . import advancing, considering, following, gathering


def run_next(
    project: Project,
    *,
    owner: str | None = None,
    listener: Listener = turn.silent,
    wait: float = 0.0,
    taken: Callable[[Job], None] | None = None,
) -> Job | None:
    """Take the next job and see it through: the decision, and where that is to retrain, one turn on the
    model's data with what is new. ``taken`` hears which one it is.

    None where there is nothing to do, or the model is busy for longer than ``wait`` seconds (then the job
    waits). A turn that fails makes the job fail, with its error, and the samples wait again. What a process
    that died had begun is gone on with: a job has one decision and one turn, however many processes worked
    on it.
    """
    owner = owner or f"worker-{token()}"
    job = jobs.claim(project, owner)
    if job is None:
        return None
    if taken is not None:
        taken(job)
    with _held(project, job.job_id, owner):
        try:
            _check_that_it_can_be_done(job)
            record = advancing.decided(project, job) or considering.consider(project, job)
            listener("consider", "done", f"{record.action}: {record.reason}")
            joined = record.job_id != job.job_id  # another job does it, when people have approved it
            if joined or (record.stage != "train" and record.turn_id is None):
                return jobs.finish(project, job.job_id, owner, {"decision_id": record.decision_id})
            turn_id = _opened(project, job, owner, record, wait)
            result = _walked(project, job, turn_id, listener, wait)
            advancing.after_turn(project, record.decision_id, turn_id, result["summary"])
        except Busy:
            jobs.release(project, job.job_id, owner)
            return None
        except Overtaken:
            raise
        except Exception as error:
            failed = _failed(project, job, owner, error)
            if isinstance(error, MLOpsError):
                return failed
            raise
    _forget_source(project, job.job_id)
    return jobs.finish(project, job.job_id, owner, {**result, "decision_id": record.decision_id})


def _check_that_it_can_be_done(job: Job) -> None:
    """Raises Corrupt where its request is damaged, and Unavailable where one process after the other has died
    of it: it is tried again later, anew."""
    if job.unreadable:
        raise Corrupt(
            f"The request of {job.job_id} is damaged: no {', '.join(job.unreadable)} can be read in it.",
            remedy=f"Ask for it again: everloop retrain {job.model}.",
        )
    if job.in_vain >= jobs.MOST_IN_VAIN:
        raise Unavailable(
            f"{job.in_vain} processes in a row that took it have died or were stopped.",
            remedy="See in the log of the system why: often there was too little memory.",
        )


def _failed(project: Project, job: Job, owner: str, error: Exception) -> Job:
    """The job, with what follows from its failure: its turn has ended, the samples wait again, the retraining
    ends or is tried again."""
    said = error.message if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
    turn_id = _turn_id(project, job)
    with project.store.writing() as tx:
        stored.begin(tx, job.model)
        advancing.after_failure(tx, project, job, turn_id, error)
        failed = jobs.fail(tx, project, job.job_id, owner, said, {"turn_id": turn_id})
        if turn_id is not None:
            turns.close_turn(tx, turn_id, "failed", project.clock.now(), error=said)
            stored.release(tx, job.model, turn_id)
        _forget_source(project, job.job_id)
    return failed


@contextmanager
def _held(project: Project, job_id: str, owner: str) -> Iterator[None]:
    """Renew the hold on a job for as long as this process lives and works on it."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(project.settings.worker.hold / 3):
            with suppress(Unavailable):
                jobs.renew(project, job_id, owner)

    beating = threading.Thread(target=beat, name=f"hold-{job_id}", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()


def _opened(project: Project, job: Job, owner: str, record: DecisionRecord, wait: float) -> str:
    """The id of the job's turn, opened if it was not, with its samples marked as used in it.

    The turn's source is a file of this job alone: by it the turn is known again, whoever opened it.
    """
    chosen = _chosen(project, job)
    if (turn_id := _turn_id(project, job)) is None:
        source = _source(project, job.job_id)
        with _model_free(project, job.model, wait):
            damaged: list[str] = []
            table, about = _gathered(project, job.model, chosen, damaged)
            advancing.leave_out(project, record.decision_id, damaged)
            root = project.settings.root
            project.write_file(root / about_rows(source), artifacts.to_bytes(about))
            project.write_file(root / source, writing.pieces(table.schema, [table], ".parquet"))
        while True:
            opened = turn.open_turn(
                project,
                job.model,
                source=source,
                force=job.force,
                order=_order(project, record),
                wait=wait,
            )
            if (turn_id := _turn_id(project, job)) is not None:
                break
            with suppress(MLOpsError):  # of somebody who died: it is ended first, and has its own error
                opened.advance(turn.STEPS[-1], wait=wait)
    with project.store.writing() as tx:
        stored.begin(tx, job.model)
        if chosen["samples"]:
            stored.mark_used(tx, job.model, chosen["samples"], turn_id)
        queue.change(tx, job.job_id, owner, result={"format": 1, "turn_id": turn_id})
    return turn_id


def _order(project: Project, record: DecisionRecord) -> Order:
    approval = "release" in project.model(record.model).retraining.approve
    proven = record.code == "changed_world"
    approved = any(each.step == "train" for each in record.approvals)
    return Order(record.reason, proven, following.held(record.rollout, approval), approved)


@contextmanager
def _model_free(project: Project, model: str, wait: float) -> Iterator[None]:
    """Nobody registers data of the model meanwhile."""
    with project.locks.hold(f"model/{model}", wait=wait):
        yield


def _gathered(
    project: Project, model: str, chosen: Mapping[str, Any], damaged: list[str]
) -> tuple[pa.Table, np.ndarray]:
    """What to train on; and of each row when it is from, in seconds (what was there before the rest: at its
    beginning), what it counts, and 1 where a model may be judged by it, (rows, 3). The ids of
    predictions that cannot be read are added to ``damaged``."""
    until = chosen["production"]
    rows = _of_production(project, model, gathering.moment(until), damaged) if until else []
    table = samples.merge(project, model, chosen["samples"], rows, until or "")
    about = [(gathering.moment(row["at"]).timestamp(), row["weight"], row["judges"]) for row in rows]
    before = min((each[0] for each in about), default=project.clock.now().timestamp())
    return table, np.array([(before, 1.0, True)] * (table.num_rows - len(about)) + about, dtype=np.float64)


def _of_production(project: Project, model: str, until: datetime, damaged: list[str]) -> list[dict[str, Any]]:
    faults = [each.span for each in unchecked.faults(project, model, until)]
    return gathering.production(project, model, until, faults, damaged)


def _walked(project: Project, job: Job, turn_id: str, listener: Listener, wait: float) -> Mapping[str, Any]:
    """The turn's summary, once it has ended."""
    while True:
        with project.store.reading() as tx:
            known = turns.find_turn(tx, turn_id)
        if known["status"] == "failed":
            raise Unavailable(  # whoever ended it could not say whether that passes
                f"The turn {turn_id} failed: {known['error']}", remedy="Ask for another retraining."
            )
        if known["status"] != "running":
            return {"turn_id": turn_id, "summary": known["summary"]}
        opened = turn.open_turn(project, job.model, listener=listener, wait=wait)
        if opened.turn_id == turn_id:  # else somebody has ended it just now
            summary = opened.advance(turn.STEPS[-1], wait=wait)
            return {"turn_id": turn_id, "summary": dump(summary)}


def _chosen(project: Project, job: Job) -> Mapping[str, Any]:
    """The last sample that belongs to this job, and until when predictions with a label do: chosen once."""
    until = gathering.until(project, job.model)
    with project.store.writing() as tx:
        stored.begin(tx, job.model)
        row = queue.find(tx, job.job_id)
        if row is None:
            raise AssertionError("a job that is held is there")
        if "samples" not in row["request"]:
            newest = stored.newest(tx, job.model)
            there = {"samples": newest, "production": to_text(until) if until else None}
            queue.replace_request(tx, job.job_id, {**row["request"], **there})
            return there
        return {"samples": row["request"]["samples"], "production": row["request"].get("production")}


def _turn_id(project: Project, job: Job) -> str | None:
    """The turn that has this job's file as its source."""
    with project.store.reading() as tx:
        return queue.turn_of(tx, job.model, _source(project, job.job_id), job.created_at)


def _source(project: Project, job_id: str) -> str:
    """The job's file, from the project's folder: so it is the same in one that was restored elsewhere."""
    return str(Path(project.settings.paths.state) / "retraining" / project.tenant / f"{job_id}.parquet")


def _forget_source(project: Project, job_id: str) -> None:
    source = _source(project, job_id)
    for name in (source, about_rows(source)):
        (project.settings.root / name).unlink(missing_ok=True)
