"""The last line that was recorded of a log file: by it a file is told from one that was written anew, also
when its predictions were removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("prediction_files", sa.Column("last", sa.Text))
