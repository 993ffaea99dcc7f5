"""The zygote, and the two kinds of database that every drill runs on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
