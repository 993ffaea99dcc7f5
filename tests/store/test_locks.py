"""Locks in PostgreSQL: one holder, freed with it, and a server that is away is said in our words."""

from __future__ import annotations

import pytest

from everloop.core.clock import SystemClock
from everloop.core.errors import Busy, Unavailable
from everloop.store.engine import open_engine
from everloop.store.locks import DatabaseLocks
from tests.servers import free_port


def test_one_holds_a_lock_and_another_tenant_has_its_own(postgres_database: str) -> None:
    engine = open_engine(postgres_database)
    mine, theirs = (DatabaseLocks(engine, tenant, SystemClock()) for tenant in ("acme", "other"))
    with mine.hold("model/m"), theirs.hold("model/m"), pytest.raises(Busy), mine.hold("model/m"):
        pass
    with mine.hold("model/m"):
        pass
    engine.dispose()


def test_a_server_that_is_away_makes_the_lock_unavailable() -> None:
    engine = open_engine(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    with (
        pytest.raises(Unavailable, match="does not answer"),
        DatabaseLocks(engine, "t", SystemClock()).hold("m"),
    ):
        pass
    engine.dispose()
