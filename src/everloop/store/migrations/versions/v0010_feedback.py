"""How the label of a prediction comes about, where answers decide over labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("selection", sa.Text))
    op.add_column("predictions", sa.Column("inclusion", sa.Float))
