"""What became known of the candidates that the loop has trained."""

from __future__ import annotations

from everloop.core.decisions import GateVerdict
from everloop.core.documents import load
from everloop.settings import Model
from everloop.store import loop, turns

from .project import Project

MOST = 30  # retrainings that are looked through


def verdicts(project: Project, model: Model, but: str | None = None) -> list[GateVerdict]:
    """Of those that a champion stood against, the newest last: the last look's where one was judged again,
    else the gate's. None where ``retraining.past_gains`` is off. ``but``: a turn whose candidate is left
    out."""
    found: list[GateVerdict] = []
    if not model.retraining.past_gains:
        return found
    with project.store.reading() as tx:
        for record in loop.list_decisions(tx, model.name, "retrain", limit=MOST):
            if record.turn_id is None or record.turn_id == but:
                continue
            gated = turns.finished_step(tx, record.turn_id, "gate")
            if gated is not None and gated["result"]["champion"] is not None:
                found.append(record.last_look or load(GateVerdict, gated["result"]["verdict"]))
    return found[::-1]
