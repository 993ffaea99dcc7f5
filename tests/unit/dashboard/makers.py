"""Reports made by hand, small enough to see what is in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from everloop.core.data import Column, ColumnStatistics, DatasetVersion
from everloop.core.decisions import Comparison, Decision, Drift, Evidence, GateVerdict
from everloop.core.models import Lineage, ModelVersion
from everloop.core.runs import Environment, Recipe, Run
from everloop.flows.models import Registered
from everloop.flows.report import Point, Report

START = datetime(2026, 3, 2, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n"


def version(number: int = 0, **changes: Any) -> DatasetVersion:
    given = {
        "dataset": "shop",
        "version_id": f"{number:064x}",
        "sequence": number + 1,
        "rows": 100 + 10 * number,
        "columns": (Column("age", "int64"), Column("late", "bool")),
        "statistics": {"age": ColumnStatistics(90, 10, 5), "late": ColumnStatistics(100, 0, 2)},
        "hash_algorithm": "sha256",
        "created_at": START,
        "created_by": "ann",
        "source": "shop.csv",
    }
    return DatasetVersion(**{**given, **changes})


def verdict(improvement: float, *, promote: bool) -> GateVerdict:
    low, high = improvement - 0.01, improvement + 0.02
    compared = Comparison("log_loss", 0.5, 0.5 - improvement, improvement, low, high, 50, 0.95)
    return GateVerdict(promote, f"better by {improvement}", compared, against="1.0.0")


def point(number: int, **changes: Any) -> Point:
    evidence = (Evidence("performance", False, "log_loss is fine."),)
    given: dict[str, Any] = {
        "number": number,
        "turn_id": f"turn_{number}",
        "at": START + timedelta(minutes=number),
        "status": "done",
        "data": version(number),
        "until": START + timedelta(weeks=number),
        "decision": Decision("keep", "Nothing speaks for it.", evidence),
    }
    return Point(**{**given, **changes})


def run(**changes: Any) -> Run:
    given: dict[str, Any] = {
        "run_id": "run_abc",
        "model": "late",
        "turn_id": "turn_0",
        "dataset": "shop",
        "data_version": version().version_id,
        "recipe": Recipe(target="late"),
        "task": "classification",
        "features": ("age",),
        "classes": ("false", "true"),
        "train_rows": 80,
        "test_rows": 20,
        "dropped_rows": 0,
        "metrics": {"log_loss": 0.41, "accuracy": 0.9},
        "environment": Environment("3.11", "linux", {}),
        "artifact": "a",
        "artifact_format": "skops",
        "rows_seen": "b",
        "predictions_hash": "c",
        "started_at": START,
        "seconds": 1.0,
    }
    return Run(**{**given, **changes})


def model_version(number: str = "1.1.0", **changes: Any) -> ModelVersion:
    given: dict[str, Any] = {
        "model": "late",
        "version": number,
        "run_id": "run_abc",
        "dataset": "shop",
        "data_version": version().version_id,
        "created_at": START,
        "created_by": "ann",
        "tags": {"gate": "better by 0.05"},
    }
    return ModelVersion(**{**given, **changes})


def story(**changes: Any) -> Report:
    """A first model, a turn kept, a challenger refused, one promoted, one turn with it: better by 0.04."""
    first, later = {"log_loss": 0.50, "base_rate": 0.2}, {"log_loss": 0.60, "base_rate": 0.3}
    drift = Drift(0.8, "age", {"age": 0.8, "size": 0.1}, 50)
    served = {"served": "1.0.0", "drift": drift, "rows": 50}
    points = (
        point(0, run_id="run_1", registered="1.0.0", promoted=True, verdict=verdict(0.05, promote=True)),
        point(1, metrics=first, first=first, **served),
        point(2, metrics=later, first=later, run_id="run_2", registered="1.0.1",
              verdict=verdict(-0.03, promote=False), **served),
        point(3, metrics=later, first=later, run_id="run_3", registered="1.0.2", promoted=True,
              verdict=verdict(0.04, promote=True), **served),
        point(4, metrics={"log_loss": 0.46}, first=first, **{**served, "served": "1.0.2"}),
        point(5, metrics={"log_loss": 0.53}, first=first, **{**served, "served": "1.0.2"}),
    )  # fmt: skip
    given: dict[str, Any] = {
        "project": "shop",
        "model": "late",
        "target": "late",
        "made_at": START,
        "metric": "log_loss",
        "lower_is_better": True,
        "limit": 0.55,
        "points": points,
        "champion": Registered(model_version("1.0.2"), ("champion",), run()),
        "pictures": {"roc": PNG, "importance": PNG},
        "lineage": Lineage(model_version("1.0.2"), (model_version("1.0.0"),), run(), (), "shop.csv"),
    }
    return Report(**{**given, **changes})
