"""Runs in MLflow: parameters, metrics by step, files; each written so that writing again changes nothing."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow.entities import Metric, Param

from everloop.adapters.mlflow.experiments import RUN_TAG, equals, every_page
from everloop.core.errors import ExperimentError

METRICS_A_BATCH = 1000
PARAMS_A_BATCH = 100
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
KEY_LENGTH = 250


def milliseconds(moment: str) -> int:
    """Milliseconds since 1970 of an ISO time; one without a zone is read as UTC."""
    parsed = datetime.fromisoformat(moment)
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def find_run(client: Any, experiments: Sequence[str], run_id: str) -> Any | None:
    """The MLflow run that stands for ours, None before it exists.

    A request that the server finished after we had given up on it can leave a second one: the first by id
    is kept, others are deleted, so that every delivery ends with the same one.
    """
    found = search(client, experiments, equals(RUN_TAG, run_id))
    return keep_first(found, key=lambda run: str(run.info.run_id), drop=client.delete_run)


def search(client: Any, experiments: Sequence[str], query: str) -> list[Any]:
    """Runs of the experiments, newest first."""
    if not experiments:
        return []
    return every_page(lambda token: client.search_runs(list(experiments), query, page_token=token))


def as_document(run: Any) -> dict[str, Any]:
    """A run of MLflow as plain values; times are milliseconds."""
    return {
        "mlflow_run_id": run.info.run_id,
        "run_id": run.data.tags.get(RUN_TAG),
        "run_name": run.info.run_name,
        "experiment_id": run.info.experiment_id,
        "status": run.info.status,
        "started_ms": run.info.start_time,
        "ended_ms": run.info.end_time,
        "params": dict(run.data.params),
        "metrics": dict(run.data.metrics),
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
    }


def keep_first(items: Iterable[Any], key: Any, drop: Any) -> Any | None:
    """The smallest item by ``key``; ``drop`` is called with the key of every other."""
    first, *others = sorted(items, key=key) or [None]
    for other in others:
        drop(key(other))
    return first


def create_run(client: Any, experiment: str, document: Mapping[str, Any]) -> Any:
    """Make the run; its key is written in the same request, so a repetition finds it."""
    tags = {
        key: clip(value, TAG_LENGTH) for key, value in document.get("tags", {}).items() if value is not None
    }
    tags[RUN_TAG] = str(document["run_id"])
    tags.setdefault("mlflow.source.name", "everloop")
    if commit := tags.get("everloop.git_commit"):
        tags["mlflow.source.git.commit"] = commit
    return client.create_run(
        experiment,
        start_time=milliseconds(document["started_at"]),
        tags=tags,
        run_name=document.get("run_name") or document["run_id"],
    )


def log_params(client: Any, run: str, params: Mapping[str, Any]) -> None:
    entries = [Param(safe_key(key), clip(value, PARAM_LENGTH)) for key, value in params.items()]
    for batch in batches(entries, PARAMS_A_BATCH):
        client.log_batch(run, params=batch)


def log_metrics(client: Any, run: str, metrics: Iterable[Metric]) -> None:
    """MLflow drops points that it has already, by key, step, time and value."""
    for batch in batches(list(metrics), METRICS_A_BATCH):
        client.log_batch(run, metrics=batch)


def points(document: Mapping[str, Any], model: str | None) -> Iterator[Metric]:
    """All metrics of a run's document; times follow from its start, so they are the same every time.

    A metric that also has a series comes one step after it, so that MLflow shows it as the latest value.
    ``None`` stands for a value that does not exist and is left out.
    """
    start = milliseconds(document["started_at"])
    series = document.get("series", {})
    for key, values in series.items():
        for step, value in enumerate(values):
            if value is not None:
                yield Metric(safe_key(key), float(value), start + step, step)
    for key, value in document.get("metrics", {}).items():
        if value is not None:
            step = len(series.get(key, ()))
            yield Metric(safe_key(key), float(value), start + step, step, model_id=model)


def points_of(metrics: Mapping[str, float | None], moment: int, step: int) -> Iterator[Metric]:
    """Metrics of one step at one moment (milliseconds)."""
    return (Metric(safe_key(k), float(v), moment, step) for k, v in metrics.items() if v is not None)


def log_files(client: Any, run: str, document: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Upload plots under ``plots/``, other files under ``files/``, the whole document as ``config.json``."""
    plots = set(document.get("plots", ()))
    model = (document.get("model") or {}).get("file")
    if missing := plots - files.keys():
        raise ExperimentError(f"The run '{document['run_id']}' names plots that it lacks: {sorted(missing)}.")
    with tempfile.TemporaryDirectory(prefix="everloop-") as folder:
        for name, data in files.items():
            if name != model:
                target = Path(folder, "plots" if name in plots else "files", inside(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        text = json.dumps(dict(document), indent=2, default=str)
        Path(folder, "config.json").write_text(text, encoding="utf-8")
        client.log_artifacts(run, folder)


def inside(name: str) -> PurePosixPath:
    """The name as a relative path that does not leave its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ExperimentError(f"'{name}' cannot be the name of an artifact.", remedy="Use a relative name.")
    return path


def safe_key(key: str) -> str:
    """The key as MLflow accepts it; a changed one ends with six digits of its hash, to stay distinct."""
    safe = re.sub(r"[^\w.\- :/]", "_", key)
    if posixpath.normpath(safe) != safe or safe.startswith(("/", ".")):
        safe = re.sub(r"[/.]", "_", safe)
    if safe == key and len(key) <= KEY_LENGTH:
        return key
    return f"{safe[: KEY_LENGTH - 7]}-{hashlib.sha256(key.encode()).hexdigest()[:6]}"


def clip(value: Any, length: int) -> str:
    """The text of a value, shortened to what MLflow keeps (its full form is in ``config.json``)."""
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
