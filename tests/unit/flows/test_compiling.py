"""A version is served compiled only where that answers as the original does; else by the original."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from tests.unit.training.frames import customers, hashes, iris, table

from everloop.adapters.onnx.compile import compile_model
from everloop.adapters.onnx.session import Compiled
from everloop.core.runs import Preparation, Recipe
from everloop.flows import compiling
from everloop.flows.compiling import compile_version
from everloop.training.estimators import CHOICES
from everloop.training.fitting import Fitted, fit, predict

FRAME = customers(2000).assign(spent=lambda frame: frame["visits"] ** 2 + frame["age"].fillna(90))
SMALL: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {"max_iter": 10},
    "random_forest": {"n_estimators": 10},
    "extra_trees": {"n_estimators": 10},
    "gradient_boosting": {"n_estimators": 10},
    "xgboost": {"n_estimators": 10},
    "lightgbm": {"n_estimators": 10},
}
TASKS = [
    (name, target)
    for name, choice in CHOICES.items()
    for target, known in (
        ("churn", choice.classifier),
        ("plan", choice.classifier),
        ("spent", choice.regressor),
    )
    if known
]


@dataclass
class Kept:
    """A project that compiles, and keeps what is stored in memory."""

    compiler: Any = compile_model
    tenant: str = "here"
    stored: dict[str, bytes] = field(default_factory=dict)

    @property
    def settings(self) -> Any:
        return SimpleNamespace(original_hint=SimpleNamespace(touch=lambda: None))

    @property
    def artifacts(self) -> Any:
        return SimpleNamespace(put=self.stored.__setitem__)

    def open_compiler(self) -> Any:
        return self.compiler, Compiled


def form_of(model: Any, run: Any, rows: pa.Table | None, project: Kept | None = None) -> Any:
    return compile_version(project or Kept(), model, run, rows)


def trained(
    target: str, estimator: str, frame: pd.DataFrame = FRAME, **recipe: Any
) -> tuple[Fitted, pa.Table]:
    others = {"churn", "spent", "plan"} - {target}
    frame = frame.drop(columns=[each for each in others if each in frame and each != "plan"])
    if target == "plan":
        frame = frame[frame["plan"].notna()]
    rows = table(frame.reset_index(drop=True))
    made = Recipe(target, estimator=estimator, **recipe)
    return fit(rows, made, hashes(frame)), rows


def outside(model: Any, frame: pd.DataFrame, features: list[str]) -> tuple[Any, pa.Table]:
    classes = tuple(str(each) for each in getattr(model, "classes_", ()))
    task = "classification" if classes else "regression"
    return SimpleNamespace(task=task, classes=classes, features=tuple(features)), table(frame)


@pytest.mark.parametrize(("name", "target"), TASKS)
def test_every_estimator_of_ours_is_served_compiled(name: str, target: str) -> None:
    params = SMALL.get(name, {})
    fitted, rows = trained(target, name, params=params)
    project = Kept()
    form = form_of(fitted.pipeline, fitted, rows, project)
    assert (form.route, form.layout, form.classes) == ("onnx", "matrix", fitted.classes), form.reason
    assert list(project.stored) == [form.artifact]
    assert form.artifact.endswith(".onnx")
    agreement = form.agreement
    assert agreement.rows > rows.num_rows
    assert (agreement.labels, agreement.tolerance) == (0, 1e-5)
    assert agreement.largest < (2e-6 if name == "xgboost" else 1e-12)  # XGBoost itself adds in float32
    compiled = Compiled(project.stored[form.artifact])
    matrix = fitted.pipeline[0]["types"].transform(FRAME).to_numpy(dtype=np.float64)
    assert len(compiled.run_matrix(matrix)) == len(FRAME)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("sklearn.svm.LinearSVC", {}),
        ("sklearn.naive_bayes.GaussianNB", {}),
        ("random_forest", {"preparation": Preparation(scale=False)}),
        ("hist_gradient_boosting", {"preparation": Preparation(numeric_missing="median")}),
        ("hist_gradient_boosting", {"params": {"max_iter": 10, "categorical_features": [6, 7]}}),
    ],
)
def test_other_estimators_and_preparations_are_served_compiled(name: str, recipe: dict[str, Any]) -> None:
    fitted, rows = trained("churn", name, **recipe)
    form = form_of(fitted.pipeline, fitted, rows)
    assert form.route == "onnx", form.reason


def test_neighbours_are_served_by_the_original() -> None:
    fitted, rows = trained("churn", "sklearn.neighbors.KNeighborsClassifier")
    form = form_of(fitted.pipeline, fitted, rows)
    assert form.route == "native"
    assert "distances would be rounded" in form.reason


def test_fields_are_those_that_the_matrix_is_made_of() -> None:
    fitted, rows = trained("churn", "logistic")
    form = form_of(fitted.pipeline, fitted, rows)
    assert [(each.name, each.kind) for each in form.fields] == [
        ("age", "number"),
        ("visits", "number"),
        ("plan", "category"),
        ("active", "boolean"),
        ("since", "time[UTC]"),
    ]
    assert form.fields[2].levels == ("(missing)", "basic", "family", "pro")
    assert [each.rule for each in form.fields] == [None] * 5


def test_the_reason_tells_the_figures() -> None:
    fitted, rows = trained("species", "logistic", iris())
    form = form_of(fitted.pipeline, fitted, rows)
    assert form.reason.startswith(f"Compiled: equal to the original on {form.agreement.rows} rows")


class Even(ClassifierMixin, BaseEstimator):
    """A user's own class."""

    def fit(self, X: Any, y: Any) -> "Even":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.full((len(X), 2), 0.5)

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), self.classes_[0])


def test_an_estimator_of_ones_own_is_served_by_the_original() -> None:
    rows = table(FRAME.drop(columns="spent"))
    made = Recipe("churn", estimator="mine.py:make")
    fitted = fit(rows, made, hashes(FRAME), factory=Even)
    project = Kept()
    form = form_of(fitted.pipeline, fitted, rows, project)
    assert (form.route, form.artifact, project.stored) == ("native", "", {})
    assert "Even" in form.reason
    assert len(form.fields) == 5


def wrong(change: Any) -> Any:
    """A compiler that compiles another model than it was given."""

    def compiler(pipeline: Any, **given: Any) -> bytes:
        return compile_model(change(pipeline), **given)

    return compiler


@pytest.mark.parametrize(("target", "name"), [("churn", "logistic"), ("spent", "linear")])
def test_a_compiled_model_that_answers_otherwise_is_refused(target: str, name: str) -> None:
    fitted, rows = trained(target, name)
    other = fit(rows.slice(0, 400), Recipe(target, estimator=name), np.arange(400, dtype=np.uint64)).pipeline
    project = Kept(wrong(lambda pipeline: other))
    form = form_of(fitted.pipeline, fitted, rows, project)
    assert (form.route, form.artifact, project.stored) == ("native", "", {})
    assert form.agreement.largest > 1e-5
    assert "differ" in form.reason
    assert (form.agreement.labels > 0) == (name == "logistic")


def test_one_label_that_differs_is_enough() -> None:
    """Probabilities within the tolerance, but on the other side of one half."""
    frame = pd.DataFrame({"x": np.linspace(-1, 1, 2001)})
    model = LogisticRegression().fit(frame, np.where(frame["x"] > 0, "yes", "no"))
    model.coef_[:], model.intercept_[:] = 1e-3, 0.0

    def shifted(pipeline: Any) -> Any:
        other = LogisticRegression().fit(frame, np.where(frame["x"] > 0, "yes", "no"))
        other.coef_[:], other.intercept_[:] = 1e-3, 2e-6
        return other

    run, rows = outside(model, frame, ["x"])
    form = form_of(model, run, rows, Kept(wrong(shifted)))
    assert form.agreement.largest < form.agreement.tolerance
    assert (form.route, form.agreement.labels > 0) == ("native", True)


def test_a_difference_for_missing_values_only_is_found() -> None:
    """No row of the data misses the age: the rows that the check makes do."""
    frame = FRAME.assign(age=FRAME["age"].fillna(40.0))
    fitted, rows = trained("churn", "hist_gradient_boosting", frame, params={"max_iter": 10})

    def turned(pipeline: Any, **given: Any) -> bytes:
        nodes = [each.nodes for stage in pipeline[-1]._predictors for each in stage]
        for each in nodes:
            each["missing_go_to_left"] ^= 1
        data = compile_model(pipeline, **given)
        for each in nodes:
            each["missing_go_to_left"] ^= 1
        return data

    form = form_of(fitted.pipeline, fitted, rows, Kept(turned))
    assert (form.route, form.agreement.largest > 1e-5) == ("native", True)


@pytest.mark.parametrize(
    "rows", [None, pa.table({"other": [1.0]}), pa.table({"x": pa.array([], pa.float64())})]
)
def test_without_rows_nothing_is_believed(rows: pa.Table | None) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    model = LinearRegression().fit(frame, [1.0, 2.0, 3.0])
    run, _ = outside(model, frame, ["x"])
    form = form_of(model, run, rows)
    assert (form.route, form.agreement) == ("native", None)
    assert "no rows to check" in form.reason


def test_whatever_the_compiler_fails_with_becomes_the_reason() -> None:
    def broken(pipeline: Any, **given: Any) -> bytes:
        raise MemoryError("of no use")

    fitted, rows = trained("species", "logistic", iris())
    assert "of no use" in form_of(fitted.pipeline, fitted, rows, Kept(broken)).reason
    nonsense = form_of(fitted.pipeline, fitted, rows, Kept(lambda pipeline, **given: b"no model"))
    assert (nonsense.route, "compiling failed" in nonsense.reason) == ("native", True)


def test_a_pipeline_from_outside_takes_codes_of_its_texts_and_tells_what_it_refuses() -> None:
    frame = FRAME.dropna(subset=["plan", "age"]).reset_index(drop=True)
    parts = make_column_transformer((OneHotEncoder(), ["plan"]), (StandardScaler(), ["age", "visits"]))
    features = ["plan", "age", "visits"]
    model = make_pipeline(parts, LogisticRegression()).fit(frame[features], frame["churn"])
    run, rows = outside(model, frame, features)
    project = Kept()
    form = form_of(model, run, rows, project)
    assert (form.route, form.layout) == ("onnx", "matrix"), form.reason
    known = ("(missing)", "basic", "family", "pro")
    assert [(each.kind, each.levels) for each in form.fields] == [
        ("category", known),
        *[("number", None)] * 2,
    ]
    plan, age, _ = form.fields
    assert plan.rule.allowed == ("basic", "family", "pro")
    assert age.rule.max_missing == 0.0
    given = [[known.index(plan) + 1, age, visits] for plan, age, visits in frame[features].to_numpy()]
    answers = Compiled(project.stored[form.artifact]).run_matrix(np.array(given, dtype=np.float64))
    np.testing.assert_allclose(answers, model.predict_proba(frame[features]), atol=1e-12)


def test_texts_that_go_to_the_original_stay_texts() -> None:
    frame = FRAME.dropna(subset=["plan"])
    coded = make_column_transformer((OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["plan"]))
    model = make_pipeline(coded, Even()).fit(frame[["plan"]], frame["churn"])
    run, rows = outside(model, frame, ["plan"])
    form = form_of(model, run, rows)
    assert (form.route, form.layout, form.fields[0].levels) == ("native", "columns", None)


def test_a_model_of_an_array_is_given_one() -> None:
    frame = iris().rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    features = [each for each in frame if each != "species"]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(frame[features].to_numpy(), frame["species"])
    run, rows = outside(model, frame, features)
    form = form_of(model, run, rows)
    assert (form.route, form.layout, len(form.fields)) == ("onnx", "matrix", 4), form.reason


@pytest.mark.parametrize(
    ("model", "target", "route"),
    [
        (RidgeClassifier(), "churn", "onnx"),
        (RidgeClassifier(), "plan", "onnx"),
        (make_pipeline(StandardScaler(), LinearSVC()), "churn", "onnx"),
        (make_pipeline(StandardScaler(), SGDClassifier(random_state=0)), "plan", "onnx"),
        (make_pipeline(StandardScaler(), SVC()), "churn", "native"),
    ],
)
def test_what_gives_no_probabilities_gives_one_to_the_class_that_it_says(
    model: Any, target: str, route: str
) -> None:
    frame = FRAME.dropna(subset=["plan", "age"]).reset_index(drop=True)
    features = ["age", "visits"]
    model.fit(frame[features], frame[target])
    run, rows = outside(model, frame, features)
    project = Kept()
    form = form_of(model, run, rows, project)
    assert form.route == route, form.reason
    said = model.predict(frame[features])
    expected = (np.array(run.classes) == said.astype(str)[:, None]).astype(float)
    if route == "onnx":
        X = frame[features].to_numpy(dtype=np.float64)
        answers = Compiled(project.stored[form.artifact]).run_matrix(X)
        np.testing.assert_array_equal(answers, expected)
    np.testing.assert_array_equal(predict(model, rows, features, "classification"), expected)


def test_many_features_are_checked_in_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one they would cost the square of their number."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(400, 120))).add_prefix("f")
    frame["g"] = np.where(frame["f1"] > 0, "yes", "no")
    numbers = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list(frame.columns[:119])),
        ("passthrough", ["f119"]),
        (OneHotEncoder(handle_unknown="ignore"), ["g"]),
    )
    model = make_pipeline(numbers, LogisticRegression()).fit(frame, draw.integers(0, 2, 400))
    run, rows = outside(model, frame, list(frame.columns))
    asked = []
    answers = compiling.learning.answers
    monkeypatch.setattr(
        compiling.learning, "answers", lambda *given: asked.append(len(given[1])) or answers(*given)
    )
    form = form_of(model, run, rows)
    assert form.route == "onnx", form.reason
    assert [each.name for each in form.fields if each.rule is not None] == ["f119"]
    assert form.agreement.rows > 400 + 120 * 150
    assert len(asked) < 60
