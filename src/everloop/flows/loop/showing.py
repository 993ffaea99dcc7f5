"""The loop for people who look: where each model is, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from everloop.core.loop import DecisionRecord, Pause, Trigger
from everloop.flows.project import Project
from everloop.retraining import schedule
from everloop.store import jobs, loop, models


@dataclass(frozen=True)
class Standing:
    """Where the loop of a model is. ``job_id``: the job that waits or is done; ``due``: when its schedule
    comes next."""

    model: str
    champion: str | None
    pause: Pause | None
    waiting: tuple[Trigger, ...]
    under_way: DecisionRecord | None
    last: DecisionRecord | None
    job_id: str | None = None
    due: datetime | None = None


def standings(project: Project, model: str | None = None) -> list[Standing]:
    """Raises UnknownModel."""
    if model is not None:
        project.model(model)
    names = [model] if model else list(project.settings.models)
    return [_standing(project, name) for name in names]


def _standing(project: Project, model: str) -> Standing:
    rules = project.model(model).retraining
    with project.store.reading() as tx:
        serving = models.champion(tx, model)
        going = loop.under_way(tx, model)
        last = loop.list_decisions(tx, model, limit=1)
        open_jobs = [
            row for row in jobs.list_jobs(tx, model, limit=20) if row["status"] in ("queued", "running")
        ]
        pause, waiting = loop.pause_of(tx, model), loop.waiting(tx, model)
    due = schedule.next_due(rules.schedule, project.clock.now()) if rules.schedule else None
    return Standing(
        model,
        serving.version if serving else None,
        pause,
        tuple(waiting),
        going[0] if going else None,
        last[0] if last else None,
        open_jobs[0]["job_id"] if open_jobs else None,
        due,
    )


def decisions(
    project: Project, model: str | None = None, action: str | None = None, limit: int | None = 50
) -> list[DecisionRecord]:
    """Newest first. Raises UnknownModel where nothing was decided of a model that there is none of."""
    with project.store.reading() as tx:
        found = loop.list_decisions(tx, model, action, limit=limit)
    if not found and model is not None:
        project.model(model)
    return found


def find(project: Project, decision_id: str) -> DecisionRecord:
    """By its id, or a unique ending or beginning of it. Raises NotFound."""
    with project.store.reading() as tx:
        return loop.find(tx, decision_id)
