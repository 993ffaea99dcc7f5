"""How much each input column matters to a fitted pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from everloop.core.runs import Task

from .fitting import Fitted
from .preparation import sources
from .prepared import to_frame

MOST_ROWS = 1_000
MOST_SHUFFLES = 50
_SMALLEST = 1e-15


def importances(fitted: Fitted, table: pa.Table, seed: int) -> tuple[dict[str, float], str]:
    """Each feature's importance, the largest first, and what the numbers are (unit and way, for an axis).

    Linear models: the standard deviation, over at most 1,000 test rows, of the column's part of the score.
    Others: how much the loss (log loss, or mean absolute error) on those rows grows when the column is
    shuffled (Breiman, 2001). With more than 50 features, where shuffling takes long, the estimator's own
    ``feature_importances_`` as shares of their sum; they are quicker, but favour columns with many values.
    """
    preparation, model = fitted.pipeline.named_steps["preparation"], fitted.pipeline.named_steps["model"]
    owner = np.array(sources(preparation), dtype=object)
    given = getattr(model, "feature_importances_", None)
    if len(fitted.features) > MOST_SHUFFLES and given is not None and len(given) == len(owner):
        total = float(np.sum(given)) or 1.0
        found = {name: float(np.sum(given[owner == name])) / total for name in fitted.features}
        return _ranked(found), "share of the model's own importance"
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(fitted.test_index))
    if len(chosen) > MOST_ROWS:
        chosen = np.sort(rng.choice(len(chosen), MOST_ROWS, replace=False))
    rows = to_frame(table.take(pa.array(fitted.test_index[chosen])), fitted.features)
    X = preparation.transform(rows)
    X = X.toarray() if sparse.issparse(X) else X
    weights = getattr(model, "coef_", None)
    if isinstance(weights, np.ndarray) and weights.shape[-1] == len(owner):
        found = {name: _spread(X, weights, owner == name) for name in fitted.features}
        return _ranked(found), "spread of the column's part of the score"
    truth = fitted.test_target[chosen]
    before = _loss(model, X, truth, fitted.task)
    found = {}
    for name in fitted.features:
        shuffled, of_name = X.copy(), owner == name
        shuffled[:, of_name] = X[rng.permutation(len(X))][:, of_name]
        found[name] = _loss(model, shuffled, truth, fitted.task) - before
    measure = "log loss" if fitted.task == "classification" else "mean absolute error"
    return _ranked(found), f"growth of {measure} when the column is shuffled"


def _spread(X: np.ndarray, weights: np.ndarray, of_name: np.ndarray) -> float:
    parts = X[:, of_name] @ np.atleast_2d(weights)[:, of_name].T
    return float(np.mean(np.std(parts, axis=0)))


def _loss(model: Any, X: np.ndarray, truth: np.ndarray, task: Task) -> float:
    if task == "regression":
        return float(np.mean(np.abs(truth - np.asarray(model.predict(X)).reshape(len(X)))))
    probabilities = model.predict_proba(X)
    actual = probabilities[np.arange(len(X)), np.searchsorted(model.classes_, truth)]
    return float(-np.mean(np.log(np.clip(actual, _SMALLEST, 1.0))))


def _ranked(found: dict[str, float]) -> dict[str, float]:
    return dict(sorted(found.items(), key=lambda item: -item[1]))
