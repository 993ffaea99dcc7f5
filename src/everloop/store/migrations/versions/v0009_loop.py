"""The loop: what triggers it, what it decides, where it is paused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "triggers",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        *_texts("tenant", "model", "key", "at"),
        sa.Column("decision_id", sa.Text),
        sa.Column("document", sa.JSON, nullable=False),
        sa.UniqueConstraint("tenant", "model", "key"),
    )
    waiting = sa.text("decision_id IS NULL")
    op.create_index(
        "triggers_waiting", "triggers", ["tenant", "model"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_table(
        "decisions",
        *_texts("tenant", "decision_id", "model", "at", "action", "stage", "job_id"),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "decision_id"),
    )
    op.create_index("decisions_by_model", "decisions", ["tenant", "model", "number"])
    op.create_index("decisions_by_stage", "decisions", ["tenant", "stage"])
    op.create_index("decisions_by_job", "decisions", ["tenant", "job_id"])
    op.create_table(
        "loop_pauses",
        *_texts("tenant", "model"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model"),
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]
