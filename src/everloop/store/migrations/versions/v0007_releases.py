"""Releases: who answers, what was seen at each look, and the arm of each prediction."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("release_id", sa.Text))
    op.add_column("predictions", sa.Column("probability", sa.Float))
    op.add_column("predictions", sa.Column("unit", sa.Text))
    chosen = sa.text("unit IS NOT NULL")
    op.create_index(
        "predictions_by_release",
        "predictions",
        ["tenant", "release_id", "variant", "unit"],
        sqlite_where=chosen,
        postgresql_where=chosen,
    )
    op.add_column("events", sa.Column("environment", sa.Text))
    op.execute("UPDATE events SET environment = 'prod' WHERE kind = 'promoted'")  # there was no other
    op.create_index("events_by_kind", "events", ["tenant", "model", "kind", "sequence"])
    op.create_index("events_by_environment", "events", ["tenant", "model", "environment", "sequence"])
    op.create_index("metrics_by_time", "metrics", ["tenant", "model", "name", "at", "sequence"])
    op.create_table(
        "prediction_failures",
        *_texts("tenant", "failure_id", "at", "model", "version", "variant", "release_id"),
        *_texts("unit", "kind", "request_id", "error"),
        sa.PrimaryKeyConstraint("tenant", "failure_id"),
    )
    op.create_index(
        "prediction_failures_by_release", "prediction_failures", ["tenant", "release_id", "variant", "unit"]
    )
    op.create_table(
        "shadow_predictions",
        *_texts("tenant", "release_id", "prediction_id", "version", "prediction"),
        sa.Column("value", sa.Float),
        sa.Column("confidence", sa.Float),
        sa.Column("probabilities", sa.Text),
        sa.Column("gap", sa.Float),
        sa.Column("latency_ms", sa.Float),
        sa.PrimaryKeyConstraint("tenant", "release_id", "prediction_id", "version"),
    )
    op.create_index(
        "shadow_predictions_by_gap", "shadow_predictions", ["tenant", "release_id", "version", "gap"]
    )
    op.create_table(
        "releases",
        *_texts("tenant", "release_id", "model", "environment", "status", "created_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "release_id"),
    )
    op.create_index("releases_by_model", "releases", ["tenant", "model", "environment", "created_at"])
    op.create_index("releases_by_status", "releases", ["tenant", "status", "created_at"])
    op.create_table(
        "traffic",
        *_texts("tenant", "model", "environment"),
        sa.Column("sequence", sa.Integer, nullable=False),
        *_texts("at", "release_id", "champion", "change"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "environment", "sequence"),
    )
    chosen_by = ["tenant", "model", "environment"]
    op.create_index("traffic_by_time", "traffic", [*chosen_by, "at", "sequence"])
    op.create_index("traffic_by_change", "traffic", [*chosen_by, "change", "sequence"])
    op.create_table(
        "release_looks",
        *_texts("tenant", "release_id"),
        sa.Column("sequence", sa.Integer, nullable=False),
        *_texts("at", "verdict"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "release_id", "sequence"),
    )
    of_release = ["tenant", "release_id"]
    op.create_index("release_looks_by_time", "release_looks", [*of_release, "at", "sequence"])
    op.create_index("release_looks_by_verdict", "release_looks", [*of_release, "verdict", "sequence"])


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]
