"""Databases and towns of the stories of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import unrendered
from tests.store.conftest import url
from tests.stories.loop.town import Town

__all__ = ["open_town", "unrendered", "url"]


@pytest.fixture
def open_town(tmp_path: Path) -> Iterator[Callable[..., Town]]:
    """Opens towns in the test's folder, and closes them when it is over."""
    opened: list[Town] = []

    def open_one(url: str | None = None, **retraining: Any) -> Town:
        opened.append(Town(tmp_path, url, **retraining))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
