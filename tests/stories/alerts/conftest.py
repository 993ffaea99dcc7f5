"""Clocks and receivers of the stories of alerts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clocks import Hands
from tests.servers import receivers
from tests.stories.alerts.incidents import NOON


@pytest.fixture
def clock() -> Hands:
    return Hands(NOON)


@pytest.fixture
def hook() -> Iterator[receivers.Http]:
    with receivers.http() as receiver:
        yield receiver
