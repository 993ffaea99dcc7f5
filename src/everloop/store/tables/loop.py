"""The loop: triggers, decision records, pauses."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text

from .schema import Sequence, metadata

triggers = Table(
    "triggers",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("decision_id", Text),
    Column("document", JSON, nullable=False),
    UniqueConstraint("tenant", "model", "key"),
    Index(
        "triggers_waiting", "tenant", "model",
        sqlite_where=text("decision_id IS NULL"), postgresql_where=text("decision_id IS NULL"),
    ),
)  # fmt: skip

decisions = Table(
    "decisions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "decision_id"),
    Index("decisions_by_model", "tenant", "model", "number"),
    Index("decisions_by_stage", "tenant", "stage"),
    Index("decisions_by_job", "tenant", "job_id"),
)

pauses = Table(
    "loop_pauses",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model"),
)
