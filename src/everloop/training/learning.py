"""One pipeline learns rows, each with its weight, and what it says of other rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from everloop.core.errors import ExperimentError, InvalidSettings, MLOpsError
from everloop.core.runs import Task

from .estimators import LabelledClassifier

COUNTS = 0.5  # what a row's weight must be to be learned by an estimator that takes no weights
_RAREST = 1e-6  # the smallest probability that a loss tells apart, or one sure mistake would outweigh all


def takes_weights(estimator: Any) -> bool:
    """Whether rows can count differently for it."""
    inner = estimator
    while isinstance(inner, (LabelledClassifier, CalibratedClassifierCV)):
        inner = inner.estimator
    return bool(has_fit_parameter(inner, "sample_weight"))


def effective(estimator: Any, weights: np.ndarray) -> np.ndarray:
    """The weights (n,) that rows have for the estimator: 0 and 1 only where it takes no others."""
    return weights if takes_weights(estimator) else (weights >= COUNTS).astype(np.float64)


def counted(
    X: pd.DataFrame, y: np.ndarray, weights: np.ndarray | None
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None]:
    """The rows that count at all, and their weights: None where all count alike."""
    if weights is None:
        return X, y, None
    some = weights > 0
    X, y, weights = X[some], y[some], weights[some]
    return X, y, None if bool((weights == weights[:1]).all()) else weights


def learn(
    template: Pipeline,
    X: pd.DataFrame,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    notes: dict[str, None] | None = None,
) -> Pipeline:
    """A fitted copy of ``template``. ``weights`` (n,) are ``effective`` ones; rows of weight 0 are not seen,
    by the preparation neither. What libraries warn of joins ``notes``. Raises ExperimentError, and
    InvalidSettings for a parameter's value that the estimator does not take."""
    pipeline = clone(template)
    X, y, weights = counted(X, y, weights)
    more = {} if weights is None else {"model__sample_weight": weights}
    watched(lambda: pipeline.fit(X, y, **more), pipeline["model"], notes)
    return pipeline


def watched(work: Any, estimator: Any, notes: dict[str, None] | None = None) -> None:
    """Do ``work()``, a fit: its warnings become notes, what it raises is explained."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            work()
        except MLOpsError:
            raise
        except Exception as error:
            raise _explained(error, estimator) from error
    for one in caught:
        if notes is not None and not issubclass(
            one.category, (DeprecationWarning, PendingDeprecationWarning)
        ):
            notes[" ".join(str(one.message).split())[:300]] = None


def answers(pipeline: Any, X: Any, task: Task) -> np.ndarray:
    """Probabilities (n, classes of the pipeline) or values (n,), as float64. A classifier from outside that
    has no ``predict_proba`` gives 1 to the class that it says."""
    if task == "classification":
        if not hasattr(pipeline, "predict_proba"):
            return np.asarray(np.asarray(pipeline.predict(X))[:, None] == pipeline.classes_, dtype=np.float64)
        return np.asarray(pipeline.predict_proba(X), dtype=np.float64)
    return np.asarray(pipeline.predict(X), dtype=np.float64).reshape(len(X))


def row_losses(pipeline: Pipeline, X: pd.DataFrame, y: np.ndarray, task: Task) -> np.ndarray:
    """The log loss or squared error of each row, (n,). A class that the pipeline does not know has
    probability 0, and one below a millionth counts as that."""
    said = answers(pipeline, X, task)
    if task == "regression":
        return np.asarray((said - y) ** 2)
    classes = np.asarray(pipeline.classes_)
    at = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    given = np.where(classes[at] == y, said[np.arange(len(y)), at], 0.0)
    return np.asarray(-np.log(np.clip(given, _RAREST, 1.0)))


def _explained(error: Exception, estimator: Any) -> Exception:
    kind = type(estimator).__name__
    text = " ".join(str(error).split())
    if "parameter of" in text:
        return InvalidSettings(text, remedy="Correct it under params.")
    return ExperimentError(
        f"{kind} failed while fitting: {text}", remedy="Check the parameters and the data."
    )
