"""Check each window of production once: its answers when it is over, its labels when they have come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Alert, Checked, Kind
from everloop.flows import alerts
from everloop.flows.project import Project
from everloop.settings.monitoring import Watch
from everloop.store import monitors

from . import answering, labelling, proposing, referring, spans, summing
from .looked import Looked, unable
from .spans import Span

Told = Callable[[Checked, Sequence[Alert]], None]


def look(
    project: Project,
    model: str,
    told: Told = lambda checked, changed: None,
    *,
    version: str | None = None,
) -> list[Checked]:
    """Check what is over and was not checked yet, of all versions or of one, oldest first. Each check is one
    transaction with the alerts that come of it, so that a process may end at any time; a window is judged
    once, whoever looks."""
    rules = spans.rules_of(project, model)
    with project.store.reading() as tx:
        versions = monitors.versions(tx, model, project.clock.now() - spans.LONGEST)
    made: list[Checked] = []
    for each in versions if version is None else [one for one in versions if one == version]:
        for span in spans.over(project, model, each, rules):
            made += _check(project, model, each, "answers", span, told)
        for span in spans.labelled(project, model, each, rules):
            made += _check(project, model, each, "labels", span, told)
    return made


def alpha(rules: Watch) -> float:
    """Of each part of a window: together they fire by chance as often as the settings allow."""
    windows = timedelta(days=30) / spans.length(rules)
    return min(0.5, rules.false_alarms / windows / len(PARTS))


PARTS = ("inputs", "answers", "estimates", "labels")


def _check(project: Project, model: str, version: str, kind: Kind, span: Span, told: Told) -> list[Checked]:
    rules = spans.rules_of(project, model)
    room = answering if kind == "answers" else labelling
    try:
        known = referring.of_version(project, model, version)
        found = room.check(project, known, version, span, rules, alpha(rules))
    except MLOpsError as error:
        found = Looked([unable(error)], span.rows)
    checked = Checked(
        model, version, kind, span.since, span.until, project.clock.now(), found.rows, tuple(found.results)
    )
    with project.store.writing() as tx:
        monitors.begin(tx, model)
        if not monitors.add_check(tx, checked):
            return []  # somebody else was first
        if found.mark is not None:
            monitors.put_mark(tx, model, version, found.mark)
        if found.window is not None:
            summing.keep(tx, model, version, span, found.window)
        opened = alerts.showing.findings(tx, model)
        damage, proposal = proposing.damage(checked, opened), proposing.proposal(checked, opened)
        changed = alerts.raising.take(tx, project, checked, damage=damage, proposal=proposal)
    told(checked, changed)
    return [checked]
