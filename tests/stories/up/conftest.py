"""A project with a champion, made once and copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.stories.serving.server import iris_project


@pytest.fixture(scope="session")
def flowers_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("up") / "flowers"
    folder.mkdir()
    iris_project(folder, tracking={"enabled": True})
    return folder


@pytest.fixture
def flowers(flowers_made: Path, tmp_path: Path) -> Path:
    """A folder of its own with a champion for iris, and MLflow on SQLite."""
    return shutil.copytree(flowers_made, tmp_path / "flowers")
