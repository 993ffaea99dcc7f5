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


def ask(project: Project, model: str, *, force: bool = False, reason: str = "", request_id: str = "") -> Job:
    """Somebody asks for a retraining, which is considered though the loop is paused, together with all that
    waits. Raises UnknownModel, and Corrupt where a damaged decision stops the loop."""
    project.model(model)
    now = project.clock.now()
    said = reason or "asked for by hand"
    trigger = Trigger("manual", f"manual/{new_id('ask', now)}", now, said)
    with project.store.writing() as tx:
        loop.check(tx, model)
        found = _kept(
            tx, project, model, [trigger], by_hand=True, force=force, reason=said, request_id=request_id
        )
        return found or jobs.newest(tx, model)


def tell(
    project: Project, model: str, kind: TriggerKind, *, reason: str, key: str = "", request_id: str = ""
) -> Job | None:
    """Another system tells what may call for a retraining. With a ``key`` the same is told once: then the job
    that waits, or the newest one, is the answer. None while the loop is paused: it is kept, and considered
    when that is resumed; without a ``key`` once for each pause. Raises as ``ask`` does."""
    project.model(model)
    now = project.clock.now()
    with project.store.writing() as tx:
        loop.check(tx, model)
        pause = loop.pause_of(tx, model)
        once = key or (pause.since.isoformat() if pause else new_id("ask", now))
        trigger = Trigger(kind, f"{kind}/{once}", now, reason)
        found = _kept(tx, project, model, [trigger], reason=reason, request_id=request_id)
        if found is None and loop.pause_of(tx, model) is not None:
            return None
        return found or jobs.newest(tx, model)


def noticed(project: Project, model: str, triggers: list[Trigger]) -> Job | None:
    """Keep the triggers that are new, with the job that considers them; without any, what was put off is to
    be considered again. None where somebody else was first, or has paused the loop."""
    reason = "; ".join(each.message.rstrip(".") for each in triggers)
    with project.store.writing() as tx:
        return _kept(tx, project, model, triggers, reason=reason or "it was put off, and is considered again")


def _kept(
    tx: Tx,
    project: Project,
    model: str,
    triggers: list[Trigger],
    *,
    by_hand: bool = False,
    force: bool = False,
    reason: str,
    request_id: str = "",
) -> Job | None:
    """The triggers that are new, and the job; None where there is nothing new, or the loop is paused."""
    queue.begin(tx)  # before the loop's lock, always
    loop.begin(tx, model)
    new = [each for each in triggers if loop.add_trigger(tx, model, each)]
    if not by_hand and loop.pause_of(tx, model) is not None:
        return None
    if (triggers and not new) or (not triggers and jobs.under_way(tx, model)):
        return None
    return jobs.join(tx, project, model, force=force, reason=reason, request_id=request_id)
