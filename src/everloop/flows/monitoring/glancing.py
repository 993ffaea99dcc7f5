"""How the monitors are, at a glance: one line for each version that was checked lately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from everloop.core.monitoring import Checked, Result
from everloop.flows.project import Project
from everloop.store import monitors

from . import showing, spans
from .showing import Watched

State = Literal["quiet", "findings", "cannot run", "late", "waiting"]
LATELY = timedelta(days=7)  # before the model's newest check
PATIENCE = timedelta(minutes=15)  # after a window is over
MOST_NAMED = 4
MOST_ALERTS = 5  # of a model
LONGEST = 300  # characters of a text
_ORDER = {"critical": 0, "warning": 1, "info": 2}


def glance(project: Project) -> list[dict[str, Any]]:
    """As JSON types but for times. ``state``: quiet; findings in the newest windows; cannot run, where
    nothing of the newest window could be checked; late, where a window is over and nobody looks; waiting for
    the first. ``why`` in words; the open ``alerts`` stand with the first line of their model."""
    found: list[dict[str, Any]] = []
    for one in showing.overview(project):
        lines = list(_lines(project, one))
        for number, line in enumerate(lines):
            line["alerts"] = [] if number else _alerts(one)
            line["more_alerts"] = 0 if number else max(0, len(one.alerts) - MOST_ALERTS)
        found += lines
    return found


def _lines(project: Project, one: Watched) -> Iterator[dict[str, Any]]:
    newest = max((each.at for each in one.checks), default=None)
    checked = {each.version for each in one.checks if newest and each.at >= newest - LATELY}
    with project.store.reading() as tx:
        asked = monitors.versions(tx, one.model, project.clock.now() - LATELY)
    names = {*checked, *asked, *([one.champion] if one.champion else [])}
    versions: list[str | None] = [*sorted(names, key=lambda name: (name != one.champion, name))]
    for version in versions or [None]:
        checks = [each for each in one.checks if each.version == version]
        yield {"model": one.model, "version": version, **_line(project, one.model, version, checks)}


def _line(project: Project, model: str, version: str | None, checks: Sequence[Checked]) -> dict[str, Any]:
    answers = next((each for each in checks if each.kind == "answers"), None)
    late = _late(project, model, version) if version else None
    state, why = _state(checks, answers)
    if late is not None:
        state, why = "late", f"the window until {late:%Y-%m-%d %H:%M} UTC is over and was not checked"
    return {
        "state": state,
        "why": why if len(why) <= LONGEST else f"{why[:LONGEST]}…",
        "checked_at": max((each.at for each in checks), default=None),
        "until": answers.until if answers else None,
        "rows": answers.rows if answers else None,
    }


def _state(checks: Sequence[Checked], answers: Checked | None) -> tuple[State, str]:
    if answers is None:
        return "waiting", "no window is over yet"
    fired = [each for one in checks for each in one.results if each.fired]
    unable = [each for one in checks for each in one.results if each.unable]
    if all(each.unable for each in answers.results):
        return "cannot run", unable[0].message if unable else "nothing was checked"
    silent = f"{len(unable)} could not be checked" if unable else ""
    state: State = "findings" if fired else "quiet"
    return state, "; ".join(filter(None, (_named(fired), silent)))


def _named(fired: Sequence[Result]) -> str:
    worst = sorted(fired, key=lambda each: (_ORDER[each.level], each.statistic != "fault"))
    names = list(dict.fromkeys(f"{each.family} {each.subject}" for each in worst))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _late(project: Project, model: str, version: str) -> datetime | None:
    """The end of a window that should have been checked by now."""
    first = next(spans.over(project, model, version, spans.rules_of(project, model)), None)
    if first is None or project.clock.now() < first.until + spans.GRACE + PATIENCE:
        return None
    return first.until


def _alerts(one: Watched) -> list[dict[str, Any]]:
    """The worst first."""
    shown = sorted(one.alerts, key=lambda each: _ORDER[each.level])[:MOST_ALERTS]
    return [
        {"alert_id": each.alert_id, "level": each.level, "title": each.title, "opened_at": each.opened_at}
        for each in shown
    ]
