"""What became known of the candidates that the loop has trained."""

from __future__ import annotations

from everloop.core.decisions import GateVerdict
from everloop.core.documents import load
from everloop.settings import Model
from everloop.store import loop, turns
from everloop.store.database import Tx

from .project import Project

MOST = 30  # retrainings that are looked through


def verdicts(project: Project, model: Model, but: str | None = None) -> list[GateVerdict]:
    """The newest last: the last look's where one was judged again, else the gate's. None where
    ``retraining.past_gains`` is off. ``but``: a turn whose candidate is left out."""
    found: list[GateVerdict] = []
    if not model.retraining.past_gains:
        return found
    with project.store.reading() as tx:
        for record in loop.list_decisions(tx, model.name, "retrain", limit=MOST):
            if record.turn_id is None or record.turn_id == but:
                continue
            verdict = record.last_look or gate_of(tx, record.turn_id)
            found += [verdict] if verdict is not None else []
    return found[::-1]


def gate_of(tx: Tx, turn_id: str) -> GateVerdict | None:
    """What the gate of a turn has said, where it has."""
    gated = turns.finished_step(tx, turn_id, "gate")
    return load(GateVerdict, gated["result"]["verdict"]) if gated is not None else None
