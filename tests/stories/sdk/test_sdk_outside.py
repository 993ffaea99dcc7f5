"""Models from elsewhere: what can answer is registered, what never can is refused when it is registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from everloop import DataVersioner, Invalid, ModelRegistry, UnknownModel
from everloop.adapters.native import NativeModel
from everloop.flows import models
from everloop.flows.serving import planning

DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": DRAW.normal(size=200), "b": DRAW.normal(size=200)})
LABEL = np.where(FRAME["a"] + FRAME["b"] > 0, "yes", "no")
TWO = np.column_stack([FRAME["a"] > 0, FRAME["b"] > 0]).astype(int)


def refused(model: Any, data_version: str | None) -> str:
    """What is told of a model that is not registered, and so not promoted."""
    registry = ModelRegistry("model_registry", model="outside")
    with pytest.raises(Invalid) as error:
        registry.register(model, data_version=data_version, promote=True)
    assert registry.list() == []
    with pytest.raises(UnknownModel):
        registry.latest()
    assert error.value.remedy
    return error.value.message


@pytest.mark.parametrize("with_data", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        MultiOutputClassifier(LogisticRegression()),
        MultiOutputRegressor(Ridge()),
        OneVsRestClassifier(LogisticRegression()),
    ],
)
def test_a_model_of_several_targets_is_refused(folder: Path, model: Any, with_data: bool) -> None:
    version = DataVersioner("model_registry").register(FRAME) if with_data else None
    assert "2 targets" in refused(model.fit(FRAME, TWO), version)


class Picky(ClassifierMixin, BaseEstimator):
    """A classifier that refuses some rows."""

    def __init__(self, least: float) -> None:
        self.least = least

    def fit(self, X: Any, y: Any) -> Picky:
        self.classes_ = np.unique(y)
        self.feature_names_in_, self.n_features_in_ = np.array(X.columns, dtype=object), X.shape[1]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        if (X["a"] < self.least).any():
            raise RuntimeError("that is too little")
        return np.full((len(X), 2), 0.5)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_a_model_that_fails_on_every_row_of_its_data_is_refused_with_its_own_error(folder: Path) -> None:
    version = DataVersioner("model_registry").register(FRAME)
    told = refused(Picky(100.0).fit(FRAME, LABEL), version)
    assert "RuntimeError: that is too little" in told
    assert "Picky" in told


def test_a_model_that_answers_some_rows_is_registered(folder: Path) -> None:
    version = DataVersioner("model_registry").register(FRAME)
    registry = ModelRegistry("model_registry", model="outside")
    assert registry.register(Picky(0.0).fit(FRAME, LABEL), data_version=version) == "1.0.0"


def test_a_model_of_complete_rows_is_registered_with_data_that_miss_values(folder: Path) -> None:
    frame = FRAME.mask(DRAW.uniform(size=FRAME.shape) < 0.9)
    frame.iloc[150] = 1.0
    version = DataVersioner("model_registry").register(frame)
    registry = ModelRegistry("model_registry", model="outside")
    model = LogisticRegression().fit(FRAME, LABEL)
    assert registry.register(model, data_version=version) == "1.0.0"


@pytest.mark.parametrize("model", [RidgeClassifier(), SVC()])
def test_a_classifier_without_probabilities_is_promoted(folder: Path, model: Any) -> None:
    version = DataVersioner("model_registry").register(FRAME)
    registry = ModelRegistry("model_registry", model="outside")
    registry.register(model.fit(FRAME, LABEL), data_version=version, promote=True)
    assert registry.latest()["aliases"] == ["champion"]


def by_hour() -> Any:
    """A pipeline whose first step another process has only from the model itself."""

    def hours(X: pd.DataFrame) -> np.ndarray:
        return np.column_stack([X["when"].dt.hour, X["a"]])

    return make_pipeline(FunctionTransformer(hours), LogisticRegression(C=100))


def test_an_original_that_reads_times_is_served_them(folder: Path) -> None:
    frame = FRAME.assign(when=pd.date_range("2026-01-01", periods=len(FRAME), freq="h"))[["a", "when"]]
    label = np.where(frame["when"].dt.hour > 11, "late", "early")
    model = by_hour().fit(frame, label)
    version = DataVersioner("model_registry").register(frame)
    registry = ModelRegistry("model_registry", model="outside")
    registry.register(model, data_version=version)
    project = registry._project
    planned = planning.of_version(project, models.find(project, "outside").version)
    assert planned.form.route == "native"
    assert project.settings.original_hint.exists()  # its process is started ahead
    original = NativeModel(planned.format, planning.content(project, planned), planned.form)
    rows = [[0.1, "2026-02-01T15:00:00"], [0.1, "2026-02-01T20:00+05:00"], [0.1, "2026-02-01T03:00:00Z"]]
    try:
        said = original.scores(rows)
    finally:
        original.close()
    times = pd.to_datetime(["2026-02-01T15:00", "2026-02-01T15:00", "2026-02-01T03:00"])
    days = pd.DataFrame({"a": 0.1, "when": times})
    np.testing.assert_allclose(said, model.predict_proba(days))


@pytest.mark.parametrize("wrong", [{"version_id": "x"}, 3, FRAME])
def test_a_data_version_is_named_by_its_id(folder: Path, wrong: Any) -> None:
    told = refused(LogisticRegression().fit(FRAME, LABEL), wrong)
    assert "data_version" in told
    assert type(wrong).__name__ in told


def test_a_model_that_knows_no_names_says_so_unless_they_are_given(folder: Path) -> None:
    registry = ModelRegistry("model_registry", model="outside")
    fitted = LogisticRegression().fit(FRAME.to_numpy(), LABEL)
    with pytest.warns(
        UserWarning, match=r"outside@1\.0\.0 .* calls its fields x0, x1\. .*features=\[…\]"
    ) as told:
        registry.register(fitted)
    assert told[0].filename == __file__
    registry.register(fitted, features=["a", "b"])  # a warning would be an error
    registry.register(LogisticRegression().fit(FRAME, LABEL))
