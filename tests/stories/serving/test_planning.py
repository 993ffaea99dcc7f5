"""What is served is planned from the registry and the settings, and mistakes in them are told at once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.stories.serving.releasing import register
from tests.stories.serving.server import iris_project, running, write_project

from everloop.api.office.plans import Plans
from everloop.core.errors import InvalidSettings
from everloop.core.serving import Field
from everloop.flows import data, outside, turn
from everloop.flows.releases import deploying
from everloop.flows.serving import planning
from everloop.settings import folder_settings
from everloop.training.raw import column
from everloop.wiring import connect, open_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("planned")
    iris_project(place)
    return place


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("models.iris.serving.mask.sepal_lenght=hide", "Did you mean 'sepal_length'"),
        ("serving.default_model=iirs", "Did you mean 'iris'"),
    ],
)
def test_a_name_that_nothing_has_is_refused(folder: Path, flag: str, said: str) -> None:
    project = open_project(folder=folder, flags=[flag])
    try:
        with pytest.raises(InvalidSettings, match=said):
            planning.plan(project)
    finally:
        project.close()


def test_a_damaged_compiled_form_is_replaced_by_the_original(folder: Path) -> None:
    project = open_project(folder=folder)
    try:
        plans = Plans(project)
        plans.look()
        version = plans.message["models"][0]["versions"][0]
        assert version["format"] == "onnx"
        path = Path(project.artifacts.where(version["key"]))
        path.chmod(0o600)
        path.write_bytes(b"damaged")
        again = Plans(project)
        again.look()
        version = again.message["models"][0]["versions"][0]
        assert version["format"] != "onnx"
        assert version["form"]["route"] == "native"
        assert "is damaged" in str(again.problems)
    finally:
        project.close()


def test_whole_numbers_that_floats_cannot_hold_stay_whole() -> None:
    number = Field("id", "number")
    assert column(number, [9_007_199_254_741_907, None]).to_pylist() == [9_007_199_254_741_907, None]
    assert column(number, [1, 2.5]).type == pa.float64()
    assert column(number, [2**70, 2.5]).to_pylist() == [float(2**70), 2.5]


def test_a_model_without_a_champion_is_not_ready_but_answers_by_version(tmp_path: Path) -> None:
    numbers, target = load_iris(return_X_y=True)
    project = write_project(tmp_path)
    try:
        fitted = LogisticRegression(max_iter=500).fit(numbers, target)
        outside.register(project, "iris", fitted, outside.Origin(None, {}, "", (), {}))
    finally:
        project.close()
    rows = {"features": numbers[0].tolist()}
    with running(tmp_path) as server:
        health = server.ask("GET", "/health").json
        assert (health["status"], health["ready"]) == ("unavailable", False)
        assert "no version of 'iris' is promoted yet" in health["problem"]
        assert server.ask("GET", "/ready").status == 503
        assert server.predict(rows).status == 404
        assert server.predict(rows, "/models/iris/versions/1.0.0/predict").json["prediction"] == 0


def test_the_fallback_is_no_version_that_was_rolled_back(tmp_path: Path) -> None:
    iris_project(tmp_path)
    project = open_project(folder=tmp_path)

    def fallback() -> tuple[str, str | None]:
        model = planning.plan(project).models[0]
        return model.default, model.fallback

    try:
        assert fallback() == ("1.0.0", None)
        for version in ("2.0.0", "3.0.0"):
            register(project, 1.0, version)
            deploying.deploy(project, deploying.Request(f"iris@{version}"))
        assert fallback() == ("3.0.0", "2.0.0")
        deploying.rollback(project, "iris", "prod")
        assert fallback() == ("2.0.0", "1.0.0")
        deploying.deploy(project, deploying.Request("iris@3.0.0"))
        deploying.rollback(project, "iris", "prod", to="1.0.0")
        assert fallback() == ("1.0.0", None)
    finally:
        project.close()


def test_the_constant_is_the_share_of_each_class_also_where_classes_are_numbers(tmp_path: Path) -> None:
    tree = {
        "models": {"churn": {
            "data": {"example": {"name": "customers", "rows": 1_000}}, "target": "churned",
            "serving": {"fallback": "constant"},
        }},
        "tracking": {"enabled": False},
    }  # fmt: skip
    with closing(connect(folder_settings(tmp_path, tree))) as project:
        turn.run(project, "churn")
        (model,) = planning.plan(project).models
        version = data.find(project, "churn@latest")
        left = version.statistics["churned"].mean
        assert left is not None
        assert model.constant == pytest.approx((1 - left, left))
