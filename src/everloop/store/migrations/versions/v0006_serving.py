"""Predictions, the log files they come from, their labels, training samples, and jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _sequence() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("sequence", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("prediction_id", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("latency_ms", sa.Float),
        sa.Column("prediction", sa.Text, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("confidence", sa.Float),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("probabilities", sa.Text),
        sa.Column("warnings", sa.Text),
        sa.PrimaryKeyConstraint("tenant", "prediction_id"),
    )
    op.create_index("predictions_by_model", "predictions", ["tenant", "model", "at", "prediction_id"])
    op.create_index("predictions_by_request", "predictions", ["tenant", "request_id"])
    op.create_table(
        "prediction_files",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "labels",
        _sequence(),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("prediction_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("received_at", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_index("labels_by_prediction", "labels", ["tenant", "prediction_id", "sequence"])
    op.create_table(
        "training_samples",
        _sequence(),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("sample_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("used_in", sa.Text),
        sa.UniqueConstraint("tenant", "sample_id"),
    )
    op.create_index("training_samples_by_model", "training_samples", ["tenant", "model", "sequence"])
    op.create_table(
        "jobs",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text),
        sa.Column("finished_at", sa.Text),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", sa.Text),
        sa.PrimaryKeyConstraint("tenant", "job_id"),
    )
    op.create_index("jobs_by_status", "jobs", ["tenant", "status", "created_at"])
