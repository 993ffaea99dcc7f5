"""A project with its data in a folder and in S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.s3 import S3
from tests.stories.upkeep.days import (
    opened,
)

from everloop.flows.project import Project


@pytest.fixture(params=["folder", "s3"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    if request.param == "folder":
        here = opened(tmp_path / "p")
    else:
        server: S3 = request.getfixturevalue("s3")
        place = f"s3://{request.getfixturevalue('s3_bucket')}/store"
        flags = (f"paths.data_versions={place}", "storage.allow_http=true")
        here = opened(tmp_path / "p", *flags, **server.environment)
    yield here
    here.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Project]:
    here = opened(tmp_path / "p")
    yield here
    here.close()
