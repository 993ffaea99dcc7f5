"""What happened to a model over time: its decisions, its champions, and how right they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.core.loop import DecisionRecord
from everloop.core.monitoring import Checked, Family, Kind
from everloop.core.releases import PROD
from everloop.flows.project import Project
from everloop.store import loop, monitors, releases

MOST_DECISIONS = 300  # the newest
MOST_CHECKS = 300
SHORTEST = timedelta(hours=1)
_KNOWN_BY: tuple[tuple[Kind, Family], ...] = (("labels", "performance"), ("answers", "estimated"))


@dataclass(frozen=True)
class Score:
    """How right a version was in a window; ``low`` and ``high`` bound it."""

    version: str
    since: datetime
    until: datetime
    value: float
    low: float | None
    high: float | None
    fired: bool


@dataclass(frozen=True)
class Reign:
    version: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Course:
    """All oldest first, between ``since`` and ``until``. ``metric`` is what the scores are, from labels or
    ``estimated`` without them; empty where there are none."""

    model: str
    since: datetime
    until: datetime
    decisions: tuple[DecisionRecord, ...]
    reigns: tuple[Reign, ...]
    metric: str = ""
    estimated: bool = False
    scores: tuple[Score, ...] = ()


def course(project: Project, model: str) -> Course | None:
    """None of a model of which nothing was decided. Raises UnknownModel."""
    wanted, now = project.model(model).gate.metric, project.clock.now()
    with project.store.reading() as tx:
        decided = loop.list_decisions(tx, model, limit=MOST_DECISIONS)[::-1]
        began = releases.reigns(tx, model, PROD)
        checks = {kind: monitors.checks(tx, model, kind=kind, limit=MOST_CHECKS) for kind, _ in _KNOWN_BY}
    if not decided:
        return None
    family, metric, scores = _known(checks, wanted)
    since = min(now - SHORTEST, decided[0].at, *(each.since for each in scores))
    ends = [*(at for at, _ in began), now][1:]
    reigns = tuple(
        Reign(version, max(at, since), end)
        for (at, version), end in zip(began, ends, strict=True)
        if end > since
    )
    return Course(model, since, now, tuple(decided), reigns, metric, family == "estimated", scores)


def _known(checks: Mapping[Kind, list[Checked]], wanted: str | None) -> tuple[Family, str, tuple[Score, ...]]:
    """From labels, else estimated; ``checks`` are newest first."""
    for kind, family in _KNOWN_BY:
        metric, scores = _scores(checks[kind][::-1], family, wanted)
        if scores:
            return family, metric, scores
    return "performance", "", ()


def _scores(checks: Sequence[Checked], family: Family, wanted: str | None) -> tuple[str, tuple[Score, ...]]:
    """Of the gate's metric where that was measured, else of the first that has bounds."""
    found: dict[str, list[Score]] = {}
    for one in checks:
        for each in one.results:
            if each.family != family or each.subject != "model" or each.value is None or each.low is None:
                continue
            score = Score(one.version, one.since, one.until, each.value, each.low, each.high, each.fired)
            found.setdefault(each.statistic, []).append(score)
    if not found:
        return "", ()
    metric = wanted if wanted is not None and wanted in found else next(iter(found))
    return metric, tuple(found[metric])
