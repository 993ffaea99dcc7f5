"""Where a dataset's names stood at each time; statistics beside a version's document, and a run's data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_MOVES = """INSERT INTO data_moves (tenant, dataset, sequence, name, kind, version_id, at, "by", reason)
SELECT tenant, dataset, sequence, 'main', 'branch', version_id, created_at, {by}, 'registered'
FROM dataset_versions"""
_HEADS = """INSERT INTO data_refs (tenant, dataset, name, kind, version_id, updated_at, updated_by)
SELECT v.tenant, v.dataset, 'main', 'branch', v.version_id, v.created_at, {by}
FROM dataset_versions v
WHERE v.sequence = (
  SELECT max(n.sequence) FROM dataset_versions n WHERE n.tenant = v.tenant AND n.dataset = v.dataset
) AND NOT EXISTS (
  SELECT 1 FROM data_refs r WHERE r.tenant = v.tenant AND r.dataset = v.dataset AND r.name = 'main'
)"""
_SQLITE = (
    _MOVES.format(by="json_extract(document, '$.created_by')"),
    _HEADS.format(by="json_extract(v.document, '$.created_by')"),
    """UPDATE dataset_versions SET statistics = json_extract(document, '$.statistics'),
    document = json_remove(document, '$.statistics')""",
    "UPDATE runs SET data_version = json_extract(document, '$.data_version')",
)
_POSTGRESQL = (
    _MOVES.format(by="document->>'created_by'"),
    _HEADS.format(by="v.document->>'created_by'"),
    """UPDATE dataset_versions SET statistics = document->'statistics',
    document = (document::jsonb - 'statistics')::json""",
    "UPDATE runs SET data_version = document->>'data_version'",
)


def upgrade() -> None:
    op.create_table(
        "data_moves",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "dataset", "sequence"),
    )
    op.add_column("dataset_versions", sa.Column("statistics", sa.JSON))
    op.create_index("dataset_versions_by_id", "dataset_versions", ["tenant", "version_id"])
    op.add_column("runs", sa.Column("data_version", sa.Text))
    op.create_index("runs_by_data", "runs", ["tenant", "data_version"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
