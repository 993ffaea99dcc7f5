"""What happened to a model, from its append-only history, and the metrics over time."""

from __future__ import annotations

import json
from typing import Any

from everloop.core.models import Event
from everloop.store import history
from everloop.store.database import Row

from .project import Project


def events(project: Project, model: str | None = None, limit: int | None = None) -> list[Event]:
    """Oldest first; with ``limit`` the newest ones."""
    with project.store.reading() as tx:
        return history.list_events(tx, model, limit)


def metrics(project: Project, model: str, name: str | None = None) -> list[dict[str, Any]]:
    """Measured values, oldest first: name, value, at, rows, data_version, model_version, turn_id."""
    with project.store.reading() as tx:
        return [_entry(row) for row in history.list_metrics(tx, model, name)]


def write_files(project: Project) -> None:
    """The metrics and drift histories as JSON files in ``paths.monitoring``, for those who read files; of
    other tenants than ``default`` in a folder of their name."""
    entries: list[dict[str, Any]] = []
    with project.store.reading() as tx:
        for model in history.measured(tx):
            entries += [{"model": model, **_entry(row)} for row in history.list_metrics(tx, model)]
    drifts = [entry for entry in entries if entry["name"] == "drift_score"]
    others = [entry for entry in entries if entry["name"] != "drift_score"]
    names, folder = project.settings.monitoring, project.settings.monitoring_folder
    if project.tenant != "default":
        folder /= project.tenant
    for file, content in ((names.metrics_history_file, others), (names.drift_history_file, drifts)):
        text = json.dumps({"format": 1, "history": content}, indent=1)
        project.write_file(folder / file, text.encode())


def _entry(row: Row) -> dict[str, Any]:
    names = ("name", "value", "at", "rows", "data_version", "model_version", "turn_id")
    return {name: row[name] for name in names}
