"""What a report of a version's monitors shows: the newest window, how it came to it, and what was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Alert, Checked, Damage, Kind, Result
from everloop.flows.project import Project
from everloop.monitoring import damage
from everloop.store import alerts

from . import damaging, referring, shapes, showing, summing
from .shapes import Shape

MOST_CHECKS = 400
MOST_SHAPES = 12
MOST_ALERTS = 50


@dataclass(frozen=True)
class Point:
    """What a check found about one thing."""

    since: datetime
    until: datetime
    value: float | None
    low: float | None
    high: float | None
    usual: float | None
    floor: float | None
    fired: bool
    unable: bool


@dataclass(frozen=True)
class Course:
    """One thing over all windows, oldest first."""

    kind: Kind
    family: str
    subject: str
    statistic: str
    points: tuple[Point, ...]

    @property
    def farthest(self) -> float:
        """The largest effect, in floors."""
        return max((effect(each) for each in self.points), default=0.0)


@dataclass(frozen=True)
class MonitorReport:
    """``answers`` and ``labels`` are the newest checks; ``findings`` is what fired in them or could not be
    checked, the worst first; ``ranking`` of the newest window in which something was ranked."""

    model: str
    version: str
    made_at: datetime
    windows: int
    answers: Checked | None
    labels: Checked | None
    findings: tuple[Result, ...]
    ranking: tuple[Damage, ...]
    ranked_at: tuple[datetime, datetime] | None
    shapes: tuple[Shape, ...]
    courses: tuple[Course, ...]
    alerts: tuple[Alert, ...]
    without: tuple[str, ...]

    @property
    def faults(self) -> tuple[Result, ...]:
        """What is broken."""
        return tuple(each for each in self.findings if each.statistic == "fault")


def effect(point: Point) -> float:
    """In floors: from 1 on it counts."""
    if point.value is None or not point.floor:
        return 0.0
    return abs(point.value - (point.usual or 0.0)) / point.floor


def document(
    project: Project, model: str, version: str | None = None, until: datetime | None = None
) -> MonitorReport:
    """As of now, or of the window that ended then: what came later is not in it. Raises UnknownVersion, and
    NotFound where nothing was checked yet."""
    at = showing.version_of(project, model, version)
    checks = showing.history(project, model, at, MOST_CHECKS, until=until)
    with project.store.reading() as tx:
        told = alerts.list_alerts(tx, model, limit=MOST_ALERTS)
    answers = next((one for one in checks if one.kind == "answers"), None)
    labels = next((one for one in checks if one.kind == "labels"), None)
    newest = [one for one in (answers, labels) if one is not None]
    ranked = next((one for one in checks if damaging.ranking(one.results)), None)
    drawn, without = _shapes(project, model, at, answers)
    return MonitorReport(
        model=model,
        version=at,
        made_at=project.clock.now(),
        windows=len([one for one in checks if one.kind == "answers"]),
        answers=answers,
        labels=labels,
        findings=_worst_first([each for one in newest for each in one.findings]),
        ranking=tuple(damaging.ranking(ranked.results)) if ranked else (),
        ranked_at=(ranked.since, ranked.until) if ranked else None,
        shapes=drawn,
        courses=_courses(checks),
        alerts=tuple(told),
        without=without,
    )


def _worst_first(results: Sequence[Result]) -> tuple[Result, ...]:
    order = {"critical": 0, "warning": 1, "info": 2}
    return tuple(
        sorted(results, key=lambda each: (each.unable, order[each.level], each.statistic != "fault"))
    )


def _courses(checks: Sequence[Checked]) -> tuple[Course, ...]:
    found: dict[tuple[Kind, str, str, str], list[Point]] = {}
    for one in reversed(checks):
        for each in one.results:
            if each.value is not None and each.family != "check":
                key = (one.kind, each.family, each.subject, each.statistic)
                found.setdefault(key, []).append(_point(one, each))
    return tuple(Course(*key, tuple(points)) for key, points in found.items())


def _point(one: Checked, each: Result) -> Point:
    return Point(
        one.since, one.until, each.value, each.low, each.high, each.usual, each.floor, each.fired, each.unable
    )


def _shapes(
    project: Project, model: str, version: str, checked: Checked | None
) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
    """Of what drifted in the newest window, and of the answers."""
    if checked is None:
        return (), ()
    try:
        known = referring.of_version(project, model, version)
        window = summing.past(project, known, version, checked.since, checked.until)
    except MLOpsError as error:
        return (), (error.message,)
    if window is None:
        return (), ()
    results = checked.results
    drifted = damage.drifted([each for each in results if each.family != "prediction"])[:MOST_SHAPES]
    found = shapes.of(known.inputs, window.inputs, drifted, results)
    if known.answers is not None and window.answers is not None:
        names = list(known.answers.features)
        found += shapes.of(known.answers, window.answers, names, results, family="prediction")
    return tuple(found), known.without
