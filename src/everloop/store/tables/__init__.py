"""The tables. Each carries a tenant; what is read back as a whole is a JSON document with a format number.

Times are ISO 8601 text in UTC with microseconds, so that they sort as text on every database.
A change here needs a new numbered migration in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from .data import contracts, data_moves, data_refs, dataset_versions, dvc_files
from .keeping import backup_marks, changes, outbox
from .loop import decisions, pauses, triggers
from .monitoring import (
    alerts,
    calls,
    monitor_checks,
    monitor_marks,
    monitor_references,
    monitor_windows,
    silences,
)
from .releases import looks, releases, traffic
from .schema import metadata
from .serving import failures, jobs, labels, prediction_files, predictions, shadows, training_samples
from .training import aliases, events, metrics, model_versions, references, runs, steps, turns

__all__ = [
    "BACKED_UP",
    "NOT_BACKED_UP",
    "alerts",
    "aliases",
    "backup_marks",
    "calls",
    "changes",
    "contracts",
    "data_moves",
    "data_refs",
    "dataset_versions",
    "decisions",
    "dvc_files",
    "events",
    "failures",
    "jobs",
    "labels",
    "looks",
    "metadata",
    "metrics",
    "model_versions",
    "monitor_checks",
    "monitor_marks",
    "monitor_references",
    "monitor_windows",
    "outbox",
    "pauses",
    "prediction_files",
    "predictions",
    "references",
    "releases",
    "runs",
    "shadows",
    "silences",
    "steps",
    "traffic",
    "training_samples",
    "triggers",
    "turns",
]

NOT_BACKED_UP = (
    *(changes, backup_marks, predictions, prediction_files, failures, shadows),
    *(monitor_windows, monitor_marks, calls),
)
"""Predictions are too many for backups. What restores a project leaves those in its database as they are, and
how far its log files were read with them; a project that is restored into a new folder has none. Labels come
with a backup, and join a prediction wherever it is. What
monitors have summed up of predictions goes with them."""

BACKED_UP = tuple(table for table in metadata.sorted_tables if table not in NOT_BACKED_UP)
