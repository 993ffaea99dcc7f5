"""Somebody, or something, calls for a retraining: it is written down with the job that considers it."""

from __future__ import annotations

from everloop.core.ids import new_id
from everloop.core.loop import Trigger, TriggerKind
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job
from everloop.store import loop


def ask(
    project: Project,
    model: str,
    *,
    kind: TriggerKind = "manual",
    force: bool = False,
    reason: str = "",
    request_id: str = "",
    key: str = "",
) -> Job:
    """Ask for a retraining; the job considers it together with all that waits. With a ``key`` the same is
    asked for once: then the job that waits, or the newest one, is the answer. Raises UnknownModel."""
    project.model(model)
    now = project.clock.now()
    said = reason or {"manual": "asked for by hand", "webhook": "asked for by another system"}.get(kind, kind)
    trigger = Trigger(kind, f"{kind}/{key or new_id('ask', now)}", now, said)
    return noticed(project, model, [trigger], force=force, reason=said, request_id=request_id)


def noticed(
    project: Project,
    model: str,
    triggers: list[Trigger],
    *,
    force: bool = False,
    reason: str = "",
    request_id: str = "",
) -> Job:
    """Keep triggers that are new, and see that a job waits which considers them."""
    with project.store.writing() as tx:
        loop.begin(tx, model)
        for each in triggers:
            loop.add_trigger(tx, model, each)
    said = reason or "; ".join(each.message.rstrip(".") for each in triggers)
    return jobs.enqueue_retrain(project, model, force=force, reason=said, request_id=request_id)
