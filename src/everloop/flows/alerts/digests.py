"""What the budget held back, in one message a day and channel.

A digest is an entry of the outbox without a text: that is made of the alerts that wait for it when it goes
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core.monitoring import Alert, Level, Message
from everloop.flows.project import Project
from everloop.store import alerts, history, outbox
from everloop.store.database import Row, Tx
from everloop.store.times import to_text

from . import routing, texts

EVERY = timedelta(days=1)
LONGEST = timedelta(days=7)  # since an alert was heard of last: then no digest follows one that was given up
_LOCK = "digest"


def plan(tx: Tx, now: datetime, channels: Iterable[str]) -> None:
    """See that each channel gets a digest: now, or a day after the last one, whether that was told or not."""
    alerts.begin(tx, _LOCK)
    for channel in channels:
        _plan(tx, now, channel)


def _plan(tx: Tx, now: datetime, channel: str) -> datetime:
    """When the next one is due, which may be planned already."""
    before = outbox.digests(tx, channel)
    if before and not (before[0]["delivered_at"] or before[0]["rejected_at"]):
        return datetime.fromisoformat(before[0]["document"]["not_before"])
    due = max(now, _last(before[0]) + EVERY) if before else now
    document = {"channel": channel, "digest": True, "not_before": to_text(due)}
    outbox.post(tx, outbox.ALERT, outbox.digest_key(channel, len(before) + 1), document, due)
    return due


def _last(entry: Row) -> datetime:
    """When a digest was told. One that was given up had its day from when it was first tried: what failed for
    longer than that is followed by the next at once."""
    if entry["delivered_at"]:
        return datetime.fromisoformat(entry["delivered_at"])
    return min(datetime.fromisoformat(entry[name]) for name in ("created_at", "rejected_at"))


def waiting(tx: Tx, channel: str) -> list[Alert]:
    """The alerts that the channel's next digest tells of, the oldest first."""
    return [alert for alert in reversed(alerts.list_alerts(tx)) if channel in alert.digest]


def held(project: Project, said: str) -> str:
    """Why nobody was told at once, and what became of it."""
    return f"over the budget of {project.settings.alerts.weekly} messages in 7 days: {said}"


def compose(project: Project, entry: Row) -> Message | None:
    """The text of a digest as of now; None where there is nothing to tell. What is silenced waits on."""
    with project.store.reading() as tx:
        silences = alerts.list_silences(tx, project.clock.now())
        found = [
            alert for alert in waiting(tx, entry["document"]["channel"])
            if not all(routing.silence_of(each, alert.model, silences) for each in alert.findings)
        ]  # fmt: skip
    return texts.digest(project, _message_id(entry), found) if found else None


def delivered(tx: Tx, project: Project, entry: Row, message: Message | None) -> None:
    """Its alerts are told of; what came meanwhile, or is silenced, is for the next one."""
    channel, now = entry["document"]["channel"], project.clock.now()
    told = {str(one["alert_id"]) for one in message.data["alerts"]} if message else set()
    for alert in _locked(tx, channel):
        if alert.alert_id in told:
            rest = _without(alert, channel)
            said = f"told in the digest of {texts.moment(now)}"
            if rest:
                said += f"; {', '.join(rest)} {'waits' if len(rest) == 1 else 'wait'} for the next"
            now_told = {**alert.told, channel: alert.digest[channel]}
            alerts.put(tx, replace(alert, told=now_told, digest=rest, held=held(project, said)))
            _note(tx, project, alert, entry, "told", f"{alert.alert_id} to {channel} in a digest")
    if waiting(tx, channel):
        _plan(tx, now, channel)


def given_up(tx: Tx, project: Project, entry: Row, error: str) -> None:
    """Its alerts are for the next one, unless the channel is gone or they were not heard of for long."""
    channel, now = entry["document"]["channel"], project.clock.now()
    for alert in _locked(tx, channel):
        said = f"the digest to {channel} was given up"
        _note(tx, project, alert, entry, "undelivered", f"{alert.alert_id}: {said}: {error}")
        if channel in project.settings.alerts.channels and now - alert.updated_at <= LONGEST:
            follows = f"the next is due {texts.moment(_plan(tx, now, channel))}"
            alert = replace(alert, held=held(project, f"{said} ({error.rstrip('.')}); {follows}"))
        else:
            ended = held(project, f"{said} ({error.rstrip('.')}), and no other follows")
            alert = replace(alert, digest=_without(alert, channel), held=ended)
        alerts.put(tx, alert)
    if waiting(tx, channel):
        _plan(tx, now, channel)


def _locked(tx: Tx, channel: str) -> list[Alert]:
    """Those that wait, and that nobody else changes now."""
    models = sorted({alert.model for alert in waiting(tx, channel)})
    for model in models:
        alerts.begin(tx, model)
    alerts.begin(tx, _LOCK)
    return [alert for alert in waiting(tx, channel) if alert.model in models]


def _without(alert: Alert, channel: str) -> Mapping[str, Level]:
    return {name: level for name, level in alert.digest.items() if name != channel}


def _message_id(entry: Row) -> str:
    key: str = entry["key"]
    return key.removeprefix("alert/").replace("/", "-")


def _note(tx: Tx, project: Project, alert: Alert, entry: Row, kind: str, said: str) -> None:
    details = {
        "alert_id": alert.alert_id,
        "channel": entry["document"]["channel"],
        "message_id": _message_id(entry),
    }
    history.append(tx, alert.model, kind, said, at=project.clock.now(), by="everloop", details=details)
