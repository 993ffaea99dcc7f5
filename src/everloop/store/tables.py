"""The tables. Each carries a tenant; what is read back as a whole is a JSON document with a format number.

Times are ISO 8601 text in UTC with microseconds, so that they sort as text on every database.
A change here needs a new numbered migration in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()
Sequence = BigInteger().with_variant(Integer, "sqlite")

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("statistics", JSON),
    PrimaryKeyConstraint("tenant", "dataset", "version_id"),
    UniqueConstraint("tenant", "dataset", "sequence"),
    Index("dataset_versions_by_id", "tenant", "version_id"),
)

data_refs = Table(
    "data_refs",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("updated_by", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "dataset", "name"),
)

data_moves = Table(
    "data_moves",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version_id", Text),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "dataset", "sequence"),
)

dvc_files = Table(
    "dvc_files",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("md5", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "dataset", "repository", "path", "commit_id", "md5"),
    Index("dvc_files_by_version", "tenant", "version_id"),
)

contracts = Table(
    "contracts",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "sequence"),
)

turns = Table(
    "turns",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("plan", JSON, nullable=False),
    Column("summary", JSON),
    Column("error", Text),
    PrimaryKeyConstraint("tenant", "turn_id"),
    Index("turns_by_model", "tenant", "model", "status"),
)

steps = Table(
    "steps",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("result", JSON),
    Column("error", Text),
    PrimaryKeyConstraint("tenant", "turn_id", "name"),
)

runs = Table(
    "runs",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("data_version", Text),
    PrimaryKeyConstraint("tenant", "run_id"),
    Index("runs_by_model", "tenant", "model", "created_at"),
    Index("runs_by_data", "tenant", "data_version"),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "version"),
    UniqueConstraint("tenant", "model", "sequence"),
    UniqueConstraint("tenant", "run_id"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "alias"),
)

events = Table(
    "events",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("environment", Text),
    Index("events_by_model", "tenant", "model", "sequence"),
    Index("events_by_kind", "tenant", "model", "kind", "sequence"),
    Index("events_by_environment", "tenant", "model", "environment", "sequence"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("at", Text, nullable=False),
    Column("rows", Integer),
    Column("data_version", Text),
    Column("model_version", Text),
    Column("turn_id", Text),
    Index("metrics_by_model", "tenant", "model", "name", "sequence"),
    Index("metrics_by_time", "tenant", "model", "name", "at", "sequence"),
)

references = Table(
    "reference_statistics",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("data_version", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    Column("delivered_at", Text),
    Column("rejected_at", Text),
    UniqueConstraint("tenant", "key"),
    Index("outbox_waiting", "tenant", "delivered_at", "sequence"),
)

changes = Table(
    "changes",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("content", Text, nullable=False),
    Index("changes_of_tenant", "tenant", "sequence"),
    sqlite_autoincrement=True,
)

backup_marks = Table(
    "backup_marks",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("backup_id", Text),
    Column("sequence", BigInteger, nullable=False),
    Column("earlier_id", Text),
    Column("earlier_sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "target"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("prediction_id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("latency_ms", Float),
    Column("prediction", Text, nullable=False),
    Column("value", Float),
    Column("confidence", Float),
    Column("inputs", Text, nullable=False),
    Column("probabilities", Text),
    Column("warnings", Text),
    Column("release_id", Text),
    Column("probability", Float),
    Column("unit", Text),
    PrimaryKeyConstraint("tenant", "prediction_id"),
    Index("predictions_by_model", "tenant", "model", "at", "prediction_id"),
    Index("predictions_by_request", "tenant", "request_id"),
    Index(
        "predictions_by_release", "tenant", "release_id", "variant", "unit",
        sqlite_where=text("unit IS NOT NULL"), postgresql_where=text("unit IS NOT NULL"),
    ),
)  # fmt: skip

failures = Table(
    "prediction_failures",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("failure_id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "failure_id"),
    Index("prediction_failures_by_release", "tenant", "release_id", "variant", "unit"),
)

shadows = Table(
    "shadow_predictions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("prediction_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("prediction", Text, nullable=False),
    Column("value", Float),
    Column("confidence", Float),
    Column("probabilities", Text),
    Column("gap", Float),
    Column("latency_ms", Float),
    PrimaryKeyConstraint("tenant", "release_id", "prediction_id", "version"),
    Index("shadow_predictions_by_gap", "tenant", "release_id", "version", "gap"),
)

prediction_files = Table(
    "prediction_files",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)

labels = Table(
    "labels",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("prediction_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("value", Float),
    Column("at", Text, nullable=False),
    Column("received_at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Index("labels_by_prediction", "tenant", "prediction_id", "sequence"),
)

training_samples = Table(
    "training_samples",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("sample_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("target", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("used_in", Text),
    UniqueConstraint("tenant", "sample_id"),
    Index("training_samples_by_model", "tenant", "model", "sequence"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("finished_at", Text),
    Column("request", JSON, nullable=False),
    Column("result", JSON),
    Column("error", Text),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", Text),
    PrimaryKeyConstraint("tenant", "job_id"),
    Index("jobs_by_status", "tenant", "status", "created_at"),
)

releases = Table(
    "releases",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "release_id"),
    Index("releases_by_model", "tenant", "model", "environment", "created_at"),
    Index("releases_by_status", "tenant", "status", "created_at"),
)

traffic = Table(
    "traffic",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("champion", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "environment", "sequence"),
    Index("traffic_by_time", "tenant", "model", "environment", "at", "sequence"),
    Index("traffic_by_change", "tenant", "model", "environment", "change", "sequence"),
)

looks = Table(
    "release_looks",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "release_id", "sequence"),
    Index("release_looks_by_time", "tenant", "release_id", "at", "sequence"),
    Index("release_looks_by_verdict", "tenant", "release_id", "verdict", "sequence"),
)

NOT_BACKED_UP = (changes, backup_marks, predictions, prediction_files, failures, shadows)
"""Predictions are too many for backups. What restores a project leaves those in its database as they are, and
how far its log files were read with them; a project that is restored into a new folder has none. Labels come
with a backup, and join a prediction wherever it is."""

BACKED_UP = tuple(table for table in metadata.sorted_tables if table not in NOT_BACKED_UP)
