"""Databases and shops of the stories of monitoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import unrendered
from tests.store.conftest import url
from tests.stories.monitoring.shop import Shop

__all__ = ["open_shop", "shop", "unrendered", "url"]


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Opens shops as ``Shop`` does, in the test's folder, and closes them when it is over."""
    opened: list[Shop] = []

    def open_one(url: str | None = None, **monitoring: Any) -> Shop:
        opened.append(Shop(tmp_path, url, **monitoring))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop()
