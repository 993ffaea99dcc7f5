"""Releases, who answers, and looks."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from .schema import metadata

releases = Table(
    "releases",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "release_id"),
    Index("releases_by_model", "tenant", "model", "environment", "created_at"),
    Index("releases_by_status", "tenant", "status", "created_at"),
)

traffic = Table(
    "traffic",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("champion", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "environment", "sequence"),
    Index("traffic_by_time", "tenant", "model", "environment", "at", "sequence"),
    Index("traffic_by_change", "tenant", "model", "environment", "change", "sequence"),
)

looks = Table(
    "release_looks",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("release_id", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "release_id", "sequence"),
    Index("release_looks_by_time", "tenant", "release_id", "at", "sequence"),
    Index("release_looks_by_verdict", "tenant", "release_id", "verdict", "sequence"),
)
