"""The zygote, the two kinds of database that every drill runs on, and a project to serve."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.serving_deeds import make_project

Zygote = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """``zygote({"do": "take_turn", "with": {…}}, …)`` runs tasks at once, each in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.drills.zygote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    def ask(*tasks: dict[str, Any]) -> list[dict[str, Any]]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(tasks) + "\n")
        process.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(process.stdout.readline())
        for one in answers:
            assert not (one["answer"] or {}).get("error"), one["answer"]["error"]
        return answers

    yield ask
    process.communicate(timeout=10)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """None for the embedded SQLite, else the URL of an empty PostgreSQL database."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_database"))


@pytest.fixture(scope="session")
def serving_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two versions to serve, to be copied."""
    folder = tmp_path_factory.mktemp("serving") / "begin"
    make_project(folder, slow=False)
    return folder


@pytest.fixture
def serving_folder(serving_made: Path, tmp_path: Path) -> Path:
    """A project with two versions to serve."""
    return shutil.copytree(serving_made, tmp_path / "project")
