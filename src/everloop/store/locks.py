"""Locks in PostgreSQL, for projects on several machines: the server frees them when the connection ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import ColumnElement, Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from everloop.core.clock import Clock
from everloop.core.errors import Busy

from .engine import translate

_PAUSE = 0.1
_GRACE = 1.0  # seconds the server may take to notice that a holder has died


class DatabaseLocks:
    """Session-level advisory locks, each on a connection of its own."""

    def __init__(self, engine: Engine, tenant: str, clock: Clock) -> None:
        self._engine = engine
        self._tenant = tenant
        self._clock = clock

    @contextmanager
    def hold(self, name: str, *, wait: float = 0.0) -> Iterator[None]:
        """Hold ``name``, or raise Busy when somebody else still does after ``wait`` seconds, Unavailable when
        the server does not answer."""
        key = func.hashtextextended(f"lock/{self._tenant}/{name}", 0)
        until = self._clock.monotonic() + max(wait, _GRACE)
        with self._translated():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            while not self._try(connection, key):
                if self._clock.monotonic() >= until:
                    raise Busy(name)
                self._clock.sleep(_PAUSE)
            try:
                yield
            finally:
                with suppress(DBAPIError):  # a lost connection has freed the lock already
                    connection.execute(select(func.pg_advisory_unlock(key)))
        finally:
            connection.invalidate()  # ends the session, and with it the lock, whatever state it is in
            connection.close()

    def _try(self, connection: Connection, key: ColumnElement[int]) -> bool:
        with self._translated():
            return bool(connection.execute(select(func.pg_try_advisory_lock(key))).scalar())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            known = translate(error, self._engine.url)
            if known is None:
                raise
            raise known from error
