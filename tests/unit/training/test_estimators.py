"""Estimators by name, and the errors that help with a wrong one."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from everloop.core.errors import ExperimentError, InvalidSettings, MissingExtra
from everloop.core.runs import Recipe
from everloop.training import estimators
from everloop.training.estimators import CHOICES, LabelledClassifier, build


def made(name: str, task: Any = "classification", factory: Any = None, **params: Any) -> Any:
    return build(Recipe("y", estimator=name, params=params), task, factory)


@pytest.mark.parametrize("name", CHOICES)
def test_every_short_name_builds_what_its_task_needs(name: str) -> None:
    if CHOICES[name].classifier:
        assert is_classifier(made(name))
        assert hasattr(made(name), "predict_proba")
    if CHOICES[name].regressor:
        assert is_regressor(made(name, "regression"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("RandomForest", "RandomForestClassifier"),
        ("RandomForestClassifier", "RandomForestClassifier"),
        ("random forest", "RandomForestClassifier"),
        ("LogisticRegression", "LogisticRegression"),
        ("logistic_regression", "LogisticRegression"),
        ("HistGradientBoosting", "HistGradientBoostingClassifier"),
        ("LGBMClassifier", "LGBMClassifier"),
        ("sklearn.neighbors.KNeighborsClassifier", "KNeighborsClassifier"),
    ],
)
def test_other_ways_to_write_a_name(name: str, kind: str) -> None:
    assert type(made(name)).__name__ == kind


def test_the_seed_and_one_job_are_the_defaults_and_can_be_set() -> None:
    assert made("random_forest").random_state == 42
    assert made("random_forest").n_jobs is None
    assert made("lightgbm").n_jobs == 1
    assert made("xgboost").estimator.n_jobs == 1
    assert made("xgboost").estimator.random_state == 42
    given = made("random_forest", random_state=7, n_jobs=2)
    assert (given.random_state, given.n_jobs) == (7, 2)


def test_a_classifier_without_probabilities_is_calibrated() -> None:
    calibrated = made("sklearn.svm.LinearSVC", C=0.5)
    assert isinstance(calibrated, CalibratedClassifierCV)
    assert calibrated.estimator.C == 0.5
    assert calibrated.estimator.random_state == 42


class Silent(BaseEstimator):
    _estimator_type = "classifier"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        return tags

    def fit(self, X: Any, y: Any) -> Any:
        return self


@pytest.mark.parametrize(
    ("name", "task", "params", "match"),
    [
        ("linear", "classification", {}, "'linear' is not for classification.*'logistic'"),
        ("logistic", "regression", {}, "'logistic' is not for regression.*'linear'"),
        ("RandomForestRegressor", "classification", {}, "not for classification"),
        ("sklearn.svm.SVR", "classification", {}, "not for classification"),
        ("randm_forest", "classification", {}, "not known.*Did you mean 'random_forest'"),
        ("logistic", "classification", {"max_itr": 5}, "no parameter 'max_itr'.*Did you mean 'max_iter'"),
        ("random_forest", "regression", {"n_estimator": 5}, "Did you mean 'n_estimators'"),
        ("xgboost", "classification", {"lerning_rate": 1}, "Did you mean 'learning_rate'"),
        ("lightgbm", "classification", {"num_leafs": 5}, "Did you mean 'num_leaves'"),
        ("sklearn.svm.SVCC", "classification", {}, "does not exist"),
        ("sklearn.nothing.SVC", "classification", {}, "does not exist"),
        ("sklearn.metrics.accuracy_score", "classification", {}, "not an estimator class"),
        ("os.system", "classification", {}, "not a scikit-learn class"),
        ("sklearn.ensemble.VotingClassifier", "classification", {}, "cannot be built.*estimators"),
        ("mine.py:model", "classification", {}, "was not loaded"),
    ],
)
def test_wrong_names_and_parameters_are_told_with_the_nearest(
    name: str, task: Any, params: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidSettings, match=match):
        made(name, task, **params)


def test_lightgbm_takes_its_own_parameter_names_too() -> None:
    assert made("lightgbm", feature_fraction=0.5).get_params()["feature_fraction"] == 0.5


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(estimators, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"'xgboost'.*everloop\[boosting\]"):
        made("xgboost")


def test_a_users_function_is_called_with_the_parameters_and_seeded() -> None:
    def pipeline(C: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=C, solver="saga"))

    built = made("mine.py:pipeline", factory=pipeline, C=3)
    assert built[-1].C == 3
    assert built[-1].random_state == 42
    assert isinstance(made("mine.py:svc", factory=SVC), CalibratedClassifierCV)
    assert made("mine.py:ridge", "regression", factory=Ridge).random_state == 42


def test_a_users_function_that_is_wrong_is_told_so() -> None:
    with pytest.raises(ExperimentError, match=r"failed with ZeroDivisionError: division by zero"):
        made("mine.py:f", factory=lambda: 1 / 0)
    with pytest.raises(ExperimentError, match="unexpected keyword argument 'C'"):
        made("mine.py:f", factory=lambda: LogisticRegression(), C=1)
    with pytest.raises(InvalidSettings, match="returned int"):
        made("mine.py:f", factory=lambda: 3)
    with pytest.raises(InvalidSettings, match="not for regression"):
        made("mine.py:f", "regression", factory=LogisticRegression)
    with pytest.raises(InvalidSettings, match="neither probabilities nor a decision function"):
        made("mine.py:f", factory=Silent)


def test_labels_go_around_an_estimator_of_numbers() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] > 0, "zebra", "ant")
    fitted = LabelledClassifier(LogisticRegression()).fit(X, y)
    assert list(fitted.classes_) == ["ant", "zebra"]
    assert np.mean(fitted.predict(X) == y) > 0.95
    assert fitted.predict_proba(X).shape == (200, 2)
    assert set(fitted.estimator.classes_) == {0, 1}
