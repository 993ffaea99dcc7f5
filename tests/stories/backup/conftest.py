"""A shop whose backups go to a folder beside it, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clocks import Hands
from tests.stories.backup.shop import SETTINGS, Open

from everloop import wiring
from everloop.flows.project import Project
from everloop.settings import load_settings


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def opened(tmp_path: Path, clock: Hands) -> Iterator[Open]:
    """``opened("shop", "section.key=value")``: a project in a folder of that name, closed at the end."""
    projects: list[Project] = []

    def open_(name: str = "shop", *flags: str, variables: dict[str, str] | None = None) -> Project:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if not (folder / "everloop.yaml").exists():
            (folder / "everloop.yaml").write_text(SETTINGS)
        settings = load_settings(folder=folder, flags=flags, variables=variables or {})
        projects.append(wiring.connect(settings, clock))
        return projects[-1]

    yield open_
    for project in projects:
        project.close()


@pytest.fixture
def shop(opened: Open) -> Project:
    return opened()
