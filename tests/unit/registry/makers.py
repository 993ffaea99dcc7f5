"""A run and a version to start from; tests change what matters to them."""

from dataclasses import replace
from datetime import UTC, datetime

from everloop.core.models import ModelVersion
from everloop.core.runs import Environment, Recipe, Run

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def run(**changes):
    plain = Run(
        run_id="run_1",
        model="late",
        turn_id="turn_1",
        dataset="flights",
        data_version="d" * 64,
        recipe=Recipe(target="late", params={"C": 1.0}),
        task="classification",
        features=("carrier", "distance"),
        classes=("late", "on time"),
        train_rows=800,
        test_rows=200,
        dropped_rows=0,
        metrics={},
        environment=Environment("3.11", "linux", {}),
        artifact="a",
        artifact_format="skops",
        rows_seen="r",
        predictions_hash="p",
        started_at=NOW,
        seconds=1.0,
    )
    return replace(plain, **changes)


def version(number, model="late"):
    return ModelVersion(model, number, "run_1", "flights", "d" * 64, NOW, "ann")
