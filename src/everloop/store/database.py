"""A database, and the view of it that one tenant has.

All reading and writing goes through ``Tx``, which adds the tenant to every statement; nothing else in the
product holds a connection. So no query can be written that sees another tenant's rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    RowMapping,
    Select,
    Table,
    Text,
    cast,
    func,
    insert,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from everloop.core.clock import Clock, SystemClock
from everloop.core.errors import Corrupt, StorageDenied

from .engine import create_sqlite_file, denied, is_there, open_engine, transaction
from .migrate import current, newer, upgrade
from .migrations import HEAD
from .tables import NOT_BACKED_UP, backup_marks, changes
from .times import to_text

Row = RowMapping
LAPSE = timedelta(days=30)
_MANY = 200


class Tx:
    """One transaction of one tenant. It remembers the keys of the rows it touches, for ``keep_changes``."""

    def __init__(self, connection: Connection, tenant: str) -> None:
        self._connection = connection
        self._tenant = tenant
        self._touched: dict[Table, dict[tuple[Any, ...], None]] = {}

    def rows(
        self,
        table: Table,
        *conditions: ColumnElement[bool],
        newest: bool = False,
        by: str = "sequence",
        limit: int | None = None,
        only: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """The tenant's rows, oldest first, or newest first; of all columns or ``only`` these. Where ``by`` is
        the same, a table's ``sequence`` says which came first."""
        order = [table.c[name] for name in dict.fromkeys((by, "sequence")) if name in table.c]
        columns = table.c if only is None else [table.c[name] for name in only]
        query = self.mine(select(*columns), table).where(*conditions).limit(limit)
        query = query.order_by(*(each.desc() for each in order) if newest else order)
        with self._understood(table):
            return self._connection.execute(query).mappings().all()

    def readable(
        self, table: Table, *conditions: ColumnElement[bool], **chosen: Any
    ) -> list[tuple[tuple[Any, ...], Row | None]]:
        """As ``rows``: of each its key without the tenant, and the row; None where a document in it is no
        JSON."""
        keys = [column for column in table.primary_key.columns if column.name != "tenant"]
        names = [column.name for column in keys]
        try:
            rows = self.rows(table, *conditions, **chosen)
            return [(tuple(row[name] for name in names), row) for row in rows]
        except Corrupt:  # one by one
            known = self.rows(table, *conditions, **chosen, only=names)
            return [self._read(table, keys, tuple(row[name] for name in names)) for row in known]

    def _read(
        self, table: Table, keys: Sequence[Any], key: tuple[Any, ...]
    ) -> tuple[tuple[Any, ...], Row | None]:
        try:
            return key, self.row(table, *(column == value for column, value in zip(keys, key, strict=True)))
        except Corrupt:
            return key, None

    def each(self, table: Table, *conditions: ColumnElement[bool]) -> Iterator[Row]:
        """The tenant's rows by primary key, a few at a time in memory."""
        order = list(table.primary_key.columns)
        query = self.mine(select(table), table).where(*conditions).order_by(*order)
        with self._understood(table):
            yield from self._connection.execution_options(yield_per=_MANY).execute(query).mappings()

    def row(self, table: Table, *conditions: ColumnElement[bool]) -> Row | None:
        query = self.mine(select(table), table).where(*conditions)
        with self._understood(table):
            return self._connection.execute(query).mappings().first()

    def count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        query = self.mine(select(func.count()).select_from(table), table).where(*conditions)
        return int(self._connection.execute(query).scalar_one())

    def distinct(self, table: Table, column: str) -> list[str]:
        query = self.mine(select(table.c[column]).distinct(), table).order_by(table.c[column])
        return [str(value) for value in self._connection.execute(query).scalars()]

    def next_sequence(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        """One more than the largest ``sequence`` so far: unique, since writers are serialised by the caller's
        transaction (SQLite) or the table's unique constraint (PostgreSQL)."""
        query = self.mine(select(func.max(table.c.sequence)), table).where(*conditions)
        return int(self._connection.execute(query).scalar() or 0) + 1

    def add(self, table: Table, **values: Any) -> None:
        done = self._connection.execute(insert(table).values(tenant=self._tenant, **values))
        self._touch(table, [done.inserted_primary_key or ()])

    def add_all(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            query = insert(table).returning(*table.primary_key.columns)
            self._touch(
                table, self._connection.execute(query, [{**row, "tenant": self._tenant} for row in rows])
            )

    def add_new(self, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert many rows fast, of ``columns`` in this order; those whose primary key is there already are
        left out. Returns how many were inserted. Only for tables that are not backed up."""
        if not rows:
            return 0
        if table not in NOT_BACKED_UP:
            raise AssertionError(f"changes of {table.name} are kept for backups")
        names = ", ".join(f'"{name}"' for name in ("tenant", *columns))
        into = f"INSERT INTO {table.name} ({names})"
        if self._connection.dialect.name == "sqlite":
            marks = ", ".join("?" * (len(columns) + 1))
            tenant = (self._tenant,)
            statement = f"{into} VALUES ({marks}) ON CONFLICT DO NOTHING"
            done = self._connection.exec_driver_sql(statement, [tenant + row for row in rows])
        else:
            kinds = ["text" if isinstance(table.c[name].type, Text) else "float8" for name in columns]
            arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
            statement = f"{into} SELECT %s, new.* FROM unnest({arrays}) AS new ON CONFLICT DO NOTHING"
            values = tuple(list(column) for column in zip(*rows, strict=True))
            done = self._connection.exec_driver_sql(statement, (self._tenant, *values))
        return done.rowcount

    def select(self, query: Select[Any], table: FromClause) -> Sequence[Row]:
        """The rows of a query over the tenant's rows of ``table``, to which it ties others by tenant."""
        return self._connection.execute(self.mine(query, table)).mappings().all()

    def stream(self, query: Select[Any], table: Table, many: int = 2_000) -> Iterator[Row]:
        """Like ``select``, some rows at a time in memory."""
        found = self._connection.execution_options(yield_per=many).execute(self.mine(query, table))
        yield from found.mappings()

    def are_free(self, table: Table, numbers: Sequence[int]) -> bool:
        """Whether no tenant has a row with one of these ``sequence`` numbers."""
        query = select(func.count()).select_from(table).where(table.c.sequence.in_(numbers))
        return not self._connection.execute(query).scalar_one()

    def number_on(self, table: Table) -> None:
        """Let PostgreSQL's next number be beyond those that were given by us, as SQLite's is."""
        if self._connection.dialect.name == "postgresql":
            counter = func.pg_get_serial_sequence(table.name, "sequence")
            highest = select(func.coalesce(func.max(table.c.sequence), 1)).scalar_subquery()
            last = func.coalesce(func.pg_sequence_last_value(cast(counter, REGCLASS)), 1)
            self._connection.execute(select(func.setval(counter, func.greatest(highest, last))))

    def put(self, table: Table, **values: Any) -> None:
        """Insert, or replace the row that has the same primary key."""
        upsert = sqlite_insert if self._connection.dialect.name == "sqlite" else postgresql_insert
        keys = [column.name for column in table.primary_key.columns]
        statement = upsert(table).values(tenant=self._tenant, **values)
        fresh = {name: statement.excluded[name] for name in values if name not in keys}
        self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh))
        self._touch(table, [[{**values, "tenant": self._tenant}[name] for name in keys]])

    def add_once(self, table: Table, unique: Sequence[str], **values: Any) -> bool:
        """Insert unless a row with the same ``unique`` columns is there; says whether it was inserted."""
        upsert = sqlite_insert if self._connection.dialect.name == "sqlite" else postgresql_insert
        statement = upsert(table).values(tenant=self._tenant, **values)
        once = statement.on_conflict_do_nothing(index_elements=["tenant", *unique])
        return bool(self._returning(table, once))

    def change(self, table: Table, *conditions: ColumnElement[bool], **values: Any) -> int:
        """Update; returns how many rows changed."""
        query = update(table).where(table.c.tenant == self._tenant, *conditions).values(**values)
        return self._returning(table, query)

    def remove(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        """Delete; returns how many rows there were."""
        return self._returning(table, table.delete().where(table.c.tenant == self._tenant, *conditions))

    def lock(self, name: str) -> None:
        """Serialise transactions over ``name`` until this one ends (SQLite's writers already are)."""
        if self._connection.dialect.name == "postgresql":
            key = func.hashtextextended(f"{self._tenant}/{name}", 0)
            self._connection.execute(select(func.pg_advisory_xact_lock(key)))

    def keep_changes(self, clock: Clock) -> None:
        """Write down what became of the rows this transaction touched, as its last act, where backups are
        made: they can then be restored to this moment. Where none was made for LAPSE it ends, and the next
        backup begins with all rows again.

        Transactions write theirs one after the other, so the order of ``changes`` and of its times is the
        order of the commits.
        """
        if not self._touched:
            return
        self.lock("changes")
        marks = self.rows(backup_marks, by="target")
        now = clock.now()
        if marks and all(mark["at"] < to_text(now - LAPSE) for mark in marks):
            self.remove(changes)
            self.remove(backup_marks)
        elif marks:
            shared = {"tenant": self._tenant, "at": to_text(now), "schema": HEAD}
            kept = [{**shared, **entry} for table in self._touched for entry in self._outcome(table)]
            self._connection.execute(insert(changes), kept)

    def _outcome(self, table: Table) -> Iterator[dict[str, str]]:
        """What the touched rows of a table are now: ``put`` with the row, or ``remove`` with the key."""
        columns, touched = list(table.primary_key.columns), list(self._touched[table])
        gone = dict(self._touched[table])
        for start in range(0, len(touched), _MANY):
            chosen = tuple_(*columns).in_(touched[start : start + _MANY])
            for row in self._connection.execute(self.mine(select(table), table).where(chosen)).mappings():
                gone.pop(tuple(row[column.name] for column in columns), None)
                yield {"table_name": table.name, "op": "put", "content": to_json(row)}
        for key in gone:
            named = {column.name: value for column, value in zip(columns, key, strict=True)}
            yield {"table_name": table.name, "op": "remove", "content": to_json(named)}

    @contextmanager
    def _understood(self, table: Table) -> Iterator[None]:
        """A document that is no JSON any more becomes an error that names its row."""
        try:
            yield
        except json.JSONDecodeError as error:
            raise Corrupt(
                f"The database is damaged: in the table {table.name} the document of {self._garbled(table)} "
                "is no JSON.",
                remedy="Restore it from a backup: everloop backup restore --replace.",
            ) from error

    def _garbled(self, table: Table) -> str:
        """Which row has a document that is no JSON."""
        keys = [column for column in table.primary_key.columns if column.name != "tenant"]
        documents = [type_coerce(c, Text) for c in table.c if isinstance(c.type, JSON)]
        for row in self._connection.execute(self.mine(select(*keys, *documents), table)):
            try:
                for text in filter(None, row[len(keys) :]):
                    json.loads(text)
            except ValueError:
                return "/".join(str(value) for value in row[: len(keys)])
        return "a row"

    def _returning(self, table: Table, query: Any) -> int:
        keys = self._connection.execute(query.returning(*table.primary_key.columns)).all()
        self._touch(table, keys)
        return len(keys)

    def _touch(self, table: Table, keys: Iterable[Sequence[Any]]) -> None:
        found = {tuple(key): None for key in keys}
        if found and table not in NOT_BACKED_UP:
            self._touched.setdefault(table, {}).update(found)

    def mine(self, query: Select[Any], table: FromClause) -> Select[Any]:
        """A query over the tenant's rows of a table, or of a subquery that has the tenant."""
        return query.where(table.c.tenant == self._tenant)


def to_json(row: Mapping[str, Any] | Row) -> str:
    """A row without its tenant, as it stands in ``changes`` and in backups."""
    values = {name: value for name, value in row.items() if name != "tenant"}
    return json.dumps(values, separators=(",", ":"))


class Store:
    """The metadata of one tenant."""

    def __init__(self, engine: Engine, tenant: str, clock: Clock) -> None:
        self.engine = engine
        self.tenant = tenant
        self._clock = clock

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        with transaction(self.engine) as connection:
            tx = Tx(connection, self.tenant)
            yield tx
            tx.keep_changes(self._clock)

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        with transaction(self.engine, reading=True) as connection:
            yield Tx(connection, self.tenant)

    @contextmanager
    def snapshot(self) -> Iterator[Tx]:
        """A reading transaction that sees one moment of the database, however long it takes."""
        engine = self.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with transaction(engine, reading=True) as connection:
            yield Tx(connection, self.tenant)

    def denied(self) -> StorageDenied | None:
        """Why nothing can be written here, as far as that shows without writing."""
        return denied(self.engine.url)

    def close(self) -> None:
        self.engine.dispose()


def open_store(url: str, tenant: str = "default", clock: Clock | None = None) -> Store:
    """The store at ``url``, made or upgraded where needed."""
    engine = open_engine(url)
    path = _sqlite_path(engine)
    if path is not None and denied(engine.url) is None and not is_there(path):
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
    return Store(engine, tenant, clock or SystemClock())


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
