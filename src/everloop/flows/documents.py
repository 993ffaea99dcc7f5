"""What is told to others: entries for MLflow, and short renderings for the history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pyarrow as pa

from everloop.core.documents import dump
from everloop.core.models import ModelVersion
from everloop.core.runs import Run
from everloop.settings import Settings
from everloop.store import models, outbox
from everloop.store.database import Tx
from everloop.store.times import to_text

from .project import Project

_SHOWN = ("accuracy", "f1", "f1_macro", "roc_auc", "log_loss", "rmse", "mae", "r2", "net_value")


def shown_metrics(metrics: Mapping[str, float], most: int = 4) -> str:
    """``accuracy 0.912, roc_auc 0.955``: the few metrics that people look at first."""
    chosen = [name for name in _SHOWN if name in metrics] or sorted(metrics)
    return ", ".join(f"{name} {metrics[name]:.4g}" for name in chosen[:most])


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of JSON types."""
    rows = json.loads(json.dumps(table.to_pylist(), default=str))
    return [{name: _finite(value) for name, value in row.items()} for row in rows]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and value - value != 0 else value


def tracked_run(run: Run, settings: Settings) -> dict[str, Any]:
    """A run as the tracker takes it; ``files`` name -> address in the artifact store."""
    recipe = dump(run.recipe)
    packages = "\n".join(f"{name}=={version}" for name, version in sorted(run.environment.packages.items()))
    params = {
        "estimator": run.recipe.estimator,
        "target": run.recipe.target,
        "features": ", ".join(run.features),
        "split": run.recipe.split.kind,
        "test_size": run.recipe.split.test_size,
        "folds": run.recipe.folds,
        "seed": run.recipe.seed,
        "train_rows": run.train_rows,
        "test_rows": run.test_rows,
        **({"rows_that_count": run.choice.chosen} if run.choice and run.recipe.data != "all" else {}),
        **({"warm_from": run.warm_from} if run.warm_from else {}),
        **{f"param.{name}": value for name, value in run.params.items()},
    }
    model_file = f"model.{run.artifact_format}"
    return {
        "run_id": run.run_id,
        "experiment": run.model,
        "experiment_tags": {"model_type": run.task, "everloop.project": settings.project},
        "run_name": run.run_id,
        "params": params,
        "metrics": dict(run.metrics),
        "series": {name: list(values) for name, values in run.series.items()},
        "tags": {
            "everloop.data_version": run.data_version,
            "everloop.dataset": run.dataset,
            "everloop.turn_id": run.turn_id,
            "everloop.seed": str(run.recipe.seed),
            "everloop.recipe": sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
            "everloop.environment": sha256(packages.encode()).hexdigest(),
            "everloop.git_dirty": str(run.environment.git_dirty).lower(),
            **(
                {"mlflow.source.git.commit": run.environment.git_commit} if run.environment.git_commit else {}
            ),
        },
        "started_at": to_text(run.started_at),
        "ended_at": to_text(run.started_at + timedelta(seconds=run.seconds)),
        "status": "FINISHED",
        "model": {
            "file": model_file,
            "format": run.artifact_format,
            "name": "model",
            "input_example": [dict(row) for row in run.input_example],
            "task": run.task,
        },
        "files": {
            model_file: run.artifact,
            **{f"{name}.png": address for name, address in run.plots.items()},
        },
        "plots": [f"{name}.png" for name in run.plots],
        "texts": {"recipe.json": json.dumps(recipe, indent=2), "requirements.txt": packages},
    }


def post_version(tx: Tx, project: Project, version: ModelVersion) -> None:
    """Tell MLflow's registry of a version."""
    if project.settings.tracking.enabled:
        document = {
            "model": version.model,
            "version": version.version,
            "run_id": version.run_id,
            "tags": {"everloop.data_version": version.data_version, "everloop.parent": version.parent or ""},
            "description": version.tags.get("gate", ""),
        }
        outbox.post(
            tx, "version", f"version/{version.model}/{version.version}", document, project.clock.now()
        )


def point(tx: Tx, project: Project, model: str, alias: str, version: str | None) -> None:
    """Set or remove an alias, here and in MLflow's registry."""
    now = project.clock.now()
    models.set_alias(tx, model, alias, version, to_text(now))
    if project.settings.tracking.enabled:
        key = f"alias/{model}/{alias}/{version}/{to_text(now)}"
        outbox.post(tx, "alias", key, {"model": model, "alias": alias, "version": version}, now)
