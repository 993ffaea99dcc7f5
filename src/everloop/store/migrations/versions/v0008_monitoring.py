"""Monitoring: references, windows, what was checked, alerts and their silences, tracked calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "monitor_references",
        *_texts("tenant", "model", "version", "created_at"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "version"),
    )
    op.create_table(
        "monitor_windows",
        *_texts("tenant", "model", "version"),
        sa.Column("hours", sa.Integer, nullable=False),
        sa.Column("since", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "version", "hours", "since"),
    )
    op.create_table(
        "monitor_marks",
        *_texts("tenant", "model", "version"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "version"),
    )
    op.create_table(
        "monitor_checks",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        *_texts("tenant", "model", "version", "kind", "since", "until", "at"),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.UniqueConstraint("tenant", "model", "version", "kind", "since"),
    )
    op.create_index("monitor_checks_by_time", "monitor_checks", ["tenant", "model", "at", "sequence"])
    op.create_index(
        "monitor_checks_newest", "monitor_checks", ["tenant", "model", "version", "kind", "at", "sequence"]
    )
    op.create_table(
        "alerts",
        *_texts("tenant", "alert_id", "model", "key", "level", "status", "opened_at", "updated_at"),
        sa.Column("notified_at", sa.Text),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "alert_id"),
    )
    op.create_index("alerts_by_model", "alerts", ["tenant", "model", "status", "opened_at"])
    op.create_index("alerts_by_status", "alerts", ["tenant", "status", "opened_at"])
    op.create_index("alerts_by_notice", "alerts", ["tenant", "notified_at"])
    is_open = sa.text("status = 'open'")
    op.create_index(
        "alerts_open_once",
        "alerts",
        ["tenant", "model", "key"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "silences",
        *_texts("tenant", "silence_id", "until"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "silence_id"),
    )
    op.create_index("silences_by_time", "silences", ["tenant", "until"])
    op.create_table(
        "service_calls",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        *_texts("tenant", "model", "at"),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("success", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("service_calls_by_model", "service_calls", ["tenant", "model", "at"])


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]
