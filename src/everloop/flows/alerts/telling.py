"""Who is told of an alert: each channel once at each level, as long as the model's budget lasts.

A message is put into the outbox in the transaction that changes the alert, and delivered later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from everloop.core.documents import dump, load
from everloop.core.monitoring import LEVELS, Alert, EventKind, Finding, Level, Message
from everloop.flows.project import Project
from everloop.settings.alerts import AlertRule
from everloop.store import alerts, outbox
from everloop.store.database import Row, Tx

from . import digests, routing, texts

WEEK = timedelta(days=7)


def tell(tx: Tx, project: Project, alert: Alert, fresh: Sequence[Finding]) -> Alert:
    """Tell whoever has to know what was found now, and does not yet. Returns the alert as it is then;
    ``held`` says why nobody was told."""
    settings, now = project.settings.alerts, project.clock.now()
    silences = alerts.list_silences(tx, now)
    held = [routing.silence_of(each, alert.model, silences) for each in fresh]
    loud = [each for each, silence in zip(fresh, held, strict=True) if silence is None]
    wanted = routing.channels(loud, alert.model, settings)
    due = {
        channel: level
        for channel, level in wanted.items()
        if _higher(level, alert.told.get(channel)) and _higher(level, alert.digest.get(channel))
    }
    if not due:
        silence = next((each for each in held if each is not None), None)
        if wanted:
            return alert  # they know
        if not settings.channels:
            why = "there is nobody to tell: set alerts.channels"
        elif silence is not None and routing.channels(fresh, alert.model, settings):
            why = f"silenced by {silence.by} until {texts.moment(silence.until)}: {silence.reason}"
        else:
            why = _too_low(fresh, bool(settings.rules))
        return replace(alert, held=why)
    if alerts.told_since(tx, alert.model, now - WEEK) >= settings.weekly:
        digests.plan(tx, now, due)
        why = digests.held(project, "held for the next digest")
        return replace(alert, held=why, digest={**alert.digest, **due})
    told = replace(
        alert,
        told={**alert.told, **due},
        digest={name: level for name, level in alert.digest.items() if name not in due},
        notices=(*alert.notices, now),
        held=None,
        messages=alert.messages + 1,
    )
    _post(tx, project, told, "escalated" if alert.told else "opened", due)
    return told


def tell_end(tx: Tx, project: Project, alert: Alert) -> Alert:
    """Tell those who were told of it that it is closed. That is no matter of the budget."""
    if not alert.told or not project.settings.alerts.closing:
        return alert
    told = replace(alert, messages=alert.messages + 1)
    _post(tx, project, told, "closed", alert.told)
    return told


def not_told(tx: Tx, project: Project, entry: Row, error: str) -> None:
    """A message was given up: its channel knows what the one before told, if any, and is told again when
    something is found next; unless a newer message still waits for it."""
    channel, about = entry["document"]["channel"], load(Message, entry["document"]["message"])
    alert_id = about.subject.rpartition("/")[2]
    alerts.begin(tx, entry["document"]["model"])
    alert, others = alerts.find(tx, alert_id), outbox.of_alert(tx, alert_id, channel)
    if about.event == "closed" or any(not (row["delivered_at"] or row["rejected_at"]) for row in others):
        return
    told = {name: level for name, level in alert.told.items() if name != channel}
    before = [load(Message, row["document"]["message"]) for row in others if row["delivered_at"]]
    if before and before[-1].event != "closed":
        told[channel] = before[-1].level
    again = "; it is told again when something is found next" if alert.status == "open" else ""
    why = f"the message to {channel} was given up ({error.rstrip('.')}){again}"
    alerts.put(tx, replace(alert, told=told, held=why))


def _too_low(fresh: Sequence[Finding], rules: bool) -> str:
    level = routing.worst(each.result.level for each in fresh) if fresh else "info"
    if rules:
        return f"of level {level}, below that of every rule that it fits"
    return f"of level {level}; without alerts.rules, channels are told from {AlertRule().level} on"


def _higher(level: Level, than: Level | None) -> bool:
    return than is None or LEVELS.index(level) > LEVELS.index(than)


def _post(tx: Tx, project: Project, alert: Alert, event: EventKind, channels: Iterable[str]) -> None:
    message = texts.message(project, alert, event)
    for channel in channels:
        key = f"alert/{event}/{message.message_id}/{channel}"
        document = {"channel": channel, "model": alert.model, "message": dump(message)}
        outbox.post(tx, outbox.ALERT, key, document, message.at)
