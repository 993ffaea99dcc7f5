"""The end of an alert: nothing is found any more, or somebody says so."""

from __future__ import annotations

from dataclasses import replace

from everloop.core.errors import Conflict, Invalid
from everloop.core.monitoring import Alert
from everloop.flows.project import Project
from everloop.store import alerts, history
from everloop.store.database import Tx

from . import telling


def close(project: Project, alert_id: str, why: str) -> Alert:
    """By hand. What is found afterwards opens another. Raises Invalid (no reason), NotFound, Conflict for
    one that is closed."""
    if not why.strip():
        raise Invalid("To close an alert needs a reason.", remedy="Say why: others will ask.")
    with project.store.writing() as tx:
        alert = alerts.find(tx, alert_id)
        alerts.begin(tx, alert.model)
        alert = alerts.find(tx, alert.alert_id)  # as it is now that nobody else changes it
        if alert.status == "closed":
            raise Conflict(
                f"{alert.alert_id} was closed by {alert.closed_by}: {alert.reason}.",
                remedy="'everloop alerts list' shows those that are open.",
            )
        return ended(tx, project, alert, why, by=project.user)


def ended(tx: Tx, project: Project, alert: Alert, why: str, *, by: str) -> Alert:
    """In the transaction of what ended it."""
    now = project.clock.now()
    closed = replace(alert, status="closed", closed_at=now, closed_by=by, reason=why, updated_at=now)
    closed = telling.tell_end(tx, project, closed)
    alerts.put(tx, closed)
    details = {"alert_id": closed.alert_id, "level": closed.level, "key": closed.key}
    said = f"{closed.alert_id}: {why}"
    history.append(tx, closed.model, "closed", said, at=now, by=by, details=details)
    return closed
