"""Each test stands in a folder of its own, as users do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.sdk.examples import CONFIG


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def untracked(folder: Path) -> Path:
    """The project of S0 without MLflow, which these tests do not look at."""
    (folder / "config.yaml").write_text(CONFIG + "\ntracking:\n  enabled: false\n")
    return folder
