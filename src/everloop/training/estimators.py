"""Estimators by name: short names, class names, dotted scikit-learn classes, or a user's function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV

from everloop.core.errors import ExperimentError, InvalidSettings, MissingExtra, nearest
from everloop.core.runs import Recipe, Task

Factory = Callable[..., Any] | None
"""A user's function that builds the estimator, where the recipe names one."""

_TREE_MODULES = ("sklearn.tree.", "sklearn.ensemble._forest", "sklearn.ensemble._gb", "xgboost.", "lightgbm.")
_NATIVE_MODULES = ("sklearn.ensemble._hist_gradient_boosting", "xgboost.", "lightgbm.")
_LIGHTGBM_NAMES = (  # LightGBM's own names that its scikit-learn class takes beside the ones it lists
    "bagging_fraction", "bagging_freq", "cat_smooth", "deterministic", "feature_fraction", "force_col_wise",
    "force_row_wise", "lambda_l1", "lambda_l2", "max_bin", "min_data_in_leaf", "path_smooth",
    "scale_pos_weight", "verbosity",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """The classes behind one short name, and defaults that differ from the library's."""

    classifier: str | None
    regressor: str | None
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _ensemble(name: str) -> Choice:
    return Choice(f"sklearn.ensemble.{name}Classifier", f"sklearn.ensemble.{name}Regressor")


CHOICES: dict[str, Choice] = {
    "logistic": Choice("sklearn.linear_model.LogisticRegression", None, {"max_iter": 1000}),
    "linear": Choice(None, "sklearn.linear_model.LinearRegression"),
    "ridge": Choice(None, "sklearn.linear_model.Ridge"),
    "decision_tree": Choice("sklearn.tree.DecisionTreeClassifier", "sklearn.tree.DecisionTreeRegressor"),
    "random_forest": _ensemble("RandomForest"),
    "extra_trees": _ensemble("ExtraTrees"),
    "gradient_boosting": _ensemble("GradientBoosting"),
    "hist_gradient_boosting": _ensemble("HistGradientBoosting"),
    "xgboost": Choice("xgboost.XGBClassifier", "xgboost.XGBRegressor", {"n_jobs": 1}),
    "lightgbm": Choice("lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor", {"n_jobs": 1, "verbosity": -1}),
    "dummy": Choice("sklearn.dummy.DummyClassifier", "sklearn.dummy.DummyRegressor"),
}
_ALIASES = {
    "logisticregression": "logistic", "linearregression": "linear", "xgb": "xgboost", "lgbm": "lightgbm",
    "histgradientboosting": "hist_gradient_boosting",
}  # fmt: skip


def build(recipe: Recipe, task: Task, factory: Factory = None) -> Any:
    """The unfitted estimator of a recipe, seeded, with ``predict_proba`` for classification.

    A classifier that has none is calibrated (Platt scaling, 3 folds). ``factory`` is the user's function for
    ``file.py:function`` estimators; it is called with the recipe's parameters. Raises InvalidSettings for
    unknown names and parameters, with the nearest known one, and for an estimator of the other task.
    """
    estimator = _made_by(factory, recipe) if factory is not None else _named(recipe, task)
    fits = is_classifier(estimator) if task == "classification" else is_regressor(estimator)
    if not fits:
        raise InvalidSettings(
            f"Estimator '{recipe.estimator}' is not for {task}.",
            remedy=f"Choose one for {task}, such as '{_example(task)}', or set 'task'.",
        )
    _seed(estimator, recipe.seed)
    if task == "regression":
        return estimator
    if type(estimator).__module__.startswith("xgboost."):
        estimator = LabelledClassifier(estimator)
    return _with_probabilities(estimator, recipe.estimator)


def short_name(name: str) -> str | None:
    """The short name that a recipe's estimator goes by; None for dotted classes and users' functions."""
    return None if "." in name else _short(name)


def is_tree(estimator: Any) -> bool:
    """Splits on one feature at a time, so that scaling and one-hot coding gain nothing."""
    return _module(estimator).startswith((*_TREE_MODULES, *_NATIVE_MODULES))


def takes_missing(estimator: Any) -> bool:
    """Has its own way to treat missing numbers."""
    return _module(estimator).startswith(_NATIVE_MODULES)


def is_linear(estimator: Any) -> bool:
    return _module(estimator).startswith("sklearn.linear_model.")


class LabelledClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of labels around one that only takes the numbers 0 to k-1 (XGBoost)."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **more: Any) -> LabelledClassifier:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator.fit(X, codes, sample_weight=sample_weight, **more)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.asarray(self.estimator.predict_proba(X), dtype=np.float64)

    def predict(self, X: Any) -> np.ndarray:
        return np.asarray(self.classes_[np.argmax(self.predict_proba(X), axis=1)])

    @property
    def feature_importances_(self) -> np.ndarray:
        return np.asarray(self.estimator.feature_importances_)


def _module(estimator: Any) -> str:
    inner = estimator
    while isinstance(inner, (LabelledClassifier, CalibratedClassifierCV)):
        inner = inner.estimator
    return f"{type(inner).__module__}."


def _example(task: Task) -> str:
    return "logistic" if task == "classification" else "linear"


def _made_by(factory: Callable[..., Any], recipe: Recipe) -> Any:
    try:
        estimator = factory(**recipe.params)
    except Exception as error:
        raise ExperimentError(
            f"Your function '{recipe.estimator}' failed with {type(error).__name__}: {error}.",
            remedy="It is called with the recipe's params and must return an unfitted estimator.",
        ) from error
    if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
        raise InvalidSettings(
            f"Your function '{recipe.estimator}' returned {type(estimator).__name__}, which is no estimator.",
            remedy="Return an unfitted scikit-learn estimator.",
        )
    return estimator


def _named(recipe: Recipe, task: Task) -> Any:
    name = recipe.estimator
    if ".py:" in name:
        raise InvalidSettings(f"The function '{name}' was not loaded.", remedy="Check the file's path.")
    if "." in name:
        kind, defaults = _dotted(name), {}
    else:
        short = _short(name)
        choice = CHOICES[short]
        path = choice.classifier if task == "classification" else choice.regressor
        other = "Regressor" if task == "classification" else "Classifier"
        if path is None or name.endswith(other):
            raise InvalidSettings(
                f"Estimator '{name}' is not for {task}, and the task of target '{recipe.target}' is {task}.",
                remedy=f"Choose one for {task}, such as '{_example(task)}', or set 'task'.",
            )
        kind, defaults = _class(path), dict(choice.defaults)
    _check_params(kind, recipe)
    try:
        return kind(**{**defaults, **recipe.params})
    except TypeError as error:
        raise InvalidSettings(
            f"Estimator '{name}' cannot be built: {error}.",
            remedy="Give its required parameters, or write a function that builds it (file.py:function).",
        ) from error


def _short(name: str) -> str:
    if name in CHOICES:
        return name
    plain = re.sub(r"(classifier|regressor)$", "", name.lower().replace("_", "").replace(" ", ""))
    known = {short.replace("_", ""): short for short in CHOICES} | _ALIASES
    if plain in known:
        return known[plain]
    raise InvalidSettings(
        f"Estimator '{name}' is not known.",
        remedy=f"{nearest(name, CHOICES)} A dotted scikit-learn class or file.py:function works too.",
    )


def _dotted(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if module.split(".")[0] != "sklearn":
        raise InvalidSettings(
            f"Estimator '{path}' is not a scikit-learn class.",
            remedy="For other libraries write a function that returns the estimator: file.py:function.",
        )
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidSettings(
            f"Estimator '{path}' does not exist: {error}.", remedy="Check its name."
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise InvalidSettings(
            f"'{path}' is not an estimator class.", remedy="Name a class with fit and predict."
        )
    return found


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise MissingExtra(module, "boosting") from error


def _check_params(kind: Any, recipe: Recipe) -> None:
    known = set(kind._get_param_names())
    if kind.__module__.startswith("lightgbm."):
        known |= set(_LIGHTGBM_NAMES)
    if kind.__module__.startswith("xgboost."):
        known |= set(kind().get_params())
    for name in recipe.params:
        if name not in known:
            raise InvalidSettings(
                f"Estimator '{recipe.estimator}' has no parameter '{name}'.", remedy=nearest(name, known)
            )


def _seed(estimator: Any, seed: int) -> None:
    unset = {
        name: seed
        for name, value in estimator.get_params(deep=True).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    if unset:
        estimator.set_params(**unset)


def _with_probabilities(estimator: Any, name: str) -> Any:
    if hasattr(estimator, "predict_proba"):
        return estimator
    if hasattr(estimator, "decision_function"):
        return CalibratedClassifierCV(estimator, cv=3, ensemble=False)
    raise InvalidSettings(
        f"Estimator '{name}' gives neither probabilities nor a decision function.",
        remedy="Choose a classifier with predict_proba.",
    )
