"""Go on from a model that is fitted already, instead of from nothing, where its estimator can.

Only what stays right on other rows than the first fit's: more trees or boosting rounds on top of the fitted
ones, or a descent that begins at the fitted coefficients. The preparation stays as it is: coefficients and
splits mean nothing under another one.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from everloop.core.runs import Recipe, Task

from .estimators import LabelledClassifier
from .learning import counted, watched

STEP = 4  # a warm start adds a quarter of the recipe's trees or rounds
MOST = 4  # times the recipe's trees or rounds: a model that has grown to so many is trained anew
EPOCHS = 5  # of stochastic gradient descent

_FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_BOOSTERS = ("XGBClassifier", "XGBRegressor", "LGBMClassifier", "LGBMRegressor")
_DESCENTS = ("SGDClassifier", "SGDRegressor")
_COEFFICIENTS = (
    *("LogisticRegression", "ElasticNet", "Lasso", "PoissonRegressor", "GammaRegressor", "TweedieRegressor"),
    *("HuberRegressor", "MLPClassifier", "MLPRegressor"),
)
_ADDITIVE = (*_FORESTS, *_BOOSTED, *_BOOSTERS)


@dataclass(frozen=True, eq=False)
class Base:
    """A fitted model to go on from. ``seen`` (rows,) marks the rows of the new table that it was trained on;
    they cannot test what comes of it."""

    pipeline: Pipeline
    recipe: Recipe
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...]
    seen: np.ndarray


def obstacle(
    base: Base | None,
    template: Pipeline,
    recipe: Recipe,
    task: Task,
    features: tuple[str, ...],
    classes: tuple[str, ...],
) -> str | None:
    """Why the unfitted ``template`` cannot go on from ``base``; None when it can."""
    if base is None:
        return "there is no champion that can be read"
    if recipe.tune is not None:
        return "its parameters are looked for anew"
    now = {"task": task, "classes": classes, "features": features}
    for part, value in now.items():
        if getattr(base, part) != value:
            return f"it has other {part} than the champion: {value}, not {getattr(base, part)}"
    for part in ("target", "estimator", "params", "preparation", "user_code", "seed"):
        if getattr(base.recipe, part) != getattr(recipe, part):
            return f"the recipe's {part} differs from the champion's"
    if type(base.pipeline).__name__ != "Pipeline" or list(base.pipeline.named_steps) != list(
        template.named_steps
    ):
        return "the champion's model was not made by everloop"
    if base.pipeline["preparation"]["types"].kinds != template["preparation"]["types"].kinds:
        return "the types of the columns are others than the champion's"
    fitted, unfitted = _inner(base.pipeline["model"]), _inner(template["model"])
    kind = type(unfitted).__name__
    if type(fitted) is not type(unfitted):
        return f"the champion is a {type(fitted).__name__}, not a {kind}"
    if kind.startswith("HistGradientBoosting"):
        return f"{kind} goes on right on the same rows only"
    if kind in _ADDITIVE and _size(fitted) >= MOST * _wanted(unfitted):
        return f"the champion has grown to {_size(fitted)} trees or rounds, {MOST} times the recipe's"
    if kind not in (*_ADDITIVE, *_DESCENTS, *_COEFFICIENTS):
        return f"{kind} cannot go on from a fit"
    return None


def go_on(
    base: Base,
    template: Pipeline,
    X: pd.DataFrame,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    notes: dict[str, None] | None = None,
) -> Pipeline:
    """The base's preparation and a copy of its model that has learned the rows (weights as for ``learn``),
    where ``obstacle`` finds none. Every class of the base must occur in ``y``."""
    X, y, weights = counted(X, y, weights)
    preparation = base.pipeline["preparation"]
    model = deepcopy(base.pipeline["model"])
    ready = preparation.transform(X)
    watched(lambda: _continue(model, _inner(template["model"]), ready, y, weights), model, notes)
    return Pipeline([("preparation", preparation), ("model", model)])


def _continue(model: Any, unfitted: Any, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
    inner = _inner(model)
    kind = type(inner).__name__
    if kind in _DESCENTS:
        for _ in range(EPOCHS):
            inner.partial_fit(X, y, sample_weight=weights)
        return
    more = {} if weights is None else {"sample_weight": weights}
    if kind in _BOOSTERS:
        inner.set_params(n_estimators=max(1, _wanted(unfitted) // STEP))
        booster = "xgb_model" if kind.startswith("XGB") else "init_model"
        model.fit(X, y, **more, **{booster: _booster(inner)})
        return
    if kind in _ADDITIVE:
        inner.set_params(n_estimators=_size(inner) + max(1, _wanted(unfitted) // STEP))
    inner.set_params(warm_start=True)
    inner.fit(X, y, **more)
    inner.set_params(warm_start=unfitted.get_params()["warm_start"])


def _inner(model: Any) -> Any:
    return model.estimator if isinstance(model, LabelledClassifier) else model


def _booster(model: Any) -> Any:
    return model.get_booster() if hasattr(model, "get_booster") else model.booster_


def _wanted(unfitted: Any) -> int:
    return int(unfitted.get_params()["n_estimators"] or 100)  # XGBoost's default is None, which means 100


def _size(fitted: Any) -> int:
    """Trees of a forest, rounds of a boosted model."""
    counts: dict[str, Callable[[], int]] = {
        "get_booster": lambda: fitted.get_booster().num_boosted_rounds(),
        "booster_": lambda: fitted.booster_.current_iteration(),
    }
    for name, count in counts.items():
        if hasattr(fitted, name):
            return int(count())
    return len(fitted.estimators_)
