"""Turns, runs, versions of models, and what happened to them."""

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
)

from .schema import Sequence, metadata

turns = Table(
    "turns",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("plan", JSON, nullable=False),
    Column("summary", JSON),
    Column("error", Text),
    PrimaryKeyConstraint("tenant", "turn_id"),
    Index("turns_by_model", "tenant", "model", "status"),
)

steps = Table(
    "steps",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("result", JSON),
    Column("error", Text),
    PrimaryKeyConstraint("tenant", "turn_id", "name"),
)

runs = Table(
    "runs",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("turn_id", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("data_version", Text),
    PrimaryKeyConstraint("tenant", "run_id"),
    Index("runs_by_model", "tenant", "model", "created_at"),
    Index("runs_by_data", "tenant", "data_version"),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "version"),
    UniqueConstraint("tenant", "model", "sequence"),
    UniqueConstraint("tenant", "run_id"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "alias"),
)

events = Table(
    "events",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("environment", Text),
    Index("events_by_model", "tenant", "model", "sequence"),
    Index("events_by_kind", "tenant", "model", "kind", "sequence"),
    Index("events_by_environment", "tenant", "model", "environment", "sequence"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("at", Text, nullable=False),
    Column("rows", Integer),
    Column("data_version", Text),
    Column("model_version", Text),
    Column("turn_id", Text),
    Index("metrics_by_model", "tenant", "model", "name", "sequence"),
    Index("metrics_by_time", "tenant", "model", "name", "at", "sequence"),
)

references = Table(
    "reference_statistics",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("data_version", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model"),
)
