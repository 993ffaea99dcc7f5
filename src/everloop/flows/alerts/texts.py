"""Alerts in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

from everloop.core import unseen
from everloop.core.documents import dump
from everloop.core.monitoring import Alert, EventKind, Finding, Level, Message
from everloop.flows.project import Project

from . import routing

_SHOWN = 12  # findings in a message
_LONGEST = 300  # characters of one finding
_EVENTS = {"opened": "", "escalated": "Now {level}: ", "closed": "Closed: "}


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def title(alert: Alert) -> str:
    """One line: the worst that was found, and how much more. What could not be checked does not count, nor
    what the contract says of a column that is broken: that is the same."""
    broken = {each.result.subject for each in alert.findings if each.result.statistic == "fault"}
    others = [
        each.result for each in alert.findings[1:]
        if each.result.family != "check" or each.result.subject not in broken
    ]  # fmt: skip
    more = sum(each.fired for each in others)
    said = _clipped(alert.findings[0].result.message).rstrip(".")
    return f"{alert.model}: {said}" + (f", and {more} more" if more else "")


def message(project: Project, alert: Alert, event: EventKind) -> Message:
    return Message(
        message_id=f"{alert.alert_id}-{alert.messages}",
        event=event,
        level=alert.level,
        subject=f"{alert.model}/{alert.alert_id}",
        at=project.clock.now(),
        title=f"[{alert.level}] {_EVENTS[event].format(level=alert.level)}{alert.title}",
        text="\n".join(_lines(project, alert)),
        source=source(project),
        data={"project": project.settings.project, "link": link(project, alert), "alert": _short(alert)},
    )


def digest(project: Project, message_id: str, alerts: Sequence[Alert]) -> Message:
    """One message of all alerts that the budget held back."""
    levels: list[Level] = [alert.level for alert in alerts]
    models = sorted({alert.model for alert in alerts})
    lines = [f"The budget of {project.settings.alerts.weekly} messages in 7 days is used up. Held back:", ""]
    for alert in alerts:
        lines.append(f"- [{alert.level}] {alert.title} ({_course(alert)}, {alert.alert_id})")
        if found := link(project, alert):
            lines.append(f"  {found}")
    lines += ["", f"Message {message_id}"]
    many = f"{len(alerts)} alert{'s' if len(alerts) > 1 else ''}"
    return Message(
        message_id=message_id,
        event="digest",
        level=routing.worst(levels),
        subject=", ".join(models),
        at=project.clock.now(),
        title=f"[{routing.worst(levels)}] {many} over the budget: {', '.join(models)}",
        text="\n".join(lines),
        source=source(project),
        data={"project": project.settings.project, "alerts": [_short(alert) for alert in alerts]},
    )


def trial(project: Project, message_id: str, channel: str) -> Message:
    return Message(
        message_id=message_id,
        event="test",
        level="info",
        subject=channel,
        at=project.clock.now(),
        title=f"A test of the channel {channel}",
        text=f"Everloop can reach you here.\n\nMessage {message_id}",
        source=source(project),
        data={"project": project.settings.project, "channel": channel},
    )


def source(project: Project) -> str:
    """Who says so; with it a message's id is unique."""
    return f"/everloop/{quote(project.settings.project)}/{quote(project.tenant)}"


def link(project: Project, alert: Alert) -> str | None:
    base = project.settings.alerts.link
    return f"{base.rstrip('/')}/alerts/{alert.alert_id}" if base else None


def found(finding: Finding) -> str:
    """A finding in one line, with its numbers."""
    result = finding.result
    often = f", in {finding.times} windows" if finding.times > 1 else ""
    window = f"{moment(finding.since)} to {moment(finding.until)}"
    return f"[{result.level}] {_clipped(result.message)} ({finding.version}, {window}{often})"


def _course(alert: Alert) -> str:
    """Since when, until when, and in how many windows something was found."""
    times = f"found in {alert.times} window{'' if alert.times == 1 else 's'}"
    if alert.closed_at is None:
        return f"open since {moment(alert.opened_at)}, {times}"
    return f"opened {moment(alert.opened_at)}, closed {moment(alert.closed_at)}, {times}"


def _lines(project: Project, alert: Alert) -> list[str]:
    lines = [f"What was found ({alert.model}, since {moment(alert.opened_at)}):"]
    lines += [f"- {found(each)}" for each in alert.findings[:_SHOWN]]
    if more := len(alert.findings) - _SHOWN:
        lines += [f"- and {more} more"] if more > 0 else []
    lines += ["", f"Expected damage: {_line(alert.damage) or 'not known'}"]
    lines += [f"What was done or is proposed: {_line(alert.proposal) or 'nothing yet'}"]
    if alert.status == "closed":
        lines += ["", f"Closed by {alert.closed_by}: {alert.reason}"]
    else:
        lines += ["", f"To quiet it: everloop alerts silence {alert.model} --for 2h --why '…'"]
        lines += [f"To close it: everloop alerts close {alert.alert_id} --why '…'"]
    if address := link(project, alert):
        lines += [f"More: {address}"]
    return [*lines, "", f"Message {alert.alert_id}-{alert.messages}"]


def _short(alert: Alert) -> dict[str, object]:
    document = dump(replace(alert, findings=alert.findings[:_SHOWN]))
    hidden = ("format", "told", "notices", "messages", "digest", "held", "quiet")
    return {name: value for name, value in document.items() if name not in hidden} | {
        "findings_count": len(alert.findings)
    }


def _line(text: str) -> str:
    return unseen.escaped(" ".join(text.split()))


def _clipped(text: str) -> str:
    line = _line(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
