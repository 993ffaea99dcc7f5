"""Every change of a row, for backups that can be restored to any moment, and how far each backup has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("op", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sqlite_autoincrement=True,  # numbers are never used again, also when all rows are gone
    )
    op.create_index("changes_of_tenant", "changes", ["tenant", "sequence"])
    op.create_table(
        "backup_marks",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("backup_id", sa.Text),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("earlier_id", sa.Text),
        sa.Column("earlier_sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "target"),
    )
