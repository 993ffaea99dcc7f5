"""Alerts for people who look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.core.monitoring import Alert, AlertStatus, Result
from everloop.flows.project import Project
from everloop.store import alerts, history, outbox
from everloop.store.database import Tx

MOST_EVENTS = 5_000  # of a model, that are looked through
_LATELY = timedelta(days=7)
_EVENTS = {"alerted": "opened"}


@dataclass(frozen=True)
class Undelivered:
    """Messages that wait, and those that were given up in the last 7 days, each with its last error."""

    waiting: int
    given_up: Sequence[tuple[str, str]]
    problem: str | None


@dataclass(frozen=True)
class Step:
    """Of the course of an alert."""

    at: datetime
    words: str


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


def failed(project: Project, alert: Alert) -> list[str]:
    """Which of its messages did not reach their channel, and why."""
    with project.store.reading() as tx:
        rows = outbox.failed_messages(tx, alert.alert_id)
    return [
        f"{row['document']['channel']}: {row['last_error']} "
        f"({'given up' if row['rejected_at'] else 'it is tried again'})"
        for row in rows
    ]


def timeline(project: Project, alert: Alert) -> list[Step]:
    """What is known of the course of an alert, oldest first."""
    with project.store.reading() as tx:
        events = history.list_events(tx, alert.model, MOST_EVENTS)
    steps = [
        Step(each.at, f"{_EVENTS.get(each.kind, each.kind)}: {each.summary}")
        for each in events
        if each.details.get("alert_id") == alert.alert_id
    ]
    steps += [Step(each, "a message was sent") for each in alert.notices]
    windows = Counter((each.until, each.kind) for each in alert.findings)
    for (until, kind), count in windows.items():
        things = "one thing was" if count == 1 else f"{count} things were"
        steps.append(
            Step(until, f"end of a window of {kind} in which {things} found, for the last time so far")
        )
    for of, quiet in alert.quiet.items():
        if quiet.windows:
            said = "window" if quiet.windows == 1 else "windows in a row"
            steps.append(Step(quiet.until, f"nothing was found in {quiet.windows} {said} of {of} until here"))
    return sorted(steps, key=lambda each: each.at)


def findings(tx: Tx, model: str) -> list[Result]:
    """What was found in the alerts of a model that are open."""
    return [each.result for one in alerts.list_alerts(tx, model, "open") for each in one.findings]


def undelivered(project: Project) -> Undelivered:
    with project.store.reading() as tx:
        waiting = outbox.messages(tx)
        lost = outbox.given_up(tx, project.clock.now() - _LATELY)
    problem = next((row["last_error"] for row in waiting if row["last_error"]), None)
    return Undelivered(len(waiting), [(row["key"], row["last_error"]) for row in lost], problem)
