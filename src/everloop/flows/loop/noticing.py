"""What calls for a retraining by itself: alerts, new labels, new data, the clock, and what was put off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from everloop.core import spans
from everloop.core.loop import Trigger, TriggerKind
from everloop.core.monitoring import Alert
from everloop.core.releases import PROD
from everloop.flows.project import Project
from everloop.retraining import records, schedule
from everloop.retraining.triage import AHEAD
from everloop.settings.retraining import Retraining
from everloop.store import alerts, jobs, loop, models, releases
from everloop.store.database import Tx

from . import asking, gathering

_FAMILIES: dict[str, TriggerKind] = {
    "performance": "performance",
    "concept": "performance",
    "estimated": "estimated",
    "data": "drift",
    "joint": "drift",
    "prediction": "drift",
}
ALMOST = 0.1  # of the labels that make it think, or one: so few are missing


@dataclass(frozen=True)
class News:
    """``triggers``: by model what is new; nothing where what was put off is to be considered again.
    ``missing``: by model how many labels are, where that are few."""

    triggers: dict[str, list[Trigger]]
    missing: dict[str, int]


def notice(project: Project) -> list[str]:
    """Write down what is new, and have it considered; returns the models that it is new of."""
    found = news(project).triggers
    return [model for model, triggers in found.items() if asking.noticed(project, model, triggers)]


def news(project: Project) -> News:
    """Of the models whose loop is not paused, that are not being retrained, and that have no decision under
    way that is damaged."""
    found = News({}, {})
    for model in project.settings.models:
        with project.store.reading() as tx:
            if loop.pause_of(tx, model) is not None or loop.under_way(tx, model) or loop.lost(tx, model):
                continue
            if jobs.waiting(tx, "retrain", model) is not None:
                continue
        triggers = _new(project, model, found.missing)
        if triggers or _is_again(project, model):
            found.triggers[model] = triggers
    return found


def _new(project: Project, model: str, missing: dict[str, int]) -> list[Trigger]:
    rules = project.model(model).retraining
    with project.store.reading() as tx:
        serving = models.champion(tx, model)
        if serving is None:
            return []
        found = _of_alerts(tx, model, serving.version, rules)
        found += _of_clock(tx, project, model, rules, serving.created_at)
        known = loop.known_keys(tx, model, [each.key for each in found])
        found = [each for each in found if each.key not in known]
    if "labels" in rules.on:
        found += _of_labels(project, model, serving.version, rules, missing)
    if "data" in rules.on:
        found += _of_data(project, model, serving.version, serving.created_at)
    return found


def _of_alerts(tx: Tx, model: str, version: str, rules: Retraining) -> list[Trigger]:
    """Of each kind the newest window of an alert: it triggers again when a later one finds it, too."""
    found: dict[str, Trigger] = {}
    for alert in alerts.list_alerts(tx, model, "open"):
        for kind, until, message in _signs(alert, version):
            if kind in rules.on:
                key = f"alert/{alert.alert_id}/{kind}/{until.isoformat()}"
                details = {"alert_id": alert.alert_id}
                found.setdefault(key, Trigger(kind, key, alert.updated_at, message, details))
    return list(found.values())


def _signs(alert: Alert, version: str) -> list[tuple[TriggerKind, datetime, str]]:
    newest: dict[TriggerKind, tuple[datetime, str]] = {}
    for each in alert.findings:
        kind = _FAMILIES.get(each.result.family)
        if kind is None or not each.result.fired or each.version != version:
            continue
        if kind not in newest or each.until > newest[kind][0]:
            newest[kind] = (each.until, each.result.message)
    return [(kind, until, message) for kind, (until, message) in newest.items()]


def _of_clock(tx: Tx, project: Project, model: str, rules: Retraining, since: datetime) -> list[Trigger]:
    if rules.schedule is None:
        return []
    last, now = loop.newest_trigger(tx, model, "schedule/"), project.clock.now()
    if last is not None and last.at <= now + AHEAD:  # a later one was seen by a clock that was wrong
        since = last.at
    due = schedule.last_due(rules.schedule, since, now)
    if due is None:
        return []
    said = f"The schedule '{rules.schedule}' was due at {due:%Y-%m-%d %H:%M} UTC"
    return [Trigger("schedule", f"schedule/{due.isoformat()}", due, said)]


def _of_labels(
    project: Project, model: str, version: str, rules: Retraining, missing: dict[str, int]
) -> list[Trigger]:
    """Each time that another ``new_labels`` are there; not at once after training would not have helped."""
    window = spans.seconds(project.model(model).monitoring.window)
    with project.store.reading() as tx:
        decided = loop.list_decisions(tx, model, limit=1)
    if records.rests(decided[0] if decided else None, project.clock.now(), window):
        return []
    until = gathering.until(project, model)
    rows = gathering.new(project, model, until)
    many, over = divmod(rows, rules.new_labels)
    if rules.new_labels - over <= max(1, ALMOST * rules.new_labels):
        missing[model] = rules.new_labels - over
    if not many:
        return []
    key = f"labels/{version}/{many}"
    with project.store.reading() as tx:
        if loop.known_keys(tx, model, [key]):
            return []
    said = f"{rows:,} labelled rows are new since {version} was trained"
    return [Trigger("labels", key, project.clock.now(), said, {"rows": rows})]


def _of_data(project: Project, model: str, version: str, since: datetime) -> list[Trigger]:
    """The model's file was written after it was trained."""
    changed = gathering.written(project, model)
    if changed is None or changed <= since:
        return []
    key = f"data/{changed.isoformat()}"
    with project.store.reading() as tx:
        if loop.known_keys(tx, model, [key]):
            return []
    said = f"{project.model(model).data.path} was written anew after {version} was trained"
    return [Trigger("data", key, changed, said)]


def _is_again(project: Project, model: str) -> bool:
    """Whether what was put off is to be considered again."""
    with project.store.reading() as tx:
        waiting = loop.waiting(tx, model)
        last = loop.list_decisions(tx, model, limit=1)
        released = releases.open_release(tx, model, PROD)
    now = project.clock.now()
    return bool(waiting) and records.is_due(last[0] if last else None, now, released=released is not None)
