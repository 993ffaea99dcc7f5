"""Compiled models answer as the original does, on missing, unseen and extreme values too."""

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from tests.unit.adapters.onnx.pipelines import CASES, NUMBERS, WHOLE, lgbm, shop
from xgboost import XGBClassifier

from everloop.adapters.onnx.compile import NotCompilable, compile_model
from everloop.adapters.onnx.session import Compiled

FRAME = shop()
CATEGORICAL = ("plan", "city")


def fitted(name: str) -> tuple[Any, pd.DataFrame, str]:
    make, features, target = CASES[name]
    model = make()
    X = FRAME[features]
    return model.fit(X, FRAME[target]), X, target


def compiled(model: Any, X: pd.DataFrame) -> Compiled:
    classes = [str(each) for each in getattr(model, "classes_", ())]
    task = "classification" if classes else "regression"
    return Compiled(compile_model(model, task=task, classes=classes, features=list(X), sample=X))


def asked(session: Compiled, X: pd.DataFrame) -> np.ndarray:
    columns = []
    for name in X:
        values = X[name]
        if name in CATEGORICAL:
            codes = {text: float(code) for code, text in enumerate(session.levels[name], 1)}
            values = values.fillna("(missing)").map(lambda text, codes=codes: codes.get(text, 0.0))
        columns.append(values.to_numpy(dtype=np.float64))
    return session.run_matrix(np.column_stack(columns))


def original(model: Any, X: pd.DataFrame) -> np.ndarray:
    return np.asarray(model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X), dtype=float)


def troubled(model: Any, X: pd.DataFrame) -> pd.DataFrame:
    """All rows, and some of them with each feature missing, unseen or extreme, if the original takes it."""
    parts = [X]
    for name in X:
        some = X.iloc[:100]
        if name in CATEGORICAL:
            altered = [some.assign(**{name: pd.Series(["nowhere"] * 100)})]
            altered += [some.assign(**{name: pd.Series([None] * 100, dtype=X[name].dtype)})]
        elif name == "member":
            altered = []
        else:
            low, high = float(X[name].min()), float(X[name].max())
            ends = [low, np.nextafter(low, high), low - 1, high, np.nextafter(high, low), high * 2]
            altered = [some.assign(**{name: np.resize(ends, 100)}), some.assign(**{name: np.nan})]
        for each in altered:
            try:
                original(model, each)
            except ValueError:
                continue
            parts.append(each)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_compiled_pipeline_answers_as_the_original(name: str) -> None:
    model, X, _ = fitted(name)
    rows = troubled(model, X)
    wanted, found = original(model, rows), asked(compiled(model, X), rows)
    assert len(rows) >= 2000
    assert found.shape == wanted.shape
    scale = 1.0 if hasattr(model, "classes_") else np.maximum(np.abs(wanted), np.median(np.abs(wanted)))
    assert np.max(np.abs(found - wanted) / scale) < 5e-6
    if wanted.ndim == 2:
        np.testing.assert_array_equal(found.argmax(axis=1), wanted.argmax(axis=1))


@pytest.mark.parametrize(
    "name", ["forest, four classes, scaled", "histograms, scaled", "lightgbm", "extra trees, robust"]
)
def test_splits_are_the_original_ones_at_the_very_thresholds(name: str) -> None:
    """Values at each training value and half-way to the next: where a scaler in float32 went wrong."""
    model, X, _ = fitted(name)
    column = np.unique(FRAME["seen_at"])
    near = np.concatenate([column, (column[1:] + column[:-1]) / 2, np.nextafter(column, np.inf)])
    rows = X.iloc[np.resize(np.arange(len(X)), len(near))].reset_index(drop=True).assign(seen_at=near)
    np.testing.assert_allclose(asked(compiled(model, X), rows), original(model, rows), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_splits_by_category_of_the_boosting_libraries(library: str) -> None:
    city = FRAME["city"].str[1:].astype(float)
    X = pd.DataFrame({"city": city.where(FRAME["visits"] != 3), "age": FRAME["age"]}).to_numpy()
    y = np.isin(city, [2, 3, 7, 20, 22]) ^ (FRAME["age"] > 50) ^ (FRAME["visits"] == 3)
    if library == "lightgbm":
        model = lgbm("Classifier", min_data_per_group=5).fit(X, y, categorical_feature=[0])
    else:
        model = XGBClassifier(n_estimators=15, enable_categorical=True, feature_types=["c", "q"], n_jobs=1)
        model.fit(X, y)
    given = {"task": "classification", "classes": ("no", "yes"), "features": (), "sample": None}
    rows = np.vstack([X, np.column_stack([np.full(80, np.nan), np.arange(80.0)])])
    found = Compiled(compile_model(model, **given)).run_matrix(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM misses names that it gave itself
        wanted = model.predict_proba(rows)
    assert np.ptp(wanted) > 0.5
    np.testing.assert_allclose(found, wanted, atol=5e-7)


def test_a_model_of_an_array_is_compiled_without_names() -> None:
    X = FRAME[WHOLE].to_numpy(dtype=float)
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(X, FRAME["value"])
    session = Compiled(compile_model(model, task="regression", classes=(), features=(), sample=None))
    np.testing.assert_allclose(session.run_matrix(X), model.predict(X), rtol=1e-9)
    assert session.levels == {}


def test_other_types_of_numbers_are_taken() -> None:
    X = FRAME[["visits"]]
    session = compiled(LinearRegression().fit(X, FRAME["value"]), X)
    wanted = session.run_matrix(X.to_numpy(dtype=np.float64))
    np.testing.assert_array_equal(session.run_matrix(X.to_numpy(dtype=np.int64)), wanted)
    np.testing.assert_array_equal(session.run_matrix(X.to_numpy(dtype=np.float32)), wanted)


def test_one_row_and_none_have_the_shape_of_many() -> None:
    model, X, _ = fitted("logistic, four classes")
    session = compiled(model, X)
    assert asked(session, X.iloc[:1]).shape == (1, 4)
    assert asked(session, X.iloc[:0]).shape == (0, 4)


def test_texts_come_as_codes_of_the_levels_that_the_encoders_know() -> None:
    model, X, _ = fitted("logistic, a category of missing ones")
    levels = compiled(model, X).levels
    assert levels["plan"] == ("(missing)", "basic", "family", "pro")
    assert sorted(levels) == ["city", "plan"]


class Even(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> "Even":
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Even(), "Even"),
        (make_pipeline(QuantileTransformer(n_quantiles=10), LogisticRegression()), "QuantileTransformer"),
        (make_pipeline(StandardScaler(), Even()), "Even"),
    ],
)
def test_what_cannot_be_compiled_says_why(model: Any, reason: str) -> None:
    X = FRAME[WHOLE]
    with pytest.raises(NotCompilable, match=reason):
        compiled(model.fit(X, FRAME["two"]), X)


def test_a_broken_model_is_a_reason_and_no_other_error() -> None:
    model = LogisticRegression(max_iter=500).fit(FRAME[["visits"]], FRAME["two"])
    model.coef_ = "nonsense"
    with pytest.raises(NotCompilable, match="failed"):
        compiled(model, FRAME[["visits"]])


def test_texts_that_no_encoder_turns_into_numbers_are_refused() -> None:
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(FRAME[["city"]], FRAME["two"])
    model.steps[0] = ("none", "passthrough")
    with pytest.raises(NotCompilable, match="texts"):
        compiled(model, FRAME[["city"]])


def test_running_a_model_imports_no_library_but_onnxruntime_and_numpy() -> None:
    code = (
        "import sys, everloop.adapters.onnx.session\n"
        "heavy = {'onnx', 'skl2onnx', 'sklearn', 'pandas', 'scipy', 'sqlalchemy', 'google'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_same_model_gives_the_same_bytes() -> None:
    X = FRAME[NUMBERS]
    model = make_pipeline(StandardScaler(), CASES["histograms, scaled"][0]()[-1]).fit(X, FRAME["two"])
    given = {"task": "classification", "classes": ("no", "yes"), "features": NUMBERS, "sample": X}
    assert compile_model(model, **given) == compile_model(model, **given)
