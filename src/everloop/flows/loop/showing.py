"""The loop for people who look: where each model is, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from everloop.core.loop import DecisionRecord, Pause, Trigger
from everloop.flows.monitoring import unchecked
from everloop.flows.project import Project
from everloop.flows.serving.jobs import Job, lease
from everloop.retraining import schedule, triage
from everloop.retraining.triage import Rows
from everloop.store import jobs, loop, models
from everloop.store.database import Tx

from . import gathering

NEWEST = 50  # decisions of a model that are looked at for one that cannot be read


@dataclass(frozen=True)
class Work:
    """A job that waits or is done. ``owner`` is the process that holds it, and ``heard_at`` when that was
    heard of last; it holds the job until ``held_until`` unless it is heard of again. All None while nobody
    has taken it."""

    job_id: str
    status: str
    asked_at: datetime
    owner: str | None = None
    heard_at: datetime | None = None
    held_until: datetime | None = None


@dataclass(frozen=True)
class Leeway:
    """What the rules leave. ``rests_until``: the end of the cooldown, None where it is over; ``trained``:
    trainings by the loop in the period, ``budget`` at most, and ``used_up_until`` when there may be another;
    ``rows`` that the champion has not seen, of which ``min_rows`` new ones are needed."""

    rests_until: datetime | None
    trained: int
    budget: int
    period: float
    rows: Rows
    min_rows: int
    used_up_until: datetime | None = None


@dataclass(frozen=True)
class Standing:
    """Where the loop of a model is. ``work``: the job that waits or is done; ``due``: when its schedule comes
    next; ``under_way`` oldest first; ``leeway`` where it was asked for, of a model with a champion;
    ``unreadable``: of the newest decisions those that are damaged, by id; ``lost``: those that are and have
    not ended, so that the loop stops; ``future``: the last training, where that is dated in the future;
    ``on_trial``: what is judged again."""

    model: str
    champion: str | None
    pause: Pause | None
    waiting: tuple[Trigger, ...]
    under_way: tuple[DecisionRecord, ...]
    last: DecisionRecord | None
    work: Work | None = None
    due: datetime | None = None
    leeway: Leeway | None = None
    unreadable: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    future: datetime | None = None
    on_trial: tuple[DecisionRecord, ...] = ()


def standings(project: Project, model: str | None = None, *, counted: bool = False) -> list[Standing]:
    """``counted``: with the rows that there are to learn from, which takes longer where many were predicted.
    Raises UnknownModel."""
    if model is not None:
        project.model(model)
    names = [model] if model else list(project.settings.models)
    return [_standing(project, name, counted) for name in names]


def _standing(project: Project, model: str, counted: bool) -> Standing:
    rules, now = project.model(model).retraining, project.clock.now()
    with project.store.reading() as tx:
        newest = max(loop.retrained(tx, model), default=now)
        serving = models.champion(tx, model)
        going = loop.under_way(tx, model)
        judged = [each for each in loop.on_trial(tx) if each.model == model]
        lost = [row["decision_id"] for row in loop.lost(tx, model)]
        decided, unreadable = loop.read_decisions(tx, model, limit=NEWEST)
        pause, waiting, work = loop.pause_of(tx, model), loop.waiting(tx, model), _work(tx, project, model)
    return Standing(
        model,
        serving.version if serving else None,
        pause,
        tuple(waiting),
        tuple(going),
        decided[0] if decided else None,
        work,
        schedule.next_due(rules.schedule, now) if rules.schedule else None,
        _leeway(project, model) if counted and serving else None,
        tuple(dict.fromkeys([*lost, *unreadable])),
        tuple(lost),
        None if triage.past([newest], now) else newest,
        tuple(judged),
    )


def _work(tx: Tx, project: Project, model: str) -> Work | None:
    """The job that is being done, else the one that waits."""
    found = [row for status in ("running", "queued") for row in jobs.list_jobs(tx, model, status, limit=1)]
    if not found:
        return None
    row = found[0]
    asked = datetime.fromisoformat(row["created_at"])
    if row["status"] == "queued" or row["lease_until"] is None:
        return Work(row["job_id"], row["status"], asked)
    until = datetime.fromisoformat(row["lease_until"])
    return Work(row["job_id"], row["status"], asked, row["owner"], until - lease(project), until)


def _leeway(project: Project, model: str) -> Leeway:
    rules, now = project.model(model).retraining.rules, project.clock.now()
    with project.store.reading() as tx:
        retrained = loop.retrained(tx, model)
    until = gathering.until(project, model)
    faults = unchecked.faults(project, model, until) if until is not None else []
    return Leeway(
        rules.rests_until(retrained, now),
        len(rules.lately(retrained, now)),
        rules.budget,
        rules.period,
        gathering.count(project, model, until, [each.span for each in faults]),
        rules.min_rows,
        rules.used_up_until(retrained, now),
    )


def decisions(
    project: Project, model: str | None = None, action: str | None = None, limit: int | None = 50
) -> list[DecisionRecord]:
    """Newest first, without those that cannot be read. Raises UnknownModel where nothing was decided of a
    model that there is none of."""
    return readable(project, model, action, limit)[0]


def readable(
    project: Project, model: str | None = None, action: str | None = None, limit: int | None = 50
) -> tuple[list[DecisionRecord], list[str]]:
    """As ``decisions``, with the ids of those that cannot be read."""
    with project.store.reading() as tx:
        found, unreadable = loop.read_decisions(tx, model, action, limit=limit)
    if not (found or unreadable) and model is not None:
        project.model(model)
    return found, unreadable


def find(project: Project, decision_id: str) -> DecisionRecord:
    """By its id, or a unique ending or beginning of it. Raises NotFound."""
    with project.store.reading() as tx:
        return loop.find(tx, decision_id)


def champion(project: Project, model: str) -> str | None:
    """The version that is champion now."""
    with project.store.reading() as tx:
        serving = models.champion(tx, model)
    return serving.version if serving else None


def of_job(project: Project, job: Job) -> DecisionRecord | None:
    """What was decided of a job; None where it failed before."""
    with project.store.reading() as tx:
        return loop.find(tx, job.decision_id) if job.decision_id else loop.of_job(tx, job.job_id)
