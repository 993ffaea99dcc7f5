"""A fitted model, and where it is told: a tracker on a folder or on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.stories.mlflow.deliveries import FEATURES, LATE
from tests.stories.mlflow.server import mlflow_server


@pytest.fixture(scope="session")
def pipeline() -> Any:
    from sklearn.linear_model import LogisticRegression

    from everloop.core.runs import Recipe
    from everloop.training.preparation import prepare

    prepared = prepare(FEATURES, list(FEATURES), Recipe(target="late"), LogisticRegression())
    prepared.steps.append(("estimator", LogisticRegression()))
    return prepared.fit(FEATURES, LATE)


@pytest.fixture(scope="session")
def model(pipeline: Any) -> tuple[bytes, str]:
    from everloop.training import serialise

    return serialise.dumps(pipeline)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with mlflow_server() as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("mlruns"))


@pytest.fixture(scope="session")
def open_tracker() -> Callable[..., Any]:
    from everloop.adapters.mlflow.tracker import MlflowTracker

    return MlflowTracker
