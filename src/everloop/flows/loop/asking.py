"""Somebody, or something, calls for a retraining: it is written down with the job that considers it."""

from __future__ import annotations

from everloop.core.ids import new_id
from everloop.core.loop import Trigger, TriggerKind
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job
from everloop.store import jobs as queue
from everloop.store import loop
from everloop.store.database import Tx


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
    asked for once: then the job that waits, or the newest one, is the answer. Raises UnknownModel, and
    Corrupt where a damaged decision stops the loop."""
    project.model(model)
    now = project.clock.now()
    said = reason or {"manual": "asked for by hand", "webhook": "asked for by another system"}.get(kind, kind)
    trigger = Trigger(kind, f"{kind}/{key or new_id('ask', now)}", now, said)
    with project.store.writing() as tx:
        loop.check(tx, model)
        found = _kept(tx, project, model, [trigger], force=force, reason=said, request_id=request_id)
        return found or jobs.newest(tx, model)


def noticed(project: Project, model: str, triggers: list[Trigger]) -> Job | None:
    """Keep the triggers that are new, with the job that considers them; without any, what was put off is to
    be considered again. None where somebody else was first."""
    reason = "; ".join(each.message.rstrip(".") for each in triggers)
    with project.store.writing() as tx:
        return _kept(tx, project, model, triggers, reason=reason or "it was put off, and is considered again")


def _kept(
    tx: Tx,
    project: Project,
    model: str,
    triggers: list[Trigger],
    *,
    force: bool = False,
    reason: str,
    request_id: str = "",
) -> Job | None:
    queue.begin(tx)  # before the loop's lock, always
    loop.begin(tx, model)
    new = [each for each in triggers if loop.add_trigger(tx, model, each)]
    if (triggers and not new) or (not triggers and jobs.under_way(tx, model)):
        return None
    return jobs.join(tx, project, model, force=force, reason=reason, request_id=request_id)
