"""Alerts for people who look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from everloop.core.monitoring import Alert, AlertStatus
from everloop.flows.project import Project
from everloop.store import alerts, outbox

_LATELY = timedelta(days=7)


@dataclass(frozen=True)
class Undelivered:
    """Messages that wait, and those that were given up in the last 7 days, each with its last error."""

    waiting: int
    given_up: Sequence[tuple[str, str]]
    problem: str | None


def listed(
    project: Project, model: str | None = None, status: AlertStatus | None = "open", limit: int | None = None
) -> list[Alert]:
    """Newest first. Raises UnknownModel where nothing is found of a model that there is none of."""
    with project.store.reading() as tx:
        found = alerts.list_alerts(tx, model, status, limit=limit)
    if not found and model is not None:
        project.model(model)
    return found


def find(project: Project, alert_id: str) -> Alert:
    with project.store.reading() as tx:
        return alerts.find(tx, alert_id)


def undelivered(project: Project) -> Undelivered:
    with project.store.reading() as tx:
        waiting = outbox.messages(tx)
        lost = outbox.given_up(tx, project.clock.now() - _LATELY)
    problem = next((row["last_error"] for row in waiting if row["last_error"]), None)
    return Undelivered(len(waiting), [(row["key"], row["last_error"]) for row in lost], problem)
