"""What waits for others: deliveries and backups."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from .schema import Sequence, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    Column("delivered_at", Text),
    Column("rejected_at", Text),
    UniqueConstraint("tenant", "key"),
    Index("outbox_waiting", "tenant", "delivered_at", "sequence"),
)

changes = Table(
    "changes",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("content", Text, nullable=False),
    Index("changes_of_tenant", "tenant", "sequence"),
    sqlite_autoincrement=True,
)

backup_marks = Table(
    "backup_marks",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("backup_id", Text),
    Column("sequence", BigInteger, nullable=False),
    Column("earlier_id", Text),
    Column("earlier_sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "target"),
)
