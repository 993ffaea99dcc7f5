"""A database, and the view of it that one tenant has.

All reading and writing goes through ``Tx``, which adds the tenant to every statement; nothing else in the
product holds a connection. So no query can be written that sees another tenant's rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    Table,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from everloop.core.errors import StorageDenied

from .engine import create_sqlite_file, open_engine, transaction
from .migrate import current, newer, upgrade
from .migrations import HEAD

Row = RowMapping


class Tx:
    """One transaction of one tenant."""

    def __init__(self, connection: Connection, tenant: str) -> None:
        self._connection = connection
        self._tenant = tenant

    def rows(
        self,
        table: Table,
        *conditions: ColumnElement[bool],
        newest: bool = False,
        by: str = "sequence",
        limit: int | None = None,
    ) -> Sequence[Row]:
        """The tenant's rows, oldest first, or newest first."""
        order = table.c[by].desc() if newest else table.c[by]
        query = self._mine(select(table), table).where(*conditions).order_by(order).limit(limit)
        return self._connection.execute(query).mappings().all()

    def row(self, table: Table, *conditions: ColumnElement[bool]) -> Row | None:
        query = self._mine(select(table), table).where(*conditions)
        return self._connection.execute(query).mappings().first()

    def count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        query = self._mine(select(func.count()).select_from(table), table).where(*conditions)
        return int(self._connection.execute(query).scalar_one())

    def distinct(self, table: Table, column: str) -> list[str]:
        query = self._mine(select(table.c[column]).distinct(), table).order_by(table.c[column])
        return [str(value) for value in self._connection.execute(query).scalars()]

    def next_sequence(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        """One more than the largest ``sequence`` so far: unique, since writers are serialised by the caller's
        transaction (SQLite) or the table's unique constraint (PostgreSQL)."""
        query = self._mine(select(func.max(table.c.sequence)), table).where(*conditions)
        return int(self._connection.execute(query).scalar() or 0) + 1

    def add(self, table: Table, **values: Any) -> None:
        self._connection.execute(insert(table).values(tenant=self._tenant, **values))

    def add_all(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(table), [{"tenant": self._tenant, **row} for row in rows])

    def put(self, table: Table, **values: Any) -> None:
        """Insert, or replace the row that has the same primary key."""
        upsert = sqlite_insert if self._connection.dialect.name == "sqlite" else postgresql_insert
        keys = [column.name for column in table.primary_key.columns]
        statement = upsert(table).values(tenant=self._tenant, **values)
        fresh = {name: statement.excluded[name] for name in values if name not in keys}
        self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh))

    def add_once(self, table: Table, unique: Sequence[str], **values: Any) -> bool:
        """Insert unless a row with the same ``unique`` columns is there; says whether it was inserted."""
        upsert = sqlite_insert if self._connection.dialect.name == "sqlite" else postgresql_insert
        statement = upsert(table).values(tenant=self._tenant, **values)
        done = self._connection.execute(statement.on_conflict_do_nothing(index_elements=["tenant", *unique]))
        return bool(done.rowcount)

    def change(self, table: Table, *conditions: ColumnElement[bool], **values: Any) -> int:
        """Update; returns how many rows changed."""
        query = update(table).where(table.c.tenant == self._tenant, *conditions).values(**values)
        return self._connection.execute(query).rowcount

    def remove(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        query = table.delete().where(table.c.tenant == self._tenant, *conditions)
        return self._connection.execute(query).rowcount

    def lock(self, name: str) -> None:
        """Serialise transactions over ``name`` until this one ends (SQLite's writers already are)."""
        if self._connection.dialect.name == "postgresql":
            key = func.hashtextextended(f"{self._tenant}/{name}", 0)
            self._connection.execute(select(func.pg_advisory_xact_lock(key)))

    def _mine(self, query: Select[Any], table: Table) -> Select[Any]:
        return query.where(table.c.tenant == self._tenant)


class Store:
    """The metadata of one tenant."""

    def __init__(self, engine: Engine, tenant: str) -> None:
        self.engine = engine
        self.tenant = tenant

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        with transaction(self.engine) as connection:
            yield Tx(connection, self.tenant)

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        with transaction(self.engine, reading=True) as connection:
            yield Tx(connection, self.tenant)

    def close(self) -> None:
        self.engine.dispose()


def open_store(url: str, tenant: str = "default") -> Store:
    """The store at ``url``, made or upgraded where needed."""
    engine = open_engine(url)
    path = _sqlite_path(engine)
    if path is not None and not path.exists():
        _make_folder(path.parent)
        create_sqlite_file(path, upgrade)
    try:
        with transaction(engine, reading=True) as connection:
            found = current(connection)
        if found is not None and found > HEAD:
            raise newer(found)
        if found != HEAD:
            upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, tenant)


def _sqlite_path(engine: Engine) -> Path | None:
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name else None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageDenied(
            f"The folder {folder} cannot be made: {error.strerror}.",
            remedy="Check the owner and permissions of the folder above it.",
        ) from error
