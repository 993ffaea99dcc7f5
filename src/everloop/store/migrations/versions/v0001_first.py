"""The first schema: data versions, contracts, turns, runs, models, history, metrics, outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "dataset_versions",
        _text("tenant"),
        _text("dataset"),
        _text("version_id"),
        sa.Column("sequence", sa.Integer, nullable=False),
        _text("created_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "dataset", "version_id"),
        sa.UniqueConstraint("tenant", "dataset", "sequence"),
    )
    op.create_table(
        "contracts",
        _text("tenant"),
        _text("model"),
        sa.Column("sequence", sa.Integer, nullable=False),
        _text("created_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "sequence"),
    )
    op.create_table(
        "turns",
        _text("tenant"),
        _text("turn_id"),
        _text("model"),
        _text("status"),
        _text("started_at"),
        _text("finished_at", nullable=True),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("summary", sa.JSON),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "turn_id"),
    )
    op.create_index("turns_by_model", "turns", ["tenant", "model", "status"])
    op.create_table(
        "steps",
        _text("tenant"),
        _text("turn_id"),
        _text("name"),
        sa.Column("position", sa.Integer, nullable=False),
        _text("status"),
        sa.Column("attempt", sa.Integer, nullable=False),
        _text("started_at"),
        _text("finished_at", nullable=True),
        sa.Column("result", sa.JSON),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "turn_id", "name"),
    )
    op.create_table(
        "runs",
        _text("tenant"),
        _text("run_id"),
        _text("model"),
        _text("turn_id"),
        _text("created_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "run_id"),
    )
    op.create_index("runs_by_model", "runs", ["tenant", "model", "created_at"])
    op.create_table(
        "model_versions",
        _text("tenant"),
        _text("model"),
        _text("version"),
        sa.Column("sequence", sa.Integer, nullable=False),
        _text("run_id"),
        _text("created_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "version"),
        sa.UniqueConstraint("tenant", "model", "sequence"),
        sa.UniqueConstraint("tenant", "run_id"),
    )
    op.create_table(
        "aliases",
        _text("tenant"),
        _text("model"),
        _text("alias"),
        _text("version"),
        _text("updated_at"),
        sa.PrimaryKeyConstraint("tenant", "model", "alias"),
    )
    op.create_table(
        "events",
        sa.Column("sequence", _sequence, primary_key=True, autoincrement=True),
        _text("tenant"),
        _text("model"),
        _text("kind"),
        _text("at"),
        _text("by"),
        _text("summary"),
        sa.Column("details", sa.JSON, nullable=False),
    )
    op.create_index("events_by_model", "events", ["tenant", "model", "sequence"])
    op.create_table(
        "metrics",
        sa.Column("sequence", _sequence, primary_key=True, autoincrement=True),
        _text("tenant"),
        _text("model"),
        _text("name"),
        sa.Column("value", sa.Float, nullable=False),
        _text("at"),
        sa.Column("rows", sa.Integer),
        _text("data_version", nullable=True),
        _text("model_version", nullable=True),
        _text("turn_id", nullable=True),
    )
    op.create_index("metrics_by_model", "metrics", ["tenant", "model", "name", "sequence"])
    op.create_table(
        "reference_statistics",
        _text("tenant"),
        _text("model"),
        _text("data_version"),
        _text("updated_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model"),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", _sequence, primary_key=True, autoincrement=True),
        _text("tenant"),
        _text("kind"),
        _text("key"),
        sa.Column("document", sa.JSON, nullable=False),
        _text("created_at"),
        sa.Column("attempts", sa.Integer, nullable=False),
        _text("last_error", nullable=True),
        _text("delivered_at", nullable=True),
        _text("rejected_at", nullable=True),
        sa.UniqueConstraint("tenant", "key"),
    )
    op.create_index("outbox_waiting", "outbox", ["tenant", "delivered_at", "sequence"])
