"""Versions of data, their names, and contracts."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from .schema import metadata

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    Column("statistics", JSON),
    PrimaryKeyConstraint("tenant", "dataset", "version_id"),
    UniqueConstraint("tenant", "dataset", "sequence"),
    Index("dataset_versions_by_id", "tenant", "version_id"),
)

data_refs = Table(
    "data_refs",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("updated_by", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "dataset", "name"),
)

data_moves = Table(
    "data_moves",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version_id", Text),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "dataset", "sequence"),
)

dvc_files = Table(
    "dvc_files",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("md5", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "dataset", "repository", "path", "commit_id", "md5"),
    Index("dvc_files_by_version", "tenant", "version_id"),
)

contracts = Table(
    "contracts",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "model", "sequence"),
)
