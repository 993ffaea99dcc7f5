"""Gather what a model's report tells: every turn with what was measured, decided and judged in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from everloop.core.data import DatasetVersion
from everloop.core.decisions import Decision, Drift, GateVerdict
from everloop.core.documents import load
from everloop.core.models import Event, Lineage
from everloop.core.turns import TurnSummary
from everloop.retraining.policy import LOWER_IS_BETTER
from everloop.store import datasets, history, turns
from everloop.store.database import Row

from . import artifacts, models
from .project import Project


@dataclass(frozen=True)
class Point:
    """One turn. ``until`` is the newest time in its data, where the model names a time column.

    ``served`` is the version that was champion while the turn's new rows came, ``metrics`` its metrics on
    ``rows`` of them, and ``first`` the metrics of the model's first version on the same rows: the same when
    that one served, empty when nobody measured it.
    """

    number: int
    turn_id: str
    at: datetime
    status: str
    data: DatasetVersion
    until: datetime | None = None
    served: str | None = None
    rows: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    first: Mapping[str, float] = field(default_factory=dict)
    decision: Decision | None = None
    drift: Drift | None = None
    verdict: GateVerdict | None = None
    registered: str | None = None
    promoted: bool = False
    run_id: str | None = None
    run_metrics: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What is known of a model. ``limit`` is the accepted value of ``metric``, ``pictures`` the champion's
    plots (PNG)."""

    project: str
    model: str
    target: str
    made_at: datetime
    metric: str
    lower_is_better: bool
    limit: float | None
    points: tuple[Point, ...] = ()
    champion: models.Registered | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    lineage: Lineage | None = None

    @property
    def compared(self) -> tuple[Point, ...]:
        """The turns in which both the serving and the first version were measured."""
        return tuple(p for p in self.points if self.metric in p.metrics and self.metric in p.first)

    def gain(self, point: Point) -> float:
        """How much better what served was than the first version, in units of the metric."""
        difference = point.metrics[self.metric] - point.first[self.metric]
        return -difference if self.lower_is_better else difference


def gather(project: Project, name: str) -> Report:
    """All of a model's ended turns, oldest first, with its champion as it is now. Raises UnknownModel."""
    model = project.model(name)
    with project.store.reading() as tx:
        ended = [row for row in turns.list_turns(tx, name) if row["status"] in ("done", "stopped")]
        known = {v.version_id: v for v in datasets.versions(tx, model.dataset)}
        told = _by_turn(history.list_events(tx, name))
        measured = history.list_metrics(tx, name)
    registered = models.list_models(project, name) if any(e["summary"]["registered"] for e in ended) else []
    first = registered[0].version.version if registered else None
    points: list[Point] = []
    for row in reversed(ended):
        version = known.get(row["summary"]["data_version"])
        if version is not None:
            of_turn = [m for m in measured if m["turn_id"] == row["turn_id"]]
            points.append(
                _point(len(points), row, version, model.time_column, told[row["turn_id"]], of_turn, first)
            )
    champion = next((r for r in registered if "champion" in r.aliases), None)
    task = champion.run.task if champion else (registered[0].run.task if registered else model.task)
    policy = model.retrain_policy(task or "classification")
    return Report(
        project=project.settings.project,
        model=name,
        target=model.target,
        made_at=project.clock.now(),
        metric=policy.metric,
        lower_is_better=policy.metric in LOWER_IS_BETTER,
        limit=policy.performance_min,
        points=tuple(points),
        champion=champion,
        pictures=_pictures(project, champion) if champion else {},
        lineage=models.trace(project, f"{name}@{champion.version.version}") if champion else None,
    )


def _by_turn(events: list[Event]) -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for event in events:
        if "turn_id" in event.details:
            found.setdefault(str(event.details["turn_id"]), {})[event.kind] = event.details
    return found


def _point(
    number: int,
    row: Row,
    version: DatasetVersion,
    time_column: str | None,
    told: Mapping[str, Mapping[str, Any]],
    measured: list[Row],
    first: str | None,
) -> Point:
    summary = load(TurnSummary, row["summary"])
    decided = told.get("decided", {})
    served = decided.get("champion")
    drift = decided.get("drift")
    times = version.statistics.get(time_column or "")
    newest = times.maximum if times else None
    metrics = decided.get("metrics", {})
    of_first = {m["name"]: m["value"] for m in measured if m["model_version"] == first and m["rows"]}
    return Point(
        number=number,
        turn_id=summary.turn_id,
        at=datetime.fromisoformat(row["started_at"]),
        status=summary.status,
        data=version,
        until=datetime.fromtimestamp(newest, UTC) if newest is not None else None,
        served=served,
        rows=decided.get("measured_rows"),
        metrics=metrics,
        first=metrics if served and served == first else of_first,
        decision=summary.decision,
        drift=load(Drift, drift) if drift else None,
        verdict=summary.verdict,
        registered=summary.registered,
        promoted=summary.promoted,
        run_id=summary.run_id,
        run_metrics=told.get("trained", {}).get("metrics", {}),
        findings=tuple(str(finding["message"]) for finding in summary.findings),
        seconds=summary.seconds,
    )


def _pictures(project: Project, champion: models.Registered) -> dict[str, bytes]:
    return {name: artifacts.fetch(project, address) for name, address in champion.run.plots.items()}
