"""Look at runs and compare them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from everloop.core.errors import Invalid
from everloop.core.runs import Run
from everloop.store import models
from everloop.training import serialise

from . import artifacts
from .project import Project


def list_runs(project: Project, model: str | None = None, limit: int | None = None) -> list[Run]:
    """Newest first."""
    with project.store.reading() as tx:
        return models.list_runs(tx, model, limit)


def find(project: Project, run_id: str) -> Run:
    with project.store.reading() as tx:
        return models.find_run(tx, run_id)


def load_model(project: Project, run: Run) -> Any:
    """A run's fitted pipeline: it takes a pandas DataFrame of the run's features. Our own store is trusted:
    what is in it was trained here, or was trusted when it was registered."""
    stored = artifacts.fetch(project, run.artifact)
    return serialise.loads(stored, run.artifact_format, trust_pickle=True)


def version_of(project: Project, run_id: str) -> str | None:
    """The model version that a run was registered as."""
    with project.store.reading() as tx:
        version = models.version_of_run(tx, run_id)
        return f"{version.model}@{version.version}" if version else None


def compare(project: Project, run_ids: list[str]) -> dict[str, dict[str, Any]]:
    """What differs between runs: ``{"metrics": {name: [value, …]}, "settings": {name: [value, …]}}``."""
    if len(run_ids) < 2:
        raise Invalid(f"{len(run_ids)} run cannot be compared.", remedy="Name two runs or more.")
    found = [find(project, run_id) for run_id in run_ids]
    names = sorted({name for run in found for name in run.metrics})
    metrics = {name: [run.metrics.get(name) for run in found] for name in names}
    flat = [_flat(run) for run in found]
    keys = sorted({key for one in flat for key in one})
    different = {
        key: [one.get(key) for one in flat] for key in keys if len({str(one.get(key)) for one in flat}) > 1
    }
    return {"metrics": metrics, "settings": different}


def save_plots(project: Project, run: Run, folder: str) -> list[str]:
    """Write a run's pictures into a folder; returns their paths."""
    written = []
    for name, address in run.plots.items():
        path = project.settings.root / folder / f"{name}.png"
        project.write_file(path, artifacts.fetch(project, address))
        written.append(str(path))
    return written


def _flat(run: Run) -> dict[str, Any]:
    recipe = asdict(run.recipe)
    values = {"data_version": run.data_version[:12], "git_commit": run.environment.git_commit}
    for name, value in recipe.items():
        if isinstance(value, dict):
            values |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            values[name] = value
    return values
