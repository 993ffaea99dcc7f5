"""One training, end to end: what it gives, what it refuses, and that it is the same every time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from tests.unit.training.frames import customers, hashes, iris, table

from everloop.core.errors import (
    AllMissing,
    ConstantTarget,
    DuplicateColumns,
    EmptyTable,
    ExperimentError,
    InvalidSettings,
    TooFewRows,
    UnknownColumn,
    WrongType,
)
from everloop.core.runs import Business, Recipe, Split
from everloop.training.fitting import Fitted, baseline, fit, predict
from everloop.training.metrics import classification_metrics

CHURN = Recipe("churn")
SMALL: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {"max_iter": 20},
    **{
        name: {"n_estimators": 20}
        for name in ("random_forest", "extra_trees", "gradient_boosting", "xgboost")
    },
}


def trained(frame: pd.DataFrame, recipe: Recipe, **more: Any) -> Fitted:
    return fit(table(frame), recipe, hashes(frame), **more)


def test_iris_is_told_apart() -> None:
    found = trained(iris(), Recipe("species", estimator="random_forest"))
    assert found.metrics["accuracy"] >= 0.96
    assert found.classes == ("setosa", "versicolor", "virginica")
    assert found.positive is None
    assert found.predictions.shape == (len(found.test_index), 3)


@pytest.mark.parametrize(
    "name",
    [
        "logistic", "decision_tree", "random_forest", "gradient_boosting", "hist_gradient_boosting",
        "extra_trees", "xgboost", "lightgbm", "sklearn.svm.LinearSVC", "sklearn.naive_bayes.GaussianNB",
    ],
)  # fmt: skip
def test_every_classifier_learns_and_predicts_the_same_again(name: str) -> None:
    found = trained(customers(), replace(CHURN, estimator=name, params=SMALL.get(name, {})))
    assert found.task == "classification"
    assert found.positive == "yes"
    assert found.metrics["roc_auc"] > (0.6 if name == "decision_tree" else 0.7)
    again = predict(found.pipeline, table(customers()), found.features, found.task)
    assert np.array_equal(again[found.test_index], found.predictions)
    assert again.sum(axis=1) == pytest.approx(1)
    assert found.notes == ()


@pytest.mark.parametrize(
    "name", ["linear", "ridge", "random_forest", "hist_gradient_boosting", "xgboost", "lightgbm"]
)
def test_every_regressor_learns(name: str) -> None:
    frame = customers()
    noise = np.random.default_rng(1).normal(0, 5, len(frame))
    frame["spend"] = 10 * frame["visits"] + 5 * (frame["plan"] == "pro") + noise
    found = trained(frame, Recipe("spend", estimator=name, params=SMALL.get(name, {}), exclude=("churn",)))
    assert found.task == "regression"
    assert found.classes == ()
    assert found.metrics["r2"] > 0.7
    assert found.predictions.shape == found.test_target.shape


def test_the_same_data_and_recipe_give_the_same_model() -> None:
    asked = replace(CHURN, estimator="random_forest", params={"n_estimators": 10})
    first, second = trained(customers(), asked), trained(customers(), asked)
    assert np.array_equal(first.predictions, second.predictions)
    assert first.metrics == second.metrics
    assert not np.array_equal(first.predictions, trained(customers(), replace(asked, seed=1)).predictions)


def test_nothing_of_the_test_rows_reaches_the_model() -> None:
    frame = customers()
    found = trained(frame, CHURN)
    spoiled = frame.copy()
    spoiled.loc[found.test_index, "age"] = 1e6
    spoiled.loc[found.test_index, "plan"] = "only here"
    again = fit(table(spoiled), CHURN, hashes(frame))
    assert np.array_equal(again.pipeline["model"].coef_, found.pipeline["model"].coef_)


def test_rows_without_target_are_dropped_and_positions_are_the_tables() -> None:
    frame = customers()
    frame.loc[::7, "churn"] = None
    found = trained(frame, CHURN)
    assert found.dropped_rows == frame["churn"].isna().sum()
    both = np.concatenate([found.train_index, found.test_index])
    assert sorted(both) == list(np.flatnonzero(frame["churn"].notna()))
    assert (found.test_target == frame["churn"].to_numpy()[found.test_index]).all()
    assert (found.train_target == frame["churn"].to_numpy()[found.train_index]).all()


def test_folds_give_a_series_per_metric_from_training_rows_only() -> None:
    told: list[tuple[str, float]] = []
    found = trained(
        customers(), replace(CHURN, folds=4), progress=lambda step, share: told.append((step, share))
    )
    assert len(found.series["cv_accuracy"]) == 4
    assert np.mean(found.series["cv_roc_auc"]) == pytest.approx(found.metrics["roc_auc"], abs=0.1)
    assert told[0] == ("preparing", 0.0)
    assert told[-1] == ("fold 4 of 4", 1.0)
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert trained(customers(), CHURN).series == {}


def test_folds_fit_on_training_rows_and_judge_the_training_rows_they_left_out() -> None:
    fitted_on: list[set[float]] = []
    judged: list[set[float]] = []

    class Watched(DecisionTreeClassifier):
        def fit(self, X: Any, y: Any) -> Any:
            fitted_on.append(set(X[:, 0]))
            return super().fit(X, y)

        def predict_proba(self, X: Any) -> Any:
            judged.append(set(X[:, 0]))
            return super().predict_proba(X)

    Watched.__module__ = DecisionTreeClassifier.__module__  # so that numbers come to it as they are
    frame = customers().assign(row=np.arange(600.0))
    recipe = replace(CHURN, features=("row",), estimator="mine.py:make", folds=4)
    found = fit(table(frame), recipe, hashes(frame), factory=Watched)
    train, test = set(found.train_index), set(found.test_index)
    assert (fitted_on[0], judged[0]) == (train, test)
    for seen, left_out in zip(fitted_on[1:], judged[1:], strict=True):
        assert seen | left_out == train
        assert not seen & left_out
        assert len(left_out) == pytest.approx(len(train) / 4, abs=3)
    assert len(fitted_on) == 5


def test_cross_validation_agrees_with_the_truth_in_simulation() -> None:
    """Labels are noise: no fold may look better than chance by more than luck."""
    frame = customers(2_000)
    frame["churn"] = np.random.default_rng(3).choice(["yes", "no"], len(frame))
    found = trained(frame, replace(CHURN, estimator="decision_tree", folds=5))
    assert abs(np.mean(found.series["cv_roc_auc"]) - 0.5) < 4 * 0.5 / np.sqrt(1_600)


@pytest.mark.parametrize("kind", ["random", "stratified", "time", "group"])
def test_every_split_trains_and_leaves_its_column_out(kind: Any) -> None:
    frame = customers(900).assign(shop=np.arange(900) % 60)
    column = {"time": "since", "group": "shop"}.get(kind)
    found = trained(frame, replace(CHURN, split=Split(kind, 0.25, column), folds=3))
    assert column not in found.features
    assert 0.15 < len(found.test_index) / 900 < 0.35
    chosen = replace(CHURN, split=Split(kind, 0.25, column), features=("since", "visits"))
    assert trained(frame, chosen).features == ("since", "visits")


def test_features_default_to_all_but_target_and_excluded_columns() -> None:
    assert trained(customers(), replace(CHURN, exclude=("plan",))).features == (
        "age",
        "visits",
        "active",
        "since",
    )


def test_business_amounts_become_metrics_and_set_the_positive_class() -> None:
    money = Business(true_positive=100, false_positive=-20)
    found = trained(customers(), replace(CHURN, business=money, positive="NO"))
    assert found.positive == "no"
    assert found.metrics["best_net_value"] >= found.metrics["net_value"] > 0
    assert "cv_net_value" in trained(customers(), replace(CHURN, business=money, folds=2)).series


def test_booleans_and_integers_are_labels() -> None:
    frame = customers()
    for values, positive in ((frame["churn"] == "yes", "true"), ((frame["churn"] == "yes").astype(int), "1")):
        found = trained(frame.assign(churn=values), CHURN)
        assert found.positive == positive
        assert set(found.test_target) == set(found.classes)


def test_a_later_table_may_bring_its_columns_in_other_types() -> None:
    found = trained(customers(), CHURN)
    later = customers(50, seed=9)
    expected = predict(found.pipeline, table(later), found.features, found.task)
    other = later.assign(
        visits=later["visits"].astype(float),
        plan=later["plan"].astype("category"),
        since=later["since"].dt.tz_convert("Asia/Tokyo"),
        more="a column that was not there",
    )
    other = other[other.columns[::-1]]
    assert np.array_equal(predict(found.pipeline, table(other), found.features, found.task), expected)


def test_a_batch_may_hold_nulls_only_or_categories_never_seen() -> None:
    found = trained(customers(), CHURN)
    empty = pa.table({name: pa.nulls(3) for name in found.features})
    shares = predict(found.pipeline, empty, found.features, found.task)
    assert shares.shape == (3, 2)
    assert np.isfinite(shares).all()
    new = table(customers(5).assign(plan="never seen"))
    assert np.isfinite(predict(found.pipeline, new, found.features, found.task)).all()
    assert predict(found.pipeline, new.slice(0, 0), found.features, found.task).shape == (0, 2)


def test_a_batch_without_a_feature_or_with_one_of_another_kind_is_refused() -> None:
    found = trained(customers(), CHURN)
    with pytest.raises(UnknownColumn, match="Feature 'plan' does not exist"):
        predict(found.pipeline, table(customers(5)).drop_columns("plan"), found.features, found.task)
    with pytest.raises(WrongType, match="'age' was a number"):
        predict(found.pipeline, table(customers(5).assign(age="old")), found.features, found.task)


def test_the_constant_predictor_predicts_shares_or_the_mean() -> None:
    shares = baseline(np.array(["a", "b", "b", "b"]), np.array(["a", "b"]), "classification", ("a", "b"))
    assert shares.tolist() == [[0.25, 0.75]] * 2
    assert baseline(np.array([1.0, 3.0]), np.zeros(3), "regression", ()).tolist() == [2, 2, 2]
    found = trained(customers(), CHURN)
    constant = baseline(found.train_target, found.test_target, found.task, found.classes)
    of_constant = classification_metrics(found.test_target, constant, found.classes, found.positive)
    assert of_constant["roc_auc"] == 0.5
    assert of_constant["log_loss"] > found.metrics["log_loss"]


FRAME = customers(200)
RARE = FRAME.assign(churn=["once"] + ["no", "yes"] * 99 + ["no"])
ONE = replace(CHURN, features=("visits",), split=Split("random"))
REFUSED = [
    (FRAME, Recipe("chrun"), UnknownColumn, "Target 'chrun'.*Did you mean 'churn'"),
    (FRAME, replace(CHURN, features=("agee",)), UnknownColumn, "Feature 'agee'.*'age'"),
    (FRAME, replace(CHURN, exclude=("plans",)), UnknownColumn, "Excluded column 'plans'.*'plan'"),
    (FRAME, replace(CHURN, features=("churn", "age")), InvalidSettings, "is among the features"),
    (FRAME, replace(CHURN, exclude=tuple(FRAME.columns[:-1])), InvalidSettings, "No column is left"),
    (FRAME, replace(CHURN, split=Split("time", 0.2, "sinc")), UnknownColumn, "Split column 'sinc'.*'since'"),
    (FRAME, replace(CHURN, positive="maybe"), InvalidSettings, "'maybe' does not occur"),
    (FRAME, replace(CHURN, folds=1), InvalidSettings, "folds is 1"),
    (FRAME, replace(CHURN, task="regression", estimator="linear"), WrongType, "cannot be used"),
    (FRAME, replace(CHURN, estimator="linear"), InvalidSettings, "'linear' is not for classification"),
    (FRAME, Recipe("age"), InvalidSettings, "'logistic' is not for regression"),
    (FRAME.assign(churn=None), CHURN, AllMissing, "Target 'churn' has no values"),
    (FRAME.assign(churn="no"), CHURN, ConstantTarget, "one value only: 'no'"),
    (FRAME.assign(age=np.nan), CHURN, AllMissing, "Feature 'age' has no values"),
    (FRAME.assign(age=[[1]] * 200), CHURN, WrongType, "'age'"),
    (FRAME.iloc[:0], CHURN, EmptyTable, "no rows"),
    (FRAME.iloc[:2].assign(churn=["no", "yes"]), ONE, TooFewRows, "1 training row.*too few: 2 are needed"),
    (FRAME.iloc[:12], replace(CHURN, folds=10), TooFewRows, "folds"),
    (RARE, CHURN, TooFewRows, "Class 'once'.*has no row on the test side"),
    (iris(), Recipe("species", business=Business(1)), InvalidSettings, "need two classes; 'species' has 3"),
    (iris(), Recipe("species", positive="setosa"), InvalidSettings, "need two classes"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "recipe", "error", "match"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_said_before_any_fitting(
    frame: pd.DataFrame, recipe: Recipe, error: type[Exception], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.training.learning.clone", lambda pipeline: pytest.fail("fitting has begun"))
    with pytest.raises(error, match=match) as caught:
        fit(table(frame), recipe, np.arange(len(frame), dtype=np.uint64))
    assert caught.value.remedy


def test_two_columns_of_one_name_are_refused() -> None:
    twice = pa.table([pa.array([1, 2]), pa.array([1, 2]), pa.array(["a", "b"])], names=["x", "x", "y"])
    with pytest.raises(DuplicateColumns, match="'x'"):
        fit(twice, Recipe("y"), np.arange(2, dtype=np.uint64))


def test_a_wrong_parameter_value_is_a_matter_of_settings() -> None:
    with pytest.raises(InvalidSettings, match="'max_depth' parameter of DecisionTreeClassifier"):
        trained(customers(), replace(CHURN, estimator="decision_tree", params={"max_depth": -3}))


def test_an_estimator_that_fails_is_named() -> None:
    class Broken(RandomForestClassifier):
        def fit(self, X: Any, y: Any) -> Any:
            raise KeyError("lost")

    with pytest.raises(ExperimentError, match=r"Broken failed while fitting: .*lost"):
        trained(customers(), replace(CHURN, estimator="mine.py:make"), factory=Broken)


def test_warnings_of_libraries_become_notes() -> None:
    found = trained(customers(), replace(CHURN, params={"max_iter": 1}))
    assert any("converge" in note for note in found.notes)
