"""What can be told of a fitted scikit-learn model that was trained elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from everloop.core.errors import WrongType
from everloop.core.runs import Task


@dataclass(frozen=True)
class Described:
    """``estimator`` is the dotted class of a pipeline's last step, ``params`` its parameters as JSON values.
    ``features`` are empty for a model that was fitted on an array without names."""

    task: Task
    estimator: str
    params: dict[str, Any]
    features: tuple[str, ...]
    classes: tuple[str, ...]


def describe(model: Any) -> Described:
    """Raises WrongType for what is no fitted classifier or regressor with scikit-learn's interface."""
    kind = type(model).__qualname__
    if not hasattr(model, "predict") or not hasattr(model, "get_params"):
        raise WrongType(
            f"A {type(model).__module__}.{kind} is no scikit-learn model.",
            remedy="Give a fitted estimator or pipeline, or the path of a stored one.",
        )
    if not is_classifier(model) and not is_regressor(model):
        raise WrongType(
            f"A {kind} is neither a classifier nor a regressor.",
            remedy="Give a model that predicts a label or a number.",
        )
    if not hasattr(model, "n_features_in_"):
        raise WrongType(f"This {kind} is not fitted.", remedy="Call its fit first.")
    last = model[-1] if hasattr(model, "steps") else model
    return Described(
        task="classification" if is_classifier(model) else "regression",
        estimator=f"{type(last).__module__}.{type(last).__qualname__}",
        params={name: _plain(value) for name, value in last.get_params(deep=False).items()},
        features=tuple(str(name) for name in getattr(model, "feature_names_in_", ())),
        classes=tuple(_label(each) for each in getattr(model, "classes_", ())),
    )


def _label(value: Any) -> str:
    """A class as ``training.targets`` writes it: ``true``, ``3`` for 3 and for 3.0."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, float) and plain.is_integer():
        return str(int(plain))
    return str(plain)


def _plain(value: Any) -> Any:
    """The value as JSON has it, or its text."""
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or isinstance(plain, (bool, int, str)):
        return plain
    return plain if isinstance(plain, float) and math.isfinite(plain) else repr(plain)
