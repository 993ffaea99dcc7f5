"""A project with a model, on SQLite and on a real PostgreSQL, with a clock that the test sets; a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands
from tests.made import copied
from tests.stories.serving.log import NOW
from tests.stories.serving.server import Server, iris_project, running

from everloop import wiring
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows import turn
from everloop.flows.project import Project
from everloop.settings.loading import folder_settings

MODEL = {"data": {"path": "iris.csv"}, "target": "species"}
TREE: dict[str, Any] = {"models": {"iris": MODEL}, "tracking": {"enabled": False}}
_TRAINING = Hands(NOW, 0.001)  # what the clock shows after a training


@pytest.fixture
def clock() -> Hands:
    return Hands(NOW, 0.001)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def open_project(tmp_path: Path, clock: Hands, store_url: str | None) -> Iterator[Callable[..., Project]]:
    opened: list[Project] = []

    def make(**sections: Any) -> Project:
        tree = {**TREE, **sections}
        if store_url:
            tree["store"] = {"url": store_url}
        opened.append(wiring.connect(folder_settings(tmp_path, tree), clock))
        return opened[-1]

    yield make
    for project in opened:
        project.close()


@pytest.fixture
def project(open_project: Callable[..., Project]) -> Project:
    """Nothing is in it yet."""
    return open_project()


@pytest.fixture
def trained(
    open_project: Callable[..., Project], tmp_path: Path, clock: Hands, store_url: str | None
) -> Project:
    """Its model has a champion, 1.0.0."""
    if store_url:
        project = open_project()
        _train(project)
        return project
    assert not (tmp_path / ".everloop").exists()
    copied("trained", tmp_path, _make_trained)
    clock.ahead = _TRAINING.ahead
    return open_project()


def _make_trained(folder: Path) -> None:
    project = wiring.connect(folder_settings(folder, TREE), _TRAINING)
    try:
        _train(project)
    finally:
        project.close()


def _train(project: Project) -> None:
    (project.settings.root / "iris.csv").write_bytes(writing.to_bytes(iris(), ".csv"))
    assert turn.run(project, "iris").model_version == "1.0.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of a project with a champion for iris, with small limits."""
    folder = tmp_path_factory.mktemp("http")
    iris_project(folder, serving={"limits": {"body": 1_000_000, "rows": 100}})
    with running(folder) as server:
        yield server
        assert "Traceback" not in server.errors
