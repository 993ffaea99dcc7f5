"""Bring a database to this release's schema. Safe to call by many processes at once."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text

from everloop.core.errors import Corrupt

from . import migrations
from .engine import transaction
from .migrations import HEAD

_LOCK = 0x45564C50  # any constant of ours: the PostgreSQL advisory lock that migrations hold


def current(connection: Connection) -> str | None:
    """The migration a database is at, ``None`` for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine, target: str = HEAD) -> None:
    """Run the missing migrations, all in one transaction, one process at a time."""
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        now = current(connection)
        if now == target:
            return
        if now is not None and now > HEAD:
            raise newer(now)
        migrations.running.run(connection, target)


def newer(found: str) -> Corrupt:
    return Corrupt(
        f"The database has schema {found}; this release knows up to {HEAD}.",
        remedy="It was written by a newer release: upgrade everloop.",
    )
