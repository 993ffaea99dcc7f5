"""Candidates that the gate could not tell from the champion: whether one is judged again, and how it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core import spans
from everloop.core.decisions import GateVerdict
from everloop.core.errors import Invalid, MLOpsError, Unavailable
from everloop.core.loop import DecisionRecord
from everloop.flows import candidates
from everloop.flows import loop as rooms
from everloop.flows.project import Project
from everloop.retraining import remembered, trial
from everloop.store import models, predictions
from everloop.store.predictions import Wanted

from . import following, gathering

MOST_ROWS = 20_000  # the newest


def begins(project: Project, model: str, verdict: GateVerdict | None) -> bool:
    """Whether more labels may say otherwise, where predictions get labels that may be learnt."""
    margin = project.model(model).gate_policy().margin
    return verdict is not None and gathering.learns(project, model) and trial.deserved(verdict, margin)


def look(project: Project, record: DecisionRecord) -> DecisionRecord:
    """The record after one more look. With too few labels, or too few new ones, it was none, nor where
    something that is needed is away."""
    now = project.clock.now()
    later = now + following.between_looks(project, record.model)
    try:
        since, until = _span(project, record)
        with project.store.reading() as tx:
            came = predictions.count(tx, Wanted(record.model, since=since, until=until, label="known"))
        if too_early := trial.too_early(record, came):
            return trial.waits(record, too_early, later)
        verdict = _judged(project, record, since, until)
    except Unavailable:
        retry = timedelta(seconds=spans.seconds(project.model(record.model).retraining.retry))
        return replace(record, again_at=now + retry)
    except Exception as error:  # noqa: BLE001 (a model may raise anything, and others wait behind it)
        said = error.message if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
        return trial.looked(record, GateVerdict(False, f"It cannot be compared: {said}"), None, later)
    if verdict.comparison is None:
        return trial.waits(record, verdict.reason, later)
    if verdict.promote:
        rollout = following.chosen(project, record.model, record.compared_with)
        record = replace(record, rollout=rollout)
    return trial.looked(record, verdict, came, later)


def _span(project: Project, record: DecisionRecord) -> tuple[datetime, datetime]:
    """What was predicted since it was trained, as neither model has learnt that, and has its labels. Raises
    Invalid where the settings name another target by now."""
    with project.store.reading() as tx:
        run = models.find_run(tx, record.run_id or "")
    wanted, target = project.model(record.model).target, run.recipe.target
    if wanted != target:
        raise Invalid(f"The target is now '{wanted}', not '{target}'.")
    since = max(record.at, run.started_at)
    return since, max(gathering.until(project, record.model) or since, since)


def _judged(project: Project, record: DecisionRecord, since: datetime, until: datetime) -> GateVerdict:
    model = project.model(record.model)
    policy = trial.policy(model.gate_policy())
    verdict: GateVerdict = rooms.versus.judge(
        project,
        record.model,
        record.compared_with or "",
        record.version or "",
        since,
        until,
        policy,
        MOST_ROWS,
    )
    earlier = candidates.verdicts(project, model, but=record.turn_id)
    return remembered.judge(verdict, earlier, policy.margin)
