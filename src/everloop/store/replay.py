"""A database built again from rows and changes: a SQLite file of its own, which one tenant alone has.

Rows and changes were written by the release of their time. They go into the schema of that time, and the
migrations that came between run in between, as they did where the rows were written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, and_, bindparam, insert

from everloop.core.clock import Clock

from .database import Store, Tx, open_store
from .engine import create_sqlite_file, open_engine, transaction
from .migrate import newer, upgrade
from .migrations import HEAD
from .tables import BACKED_UP

_MANY = 500


@dataclass(frozen=True)
class Change:
    """A row as it became (``put``), or the key of one that was deleted (``remove``)."""

    schema: str
    table: str
    op: str
    content: str


def rebuild(path: Path, tenant: str, clock: Clock, found: Iterable[Change], schema: str) -> Store:
    """The store in a new file at ``path`` that the changes make of an empty database of ``schema``."""
    if schema > HEAD:
        raise newer(schema)
    create_sqlite_file(path, lambda engine: upgrade(engine, schema))
    engine = open_engine(f"sqlite:///{path}")
    try:
        for now, several in groupby(found, key=lambda change: change.schema):
            if now > HEAD:
                raise newer(now)
            if now > schema:
                upgrade(engine, schema := now)
            with transaction(engine) as connection:
                _apply(connection, tenant, several)
    finally:
        engine.dispose()
    return open_store(f"sqlite:///{path}", tenant, clock)


def refill(tx: Tx, source: Tx) -> dict[str, int]:
    """Put the rows of ``source`` in the place of all that the tenant has; returns how many rows by table.

    Rows keep their numbers, unless another tenant of this database has one of them by now: then all of that
    table get new ones, in the same order.
    """
    counts = {}
    for table in BACKED_UP:
        tx.remove(table)
        numbered = [column.name for column in table.primary_key.columns] == ["sequence"]
        kept = not numbered or all(
            tx.are_free(table, [row["sequence"] for row in several])
            for several in _batches(source.each(table))
        )
        dropped = () if kept else ("sequence",)
        counts[table.name] = 0
        for several in _batches(source.each(table)):
            rows = [{name: value for name, value in row.items() if name not in dropped} for row in several]
            tx.add_all(table, rows)
            counts[table.name] += len(rows)
        if numbered:
            tx.number_on(table)
    return counts


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while several := list(islice(rows, _MANY)):
        yield several


def _apply(connection: Connection, tenant: str, found: Iterator[Change]) -> None:
    known = MetaData()
    known.reflect(connection)
    for (name, op), several in groupby(found, key=lambda change: (change.table, change.op)):
        table = known.tables[name]
        statement: Any = insert(table).prefix_with("OR REPLACE") if op == "put" else _removal(table)
        for batch in _batches(several):
            connection.execute(statement, [_values(change, table, tenant, op) for change in batch])


def _values(change: Change, table: Table, tenant: str, op: str) -> dict[str, Any]:
    values = {**json.loads(change.content), "tenant": tenant}
    if op == "put":
        return values
    return {f"key_{column.name}": values[column.name] for column in table.primary_key.columns}


def _removal(table: Table) -> Any:
    keys = (column == bindparam(f"key_{column.name}") for column in table.primary_key.columns)
    return table.delete().where(and_(*keys))
