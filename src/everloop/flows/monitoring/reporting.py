"""What a report of a version's monitors shows: the newest window, how it came to it, and what was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Alert, Checked, Damage, Kind, Result
from everloop.flows.project import Project
from everloop.monitoring import damage
from everloop.monitoring.bins import Bins
from everloop.monitoring.levels import Levels
from everloop.monitoring.reference import Reference
from everloop.monitoring.windows import FeatureWindow, Window
from everloop.store import alerts

from . import damaging, referring, showing, summing

MOST_CHECKS = 400
MOST_SHAPES = 12
MOST_LEVELS = 12
MOST_ALERTS = 50
_BARS = 30


@dataclass(frozen=True)
class Shape:
    """How a feature is distributed, usually and in the newest window: a share for each bar. Of numbers
    ``ends`` are where bars begin and the last ends; of levels they have ``names``."""

    subject: str
    family: str
    kind: str
    names: tuple[str, ...]
    ends: tuple[float, ...]
    usual: tuple[float, ...]
    now: tuple[float, ...]
    missing: tuple[float, float]
    message: str


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


def document(project: Project, model: str, version: str | None = None) -> MonitorReport:
    """Raises UnknownVersion, and NotFound where nothing was checked yet."""
    at = showing.version_of(project, model, version)
    checks = showing.history(project, model, at, MOST_CHECKS)
    with project.store.reading() as tx:
        told = alerts.list_alerts(tx, model, limit=MOST_ALERTS)
    answers = next((one for one in checks if one.kind == "answers"), None)
    labels = next((one for one in checks if one.kind == "labels"), None)
    newest = [one for one in (answers, labels) if one is not None]
    ranked = next((one for one in checks if damaging.ranking(one.results)), None)
    shapes, without = _shapes(project, model, at, answers)
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
        shapes=shapes,
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
    found = damage.drifted([each for each in checked.results if each.family != "prediction"])
    shapes = [_shape(known.inputs, window.inputs, name, "data", checked) for name in found[:MOST_SHAPES]]
    if known.answers is not None and window.answers is not None:
        names = known.answers.features
        shapes += [_shape(known.answers, window.answers, name, "prediction", checked) for name in names]
    return tuple(each for each in shapes if each is not None), known.without


def _shape(reference: Reference, window: Window, name: str, family: str, checked: Checked) -> Shape | None:
    feature, here = reference.features.get(name), window.features.get(name)
    if feature is None or here is None or not here.present:
        return None
    names: tuple[str, ...] = ()
    ends: tuple[float, ...] = ()
    if feature.bins is not None and feature.bins.total:
        ends, usual, now = _bars(feature.bins, here)
    elif feature.levels is not None:
        names, usual, now = _level_bars(feature.levels, here)
    else:
        return None
    messages = [
        each.message for each in checked.results
        if each.subject == name and (each.family == "prediction") == (family == "prediction") and each.fired
    ]  # fmt: skip
    return Shape(
        name, family, feature.kind, names, ends, usual, now,
        (feature.missing / feature.rows, here.missing / max(here.rows, 1)), messages[0] if messages else "",
    )  # fmt: skip


Bars = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


def _bars(bins: Bins, here: FeatureWindow) -> Bars:
    """Of equal width over where nearly all of both lies."""
    least = min(float(bins.edges[0]), here.minimum if here.minimum is not None else np.inf)
    most = max(float(bins.edges[-1]), here.maximum if here.maximum is not None else -np.inf)
    at = np.concatenate([[least], bins.edges, [most]])
    usual = np.concatenate([[0.0], np.cumsum(bins.shares)])
    now = np.concatenate([[0.0], np.cumsum(here.counts / here.present)])
    low = min(float(np.interp(0.005, each, at)) for each in (usual, now))
    high = max(float(np.interp(0.995, each, at)) for each in (usual, now))
    if not low < high:
        low, high = low - 0.5, high + 0.5
    ends = np.linspace(low, high, _BARS + 1)
    shares = [tuple(map(float, np.diff(np.interp(ends, at, each)))) for each in (usual, now)]
    return tuple(map(float, ends)), shares[0], shares[1]


LevelBars = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]


def _level_bars(levels: Levels, here: FeatureWindow) -> LevelBars:
    """The most frequent on either side, and all others together."""
    usual = dict(zip(levels.names, map(float, levels.shares), strict=False))
    now = {name: int(count) / here.present for name, count in zip(levels.names, here.counts, strict=False)}
    now |= {name: count / here.present for name, count in here.named.items()}
    shown = sorted({*usual, *now}, key=lambda name: (-max(usual.get(name, 0), now.get(name, 0)), name))
    names = shown[:MOST_LEVELS]
    before, after = ([each.get(name, 0.0) for name in names] for each in (usual, now))
    if len(shown) > MOST_LEVELS or not levels.complete:
        names = [*names, "(others)"]
        before, after = ([*each, max(0.0, 1 - sum(each))] for each in (before, after))
    return tuple(names), tuple(before), tuple(after)
