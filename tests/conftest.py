"""Fixtures that many tests share: real servers, one per worker, started when first asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.postgres import Postgres, postgres_server
from tests.servers.s3 import S3, s3_server

_OURS = ("EVERLOOP_", "MLFLOW_", "AWS_")
_OUR_NAMES = ("CONFIG_PATH", "RANDOM_SEED")


def pytest_configure() -> None:
    """What the developer's shell says about everloop must not change what the tests see."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as in the product: two workers share two cores
    for name in list(os.environ):
        if name.startswith(_OURS) or name in _OUR_NAMES:
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server of this worker."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """The SQLAlchemy URL of the server's ``postgres`` database, shared by the tests of this worker."""
    return postgres.url()


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """The SQLAlchemy URL of a database that only this test has, dropped afterwards."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A running S3-compatible server of this worker, with a bucket and its credentials."""
    with s3_server() as server:
        yield server


@pytest.fixture
def s3_bucket(s3: S3) -> str:
    """The name of a fresh bucket that only this test has."""
    return s3.new_bucket()
