"""How far turns are, while they run and afterwards."""

from __future__ import annotations

from datetime import datetime

from everloop.core.turns import StepState, TurnState
from everloop.store import outbox, turns
from everloop.store.database import Row

from .project import Project


def recent(project: Project, model: str | None = None, limit: int = 10) -> list[TurnState]:
    """The newest turns first, each with its steps."""
    with project.store.reading() as tx:
        return [
            _state(row, turns.list_steps(tx, row["turn_id"])) for row in turns.list_turns(tx, model, limit)
        ]


def undelivered(project: Project) -> int:
    """How many entries wait for MLflow."""
    with project.store.reading() as tx:
        return outbox.count_waiting(tx)


def _state(turn: Row, steps: list[Row]) -> TurnState:
    return TurnState(
        turn_id=turn["turn_id"],
        model=turn["model"],
        status=turn["status"],
        started_at=datetime.fromisoformat(turn["started_at"]),
        finished_at=_moment(turn["finished_at"]),
        steps=tuple(
            StepState(
                name=step["name"],
                status=step["status"],
                attempt=step["attempt"],
                started_at=_moment(step["started_at"]),
                finished_at=_moment(step["finished_at"]),
                error=step["error"],
            )
            for step in steps
        ),
        error=turn["error"],
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
