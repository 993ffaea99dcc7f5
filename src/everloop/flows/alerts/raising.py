"""What a check found becomes an alert, updates the one that is open, or lets it close."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from everloop.core.ids import new_id
from everloop.core.monitoring import LEVELS, Alert, Checked, Finding, Quiet, Result
from everloop.flows.project import Project
from everloop.store import alerts, history
from everloop.store.database import Tx

from . import closing, feeds, routing, telling, texts

BY_ITSELF = "everloop"
RECENT = 20  # closed alerts that labels may belong to
MOST_FINDINGS = 200  # of one alert: of more the worst and newest are kept


def take(tx: Tx, project: Project, checked: Checked, *, damage: str = "", proposal: str = "") -> list[Alert]:
    """Take in a check, also one that found nothing, in its transaction. Returns the alerts that were opened,
    updated or closed. ``damage`` is what is expected to come of what was found, ``proposal`` what the system
    did or proposes."""
    alerts.begin(tx, checked.model)
    settings = project.settings.alerts
    opened = {alert.key: alert for alert in alerts.list_alerts(tx, checked.model, "open")}
    groups: dict[str, list[Result]] = {}
    for result in checked.findings:
        groups.setdefault(routing.key(result, checked.model, settings), []).append(result)
    changed = []
    for key, results in groups.items():
        fresh = [
            Finding(each, checked.version, checked.kind, checked.since, checked.until) for each in results
        ]
        before = opened.pop(key, None)
        if before is not None and feeds.are_past(tx, before, checked.since, settings.quiet):
            said = f"its feed was sound in {_in_a_row(settings.quiet)}, and what is found now is not of it"
            changed.append(closing.ended(tx, project, before, said, by=BY_ITSELF))
            before = None
        before = before or _of_these(tx, project, checked, key)
        alert = _updated(before or _opened(project, checked, key, fresh), checked, fresh, damage, proposal)
        if before is None:
            _tell(tx, project, alert, "alerted", f"{alert.level}: {alert.title}")
        elif alert.level != before.level:
            _tell(tx, project, alert, "escalated", f"{alert.level}, was {before.level}: {alert.title}")
        alert = telling.tell(tx, project, alert, fresh)
        alerts.put(tx, alert)
        changed.append(alert)
    for alert in opened.values():
        changed += _quiet(tx, project, alert, checked)
    return changed


def _of_these(tx: Tx, project: Project, checked: Checked, key: str) -> Alert | None:
    """The alert of the same windows, open again: it closed before their labels came."""
    if checked.kind != "labels":
        return None
    for alert in alerts.list_alerts(tx, checked.model, "closed", key=key, limit=RECENT):
        same = any(each.since < checked.until and checked.since < each.until for each in alert.findings)
        if same and alert.closed_by == BY_ITSELF:
            opened = replace(alert, status="open", closed_at=None, closed_by=None, reason="")
            if project.settings.alerts.closing:
                opened = replace(opened, told={})  # for those who were told that it closed it is a new one
            _tell(tx, project, opened, "reopened", f"labels came: {alert.title}")
            return opened
    return None


def _opened(project: Project, checked: Checked, key: str, fresh: list[Finding]) -> Alert:
    now = project.clock.now()
    return Alert(
        alert_id=new_id("alert", now),
        model=checked.model,
        key=key,
        level=routing.worst(each.result.level for each in fresh),
        status="open",
        title="",
        opened_at=now,
        updated_at=now,
        findings=(),
        times=0,
    )


def _updated(alert: Alert, checked: Checked, fresh: list[Finding], damage: str, proposal: str) -> Alert:
    """With what this check found: the newest of each subject, and never a lower level than before."""
    known = {_name(each): each for each in alert.findings}
    for each in fresh:
        before = known.get(_name(each))
        known[_name(each)] = replace(each, times=before.times + 1) if before else each
    order = sorted(known.values(), key=_urgency, reverse=True)
    changed = replace(
        alert,
        level=routing.worst([alert.level, *(each.result.level for each in fresh)]),
        updated_at=max(alert.updated_at, checked.at),
        findings=tuple(order[:MOST_FINDINGS]),
        times=alert.times + 1,
        quiet={**alert.quiet, checked.kind: Quiet(0, checked.until)},
        damage=damage or alert.damage,
        proposal=proposal or alert.proposal,
    )
    return replace(changed, title=texts.title(changed))


def _name(finding: Finding) -> tuple[str, str, str]:
    return finding.result.family, finding.result.subject, finding.result.statistic


def _urgency(finding: Finding) -> tuple[int, bool, bool, datetime]:
    """What is broken comes before what comes of it."""
    result = finding.result
    return LEVELS.index(result.level), result.fired, result.statistic == "fault", finding.until


def _quiet(tx: Tx, project: Project, alert: Alert, checked: Checked) -> list[Alert]:
    """A window counts once, whichever versions were checked in it, and none that something was found in."""
    before = alert.quiet.get(checked.kind)
    if before is None or checked.since < before.until:
        return []
    counted = {**alert.quiet, checked.kind: Quiet(before.windows + 1, checked.until)}
    alert = replace(alert, quiet=counted, updated_at=max(alert.updated_at, checked.at))
    enough = project.settings.alerts.quiet
    if all(each.windows >= enough for each in counted.values()):
        said = f"nothing was found in {_in_a_row(enough)}"
        return [closing.ended(tx, project, alert, said, by=BY_ITSELF)]
    alerts.put(tx, alert)
    return [alert]


def _tell(tx: Tx, project: Project, alert: Alert, kind: str, said: str) -> None:
    details = {"alert_id": alert.alert_id, "level": alert.level, "key": alert.key}
    history.append(tx, alert.model, kind, said, at=project.clock.now(), by=project.user, details=details)


def _in_a_row(windows: int) -> str:
    return f"{windows} window{'s' if windows > 1 else ''} in a row"
