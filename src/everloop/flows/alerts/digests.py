"""What the budget held back, in one message a day and channel.

A digest is an entry of the outbox without a text: that is made of the alerts that wait for it when it goes
out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core.monitoring import Alert, Message
from everloop.flows.project import Project
from everloop.store import alerts, outbox
from everloop.store.database import Row, Tx
from everloop.store.times import to_text

from . import texts

EVERY = timedelta(days=1)
_LOCK = "digest"


def plan(tx: Tx, now: datetime, channels: Iterable[str]) -> None:
    """See that each channel gets a digest: now, or a day after the last one."""
    alerts.begin(tx, _LOCK)
    for channel in channels:
        _plan(tx, now, channel)


def _plan(tx: Tx, now: datetime, channel: str) -> None:
    before = outbox.digests(tx, channel)
    if before and not (before[0]["delivered_at"] or before[0]["rejected_at"]):
        return
    due = now
    if before and before[0]["delivered_at"]:
        due = max(now, datetime.fromisoformat(before[0]["delivered_at"]) + EVERY)
    document = {"channel": channel, "digest": True, "not_before": to_text(due)}
    outbox.post(tx, outbox.ALERT, outbox.digest_key(channel, len(before) + 1), document, due)


def waiting(tx: Tx, channel: str) -> list[Alert]:
    """The alerts that the channel's next digest tells of, the oldest first."""
    return [alert for alert in reversed(alerts.list_alerts(tx)) if channel in alert.digest]


def compose(project: Project, entry: Row) -> Message | None:
    """The text of a digest as of now; None where there is nothing to tell any more."""
    with project.store.reading() as tx:
        found = waiting(tx, entry["document"]["channel"])
    message_id = entry["key"].removeprefix("alert/").replace("/", "-")
    return texts.digest(project, message_id, found) if found else None


def delivered(tx: Tx, project: Project, entry: Row, message: Message) -> None:
    """Its alerts are told of; what came meanwhile is for the next one."""
    channel, now = entry["document"]["channel"], project.clock.now()
    told = {str(one["alert_id"]) for one in message.data["alerts"]}
    for model in sorted({alert.model for alert in waiting(tx, channel)}):
        alerts.begin(tx, model)
    alerts.begin(tx, _LOCK)
    found = waiting(tx, channel)
    for alert in found:
        if alert.alert_id in told:
            rest = {name: level for name, level in alert.digest.items() if name != channel}
            now_told = {**alert.told, channel: alert.digest[channel]}
            held = f"{(alert.held or '').partition(': told')[0]}: told in the digest of {texts.moment(now)}"
            alerts.put(tx, replace(alert, told=now_told, digest=rest, held=held))
    if any(alert.alert_id not in told for alert in found):
        _plan(tx, now, channel)
