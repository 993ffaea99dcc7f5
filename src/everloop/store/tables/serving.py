"""Predictions, labels, samples and jobs."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from .schema import Sequence, metadata

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
    Column("selection", Text),
    Column("inclusion", Float),
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
    Column("last", Text),
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
