"""A project with two versions of iris, made once, and requests under a release as workers log them."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.stories.serving.log import line, write
from tests.stories.serving.releasing import NEW, OLD, two_versions

from everloop.wiring import open_project

RULES = {"burn_in": 2, "measures": {}}  # promoted by guardrails alone: what a test can show in a moment
ENVIRONMENTS = {
    "staging": {"validated": True},
    "prod": {"after": "staging", "time": "1h", "approval": "owner"},
    "lab": {},
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    two_versions(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """The project of this test: champion of iris is 1.0.0; 2.0.0 was made outside."""
    copy = tmp_path / "project"
    shutil.copytree(template, copy)
    change_settings(copy, release=RULES)
    return copy


def change_settings(folder: Path, **sections: Any) -> None:
    file = folder / "everloop.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **sections}))


def requests(folder: Path, release_id: str, count: int, *, failing: bool = False) -> None:
    """So many requests for the canary and as many for the control; those of a failing canary fail."""
    project = open_project(folder=folder)
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    shared = {"release_id": release_id, "probability": 0.05, "at": at}
    try:
        for number in range(count):
            unit = f"{2 * number:016x}"
            if failing:
                told = {
                    "failure_id": f"fail_{number}", "model": "iris", "version": NEW, "variant": "canary",
                    "unit": unit, "kind": "failed", "request_id": f"r{number}", "error": "unavailable",
                    **shared,
                }  # fmt: skip
                write(project, json.dumps(told, separators=(",", ":")).encode() + b"\n")
            else:
                write(project, line(2 * number, version=NEW, variant="canary", unit=unit, **shared))
            other = f"{2 * number + 1:016x}"
            write(project, line(2 * number + 1, version=OLD, variant="control", unit=other, **shared))
    finally:
        project.close()
