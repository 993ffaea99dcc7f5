"""The stages that a new version goes through after the gate, by how it is to be rolled out, and whether one
calls for something: that is asked often, by processes that load no library for training."""

from __future__ import annotations

from datetime import datetime, timedelta

from everloop.core import spans
from everloop.core.loop import DecisionRecord, Stage
from everloop.core.releases import OPEN, PROD
from everloop.flows.project import Project
from everloop.retraining.triage import AHEAD
from everloop.store import loop, models, predictions, releases
from everloop.store.database import Tx
from everloop.store.predictions import Wanted

from . import gathering

RELEASES: tuple[Stage, ...] = ("direct", "shadow", "canary")
_STAGES: dict[str, tuple[Stage, ...]] = {
    "direct": ("direct",),
    "canary": ("canary",),
    "shadow": ("shadow",),
    "shadow-canary": ("shadow", "canary"),
}
ASKED_LATELY = timedelta(days=1)
_HELD = "The loop sees to it: "


def chosen(project: Project, model: str, champion: str | None) -> str:
    """How a new version is rolled out now: nobody can be shown one of a model that nobody asks."""
    wanted = project.model(model).retraining.rollout
    if wanted == "direct" or champion is None:
        return "direct"
    with project.store.reading() as tx:
        asked = predictions.count(tx, Wanted(model, since=project.clock.now() - ASKED_LATELY))
    return wanted if asked else "direct"


def held(rollout: str, approval: bool) -> str:
    """Why a version that passed the gate is not champion at once; empty where it is."""
    if rollout == "direct" and not approval:
        return ""
    way = (
        "it goes out directly"
        if rollout == "direct"
        else f"it goes out by {' and then '.join(_STAGES[rollout])}"
    )
    return f"{_HELD}{way}{', when that is approved' if approval else ''}."


def is_ours(reason: str) -> bool:
    return reason.startswith(_HELD)


def first(rollout: str) -> Stage:
    return _STAGES[rollout][0]


def after(rollout: str, stage: Stage) -> Stage | None:
    stages = _STAGES[rollout]
    where = stages.index(stage) + 1
    return stages[where] if where < len(stages) else None


def before(rollout: str, stage: Stage) -> int:
    """How many stages come before this one."""
    return _STAGES[rollout].index(stage)


def its_release(record: DecisionRecord) -> bool:
    """Whether the release of this stage has begun."""
    return len(record.releases) > before(record.rollout, record.stage)


def is_due(project: Project) -> bool:
    """Whether a retraining under way has something to do, or to hear."""
    now = project.clock.now()
    with project.store.reading() as tx:
        for record in loop.under_way(tx):
            if record.stage == "train" and record.again_at is not None and record.again_at <= now:
                return True
            if record.stage in RELEASES:
                if not its_release(record):
                    if releases.open_release(tx, record.model, PROD) is None:
                        return True
                elif releases.find(tx, record.releases[-1]).status not in OPEN:
                    return True
        return any(
            over(tx, project, each) or is_look_due(tx, project, each, now) for each in loop.on_trial(tx)
        )


def is_look_due(tx: Tx, project: Project, record: DecisionRecord, now: datetime) -> bool:
    """At a candidate on trial. While another retraining is on its way it waits: that may have another one.
    One that is farther away than two looks are apart was set by a wrong clock, or for a longer window."""
    if record.again_at is None or loop.pause_of(tx, record.model) is not None:
        return False
    if now < record.again_at <= now + between_looks(project, record.model) + AHEAD:
        return False
    return all(each.stage == "approval" for each in loop.under_way(tx, record.model))


def between_looks(project: Project, model: str) -> timedelta:
    return timedelta(seconds=spans.seconds(project.model(model).monitoring.window))


def over(tx: Tx, project: Project, record: DecisionRecord) -> str:
    """Why a candidate on trial is not judged again, in words; empty where it is. Others say so, too, when
    they have trained another one."""
    model = record.model
    if model not in project.settings.models:
        return f"{model} is not in the settings any more"
    if not gathering.learns(project, model):
        return "labelled predictions are not learnt from any more"
    serving = models.champion(tx, model)
    if serving is None or serving.version != record.compared_with:
        return f"{model}@{serving.version} is champion now" if serving else "there is no champion any more"
    running, answers = releases.open_release(tx, model, PROD), releases.in_force(tx, model, PROD)
    if running is not None:
        return f"the release {running.release_id} is on its way"
    again = [one for one in releases.list_releases(tx, model, PROD) if one.version == record.version]
    if again:  # people know of it more than labels, whatever the clock said then
        return f"it was released already, {again[0].release_id}"
    if answers is not None and record.ended_at is not None and answers.at > record.ended_at:
        return "there was a release or a rollback meanwhile"
    return ""
