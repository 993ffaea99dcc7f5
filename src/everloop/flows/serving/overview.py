"""What the live page shows of the database: recent predictions, labels, measured history, jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Any

from everloop.core.serving import Prediction
from everloop.flows.project import Project
from everloop.store import history as stored

from . import history, jobs, labels

RECENT = 20
JOBS = 8
POINTS = 200  # of one metric
MOST_METRICS = 8  # of one model
DRIFT = "drift_score"
LABEL_DAYS = 7
MOST_INPUTS = 40  # of one prediction
LONGEST = 60  # characters of an input
_SHOWN = (
    *("prediction_id", "at", "model", "version", "variant", "request_id", "latency_ms"),
    *("confidence", "label", "warnings"),
)


def recent(project: Project) -> dict[str, Any]:
    """What is quickly read, as JSON types but for times: the newest predictions and jobs."""
    found, _ = history.page(project, limit=RECENT)
    return {
        "recent": [_short(one) for one in found],
        "jobs": [asdict(one) for one in jobs.list_jobs(project, None, None, JOBS)],
    }


def past(project: Project, models: Sequence[str]) -> dict[str, Any]:
    """What takes longer, as JSON types but for times: how much each version has answered in all, the labels
    of the last days, and the measured history of each model."""
    now = project.clock.now()
    usage: dict[str, dict[str, Any]] = {name: {} for name in models}
    for one in history.usage(project):
        versions = usage.setdefault(one.model, {})
        told = versions.setdefault(one.version, {"count": 0, "latest": one.latest})
        told["count"] += one.count
        told["latest"] = max(told["latest"], one.latest)
    days = timedelta(days=LABEL_DAYS)
    return {
        "usage": usage,
        "labels": {
            name: [asdict(p) for p in labels.maturity(project, name, now - days, now, learn=days)]
            for name in models
        },
        "history": {name: _measured(project, name) for name in models},
    }


def _short(one: Prediction) -> dict[str, Any]:
    """A prediction with its inputs as short texts, the first of them only."""
    told = {name: getattr(one, name) for name in _SHOWN}
    inputs = {name[:LONGEST]: _text(value) for name, value in islice(one.inputs.items(), MOST_INPUTS)}
    prediction = one.prediction if isinstance(one.prediction, float) else one.prediction[:1_000]
    return {**told, "prediction": prediction, "inputs": inputs, "more": len(one.inputs) - len(inputs)}


def _text(value: Any) -> str:
    text = "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _measured(project: Project, model: str) -> dict[str, Any]:
    """The newest values of a model's metrics: those measured last come first, drift stands apart."""
    with project.store.reading() as tx:
        rows = stored.list_metrics(tx, model)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        point = {"at": row["at"], "value": row["value"], "version": row["model_version"]}
        by_name.setdefault(row["name"], []).append(point)
    drift = by_name.pop(DRIFT, [])
    newest = sorted(by_name, key=lambda name: (by_name[name][-1]["at"], len(by_name[name])), reverse=True)
    settings = project.settings.models.get(model)
    return {
        "metrics": {name: by_name[name][-POINTS:] for name in newest[:MOST_METRICS]},
        "drift": drift[-POINTS:],
        "drift_threshold": settings.monitoring.drift_threshold if settings else None,
    }
