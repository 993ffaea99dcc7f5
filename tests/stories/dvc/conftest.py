"""DVC and git without the developer's own settings, and a project made with them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stories.dvc.judge import Theirs, make_theirs


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No home, no site, no analytics; git knows who commits."""
    home = tmp_path_factory.mktemp("home")
    settings = {
        "HOME": home,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": home / "site",
        "DVC_GLOBAL_CONFIG_DIR": home / "global",
        "DVC_SYSTEM_CONFIG_DIR": home / "system",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "EVERLOOP_TRACKING__ENABLED": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, str(value))
        yield


@pytest.fixture(scope="module")
def theirs(alone: None, tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    return make_theirs(tmp_path_factory.mktemp("made"))


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in: the project of who uses everloop."""
    folder = tmp_path / "ours"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
