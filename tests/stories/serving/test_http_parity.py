"""The answers over HTTP are those of the model itself: real rows, missing and unseen values, every route."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from everloop.data import writing
from everloop.data.examples.customers import customers
from everloop.flows import models, outside, turn
from everloop.flows.outside import Origin
from everloop.flows.project import Project

from .server import Server, running, write_project

ROWS = 500
SHOPS = ["north", "south", "east", "köln, west"]
START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = {"missing": "allow", "range": "allow", "category": "allow"}


def visits(rows: int, seed: int) -> pd.DataFrame:
    """Times with and without a zone, a boolean, categories and numbers, some of them missing."""
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, 365 * 24, rows)
    basket = rng.lognormal(3, 1, rows)
    member = rng.random(rows) < 0.4
    late = rng.random(rows) < 0.03
    shop = rng.choice(SHOPS, rows, p=[0.4, 0.3, 0.2, 0.1])
    score = 0.03 * basket + member + (shop == "north") + 0.08 * (hours % 24) + rng.normal(0, 0.5, rows)
    frame = pd.DataFrame(
        {
            "at": [
                None if gone else START + timedelta(hours=int(h)) for h, gone in zip(hours, late, strict=True)
            ],
            "opened": [datetime(2025, 3, 1) + timedelta(hours=int(hour)) for hour in hours[::-1]],
            "member": pd.array(member, dtype="boolean"),
            "shop": shop,
            "basket": basket,
            "items": rng.integers(1, 30, rows).astype(float),
            "kind": np.where(score > np.median(score) + 0.5, "gold", np.where(score > 2, "silver", "none")),
            "value": score,
        }
    )
    for name, share in {"member": 0.05, "shop": 0.08, "basket": 0.1}.items():
        frame[name] = frame[name].mask(rng.random(rows) < share)
    return frame


def table_of(frame: pd.DataFrame) -> pa.Table:
    """As files have it; pandas' own way warns of times with a zone."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("list")
    return pa.table(rows)


def _of(path: str, target: str, model_type: str, **more: Any) -> dict[str, Any]:
    return {
        "data": {"path": path}, "target": target, "training": {"model_type": model_type},
        "serving": {"inputs": ALL}, **more,
    }  # fmt: skip


MODELS = {
    "churn_logistic": _of("churn.parquet", "churned", "logistic"),
    "churn_boosted": _of("churn.parquet", "churned", "hist_gradient_boosting"),
    "visits_boosted": _of("visits.parquet", "kind", "hist_gradient_boosting", exclude=["value"]),
    "visits_logistic": _of("visits.parquet", "kind", "logistic", exclude=["value"]),
    "visits_forest": _of("visits.parquet", "kind", "random_forest", exclude=["value"]),
    "visits_value": _of("visits.parquet", "value", "hist_gradient_boosting", exclude=["kind"]),
    "texts_outside": {"data": {"path": "visits.parquet"}, "target": "kind", "serving": {"inputs": ALL}},
    "not_compiled": {"data": {"path": "visits.parquet"}, "target": "kind", "serving": {"inputs": ALL}},
}  # fmt: skip


def _from_outside(project: Project, seen: pd.DataFrame) -> None:
    columns = ["shop", "basket", "items"]
    prepared = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["shop"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["basket", "items"]),
    )
    texts = make_pipeline(prepared, LogisticRegression(max_iter=1000)).fit(seen[columns], seen["kind"])
    data_version = models.find(project, "visits_boosted").version.data_version
    origin = Origin(data_version, {}, "kind", columns, {})
    outside.register(project, "texts_outside", texts, origin, promote="for the test")
    odd = make_pipeline(clone(prepared), GaussianProcessClassifier()).fit(
        seen[columns][:200], seen["kind"][:200]
    )
    outside.register(project, "not_compiled", odd, origin, promote="for the test")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Project]]:
    folder = tmp_path_factory.mktemp("parity")
    (folder / "churn.parquet").write_bytes(writing.to_bytes(customers(1500, missing=0.05), ".parquet"))
    seen = visits(1500, 1)
    (folder / "visits.parquet").write_bytes(writing.to_bytes(table_of(seen), ".parquet"))
    project = write_project(folder, models=MODELS, serving={"versions": 1})
    try:
        for name, model in MODELS.items():
            if "training" in model:
                assert turn.run(project, name).model_version == "1.0.0"
        _from_outside(project, seen)
        with running(folder) as server:
            yield server, project
    finally:
        project.close()


def _json(value: Any) -> Any:
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, datetime | pd.Timestamp):
        return value.isoformat()
    return value.isoformat() if hasattr(value, "isoformat") else getattr(value, "item", lambda: value)()


def _asked(server: Server, name: str, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The answers to rows: in batches by name, the first also one by one and in order."""
    rows = [{key: _json(value) for key, value in row.items()} for row in frame.to_dict("records")]
    answers: list[dict[str, Any]] = []
    for start in range(0, len(rows), 125):
        answer = server.predict({"instances": rows[start : start + 125]}, f"/models/{name}/predict")
        assert answer.status == 200, answer.body[:500]
        answers += answer.json["predictions"]
    for row, expected in list(zip(rows, answers, strict=True))[:10]:
        by_name = {key: row[key] for key in reversed(row)}
        alone = server.predict({"features": by_name}, f"/models/{name}/predict?a=lone").json
        assert alone["prediction"] == expected["prediction"]
        assert alone.get("probabilities") == expected.get("probabilities")
    return answers


def _compare(answers: list[dict[str, Any]], model: Any, X: pd.DataFrame) -> None:
    scores: npt.NDArray[Any] = model.predict_proba(X)
    found = np.array([[one["probabilities"][str(name)] for name in model.classes_] for one in answers])
    np.testing.assert_allclose(found, scores, atol=1e-5)
    ranked = np.sort(scores, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 1e-4
    said = np.array([one["prediction_name"] for one in answers])
    expected = np.array([str(name) for name in model.classes_[scores.argmax(axis=1)]])
    assert (said == expected)[clear].all()
    assert clear.mean() > 0.9


def _new_visits() -> pd.DataFrame:
    frame = visits(ROWS, 2).drop(columns=["kind", "value"])
    frame.loc[frame.index % 17 == 0, "shop"] = "never seen"
    frame.loc[frame.index % 31 == 0, "basket"] = 1e6
    return frame


@pytest.mark.parametrize("name", ["visits_boosted", "visits_logistic", "visits_forest"])
def test_mixed_tables_with_times(served: tuple[Server, Project], name: str) -> None:
    server, project = served
    frame = _new_visits()
    _compare(_asked(server, name, frame), models.load(project, name), frame)


def test_values(served: tuple[Server, Project]) -> None:
    server, project = served
    frame = _new_visits()
    answers = _asked(server, "visits_value", frame)
    expected = models.load(project, "visits_value").predict(frame)
    np.testing.assert_allclose([one["prediction"] for one in answers], expected, rtol=1e-5, atol=1e-5)
    assert "prediction_name" not in answers[0]


@pytest.mark.parametrize("name", ["churn_logistic", "churn_boosted"])
def test_customers(served: tuple[Server, Project], name: str) -> None:
    server, project = served
    frame = customers(ROWS, seed=7, drift=0.5, missing=0.1).to_pandas()
    frame = frame.drop(columns=["churned"])
    _compare(_asked(server, name, frame), models.load(project, name), frame)


def test_text_columns_of_a_model_from_outside(served: tuple[Server, Project]) -> None:
    server, project = served
    frame = _new_visits()[["shop", "basket", "items"]]
    model = models.load(project, "texts_outside")
    _compare(_asked(server, "texts_outside", frame), model, frame)


def test_a_model_that_is_not_compiled(served: tuple[Server, Project]) -> None:
    server, project = served
    frame = _new_visits()[["shop", "basket", "items"]]
    frame["basket"] = frame["basket"].clip(upper=1e4)
    assert server.ask("GET", "/health").json["models"]["not_compiled"]["route"] == "native"
    _compare(_asked(server, "not_compiled", frame), models.load(project, "not_compiled"), frame)


def test_the_others_are_compiled(served: tuple[Server, Project]) -> None:
    server, _ = served
    routes = {name: one["route"] for name, one in server.ask("GET", "/health").json["models"].items()}
    assert {name for name, route in routes.items() if route != "onnx"} == {"not_compiled"}


def test_the_server_says_nothing_on_stderr(served: tuple[Server, Project], tmp_path: Path) -> None:
    server, _ = served
    assert "Traceback" not in server.errors
