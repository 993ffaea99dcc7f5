"""References, windows, checks and alerts."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from .schema import Sequence, metadata

monitor_references = Table(
    "monitor_references",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "version"),
)

monitor_windows = Table(
    "monitor_windows",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("hours", Integer, nullable=False),
    Column("since", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "version", "hours", "since"),
)

monitor_marks = Table(
    "monitor_marks",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "version"),
)

monitor_checks = Table(
    "monitor_checks",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("since", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    UniqueConstraint("tenant", "model", "version", "kind", "since"),
    Index("monitor_checks_by_time", "tenant", "model", "at", "sequence"),
    Index("monitor_checks_newest", "tenant", "model", "version", "kind", "at", "sequence"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("alert_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("notified_at", Text),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "alert_id"),
    Index("alerts_by_model", "tenant", "model", "status", "opened_at"),
    Index("alerts_by_status", "tenant", "status", "opened_at"),
    Index("alerts_by_notice", "tenant", "notified_at"),
    Index(
        "alerts_open_once", "tenant", "model", "key", unique=True,
        sqlite_where=text("status = 'open'"), postgresql_where=text("status = 'open'"),
    ),
)  # fmt: skip

silences = Table(
    "silences",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("silence_id", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "silence_id"),
    Index("silences_by_time", "tenant", "until"),
)

calls = Table(
    "service_calls",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("success", Integer, nullable=False),
    Column("error", Text),
    Index("service_calls_by_model", "tenant", "model", "at"),
)
