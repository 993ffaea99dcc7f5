"""Engines and transactions for SQLite (WAL, BEGIN IMMEDIATE, busy timeout) and PostgreSQL."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool

from everloop.core.errors import (
    Corrupt,
    InvalidSettings,
    MissingExtra,
    MLOpsError,
    StorageDenied,
    StorageFull,
    Unavailable,
)

BUSY_SECONDS = 60
_LITTLE = 1 << 20  # bytes: with less, a disk counts as full
_LACKS = ("42P01", "42703")  # PostgreSQL: a table, a column that is not there
_EFFECTIVE = os.access in os.supports_effective_ids
_EXAMPLES = "Write it as sqlite:///everloop.db or postgresql://user:password@host/database."


def open_engine(url: str) -> Engine:
    """An engine for ``url``, with one meaning of a transaction on both databases."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return _postgresql(parsed)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidSettings(f"store.url '{url}' is not a database URL.", remedy=_EXAMPLES) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InvalidSettings(
            f"store.url names '{parsed.get_backend_name()}'; SQLite and PostgreSQL are supported.",
            remedy=_EXAMPLES,
        )
    return parsed


def _postgresql(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    except ModuleNotFoundError as error:
        raise MissingExtra("psycopg", "postgres") from error
    except NoSuchModuleError as error:
        raise InvalidSettings(f"store.url: {error}.", remedy=_EXAMPLES) from error


def _sqlite(url: URL) -> Engine:
    if denied(url):
        engine = create_engine(url, creator=lambda: _as_may_be(url), poolclass=NullPool)
    else:
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def denied(url: URL) -> StorageDenied | None:
    """Why this process may not write a database that is a file, or not even read it; None where it may, or
    where there is none yet."""
    path = Path(url.database or "")
    folder, remedy = path.parent, "Check its owner and permissions."
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    if is_there(folder) and not _may(folder, os.X_OK):
        return StorageDenied(f"The folder {folder}, where the database is, cannot be entered.", remedy=remedy)
    if not is_there(path):
        return None
    if not _may(path, os.R_OK):
        return StorageDenied(f"The database {path} cannot be read.", remedy=remedy)
    if not _may(path, os.W_OK):
        return StorageDenied(f"The database {path} can be read, but cannot be written.", remedy=remedy)
    if not _may(folder, os.W_OK):
        return StorageDenied(
            f"The database {path} can be read, but cannot be written: its folder cannot, where SQLite keeps "
            "files beside it.",
            remedy="Check the folder's owner and permissions.",
        )
    return None


def is_there(path: Path) -> bool:
    """Whether this process can see it."""
    return _may(path, os.F_OK)


def _may(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=_EFFECTIVE)


def _as_may_be(url: URL) -> sqlite3.Connection:
    """A connection to write with as soon as that is allowed, until then one that only reads."""
    path = Path(url.database or "")
    if denied(url):
        return _only_reading(path)
    return sqlite3.connect(path, BUSY_SECONDS, check_same_thread=False)


def _only_reading(path: Path) -> sqlite3.Connection:
    """A file that may not be written can be read all the same. SQLite would make its WAL beside the file,
    unless it is told that nobody writes: which is so where there is none."""
    how = "mode=ro" if is_there(Path(f"{path}-wal")) else "immutable=1"
    address = f"{path.resolve().as_uri()}?{how}"
    return sqlite3.connect(address, BUSY_SECONDS, check_same_thread=False, uri=True)


@contextmanager
def transaction(engine: Engine, *, reading: bool = False) -> Iterator[Connection]:
    """One transaction: all of it or nothing. The database's own failures become our errors."""
    try:
        with engine.connect() as connection:
            if reading:
                connection = connection.execution_options(reading=True)
            with connection.begin():
                yield connection
    except DBAPIError as error:
        translated = translate(error, engine.url)
        if translated is None:
            raise
        raise translated from error


def translate(error: DBAPIError, url: URL) -> MLOpsError | None:
    """The database's failure in our words; None for what is none of its own but a mistake of ours."""
    shown, said = url.render_as_string(hide_password=True), str(error.orig)
    first = said.partition("\n")[0]
    if "disk is full" in said or "No space left" in said or ("disk I/O error" in said and _is_full(url)):
        return StorageFull(f"No space left for {shown}.", remedy="Free some space and run again.")
    if "disk I/O error" in said:
        return Unavailable(
            f"{shown} cannot be read or written: {first}.",
            remedy="There may be no space left, or the disk failed: check both, then try again.",
        )
    if "readonly database" in said or "unable to open database" in said:
        remedy = "Check the owner and permissions of the file and of its folder."
        return denied(url) or StorageDenied(f"{shown} cannot be written.", remedy=remedy)
    if "malformed" in said or "file is not a database" in said:
        return Corrupt(
            f"{shown} is damaged: {said}.",
            remedy="Move the file, and those beside it that end in -wal and -shm, away; then restore it "
            "with 'everloop backup restore'.",
        )
    if "no such table" in said or "no such column" in said or getattr(error.orig, "sqlstate", "") in _LACKS:
        return Corrupt(
            f"{shown} is damaged, something is missing in it: {first}.",
            remedy="Restore it from a backup: everloop backup restore --replace.",
        )
    if isinstance(error, OperationalError):
        return Unavailable(
            f"The database {shown} does not answer: {first}.",
            remedy="Check store.url and that the server runs, then try again.",
        )
    return None


def _is_full(url: URL) -> bool:
    """SQLite also tells of an I/O error where it cannot lengthen the files beside the database."""
    try:
        return shutil.disk_usage(Path(url.database or ".").parent).free < _LITTLE
    except OSError:
        return False


def create_sqlite_file(path: Path, prepare: Callable[[Engine], None]) -> None:
    """Make a new SQLite file whole or not at all: built beside, then linked into place.

    ``prepare(engine)`` fills it. When two processes do so at once, the first link wins and both use it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    try:
        with sqlite3.connect(draft) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
        raw.close()
        engine = _sqlite(make_url(f"sqlite:///{draft}"))
        try:
            prepare(engine)
        finally:
            engine.dispose()
        with sqlite3.connect(draft) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.close()
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    except sqlite3.OperationalError as error:
        if "unable to open" in str(error) or "readonly" in str(error):
            raise StorageDenied(
                f"No database can be made in {path.parent}.",
                remedy="Check the folder's owner and permissions.",
            ) from error
        if "full" in str(error):
            raise StorageFull(
                f"No space left for {path}.", remedy="Free some space and run again."
            ) from error
        raise
    finally:
        for leftover in draft.parent.glob(f"{draft.name}*"):
            leftover.unlink(missing_ok=True)
