"""Pipelines to bytes and back, and what is refused on the way."""

import io
import subprocess
import zipfile
from dataclasses import replace
from typing import Any

import cloudpickle
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from tests.unit.training.frames import customers, hashes, table

from everloop.core.errors import Corrupt, Invalid, Refused
from everloop.core.runs import Recipe
from everloop.training import serialise, skopsfile
from everloop.training.estimators import CHOICES
from everloop.training.fitting import fit, predict

FRAME = customers(300)
SMALL: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {"max_iter": 5},
    **{
        name: {"n_estimators": 5} for name in ("random_forest", "extra_trees", "gradient_boosting", "xgboost")
    },
}


@pytest.mark.parametrize("name", [*(n for n in CHOICES if CHOICES[n].classifier), "sklearn.svm.LinearSVC"])
def test_every_estimator_comes_back_from_skops_and_predicts_the_same(name: str) -> None:
    recipe = replace(Recipe("churn"), estimator=name, params=SMALL.get(name, {}))
    fitted = fit(table(FRAME), recipe, hashes(FRAME))
    data, kind = serialise.dumps(fitted.pipeline)
    assert kind == "skops"
    back = serialise.loads(data, kind)
    later = table(customers(200, seed=5))
    assert np.array_equal(
        predict(back, later, fitted.features, fitted.task),
        predict(fitted.pipeline, later, fitted.features, fitted.task),
    )
    assert all(
        name.startswith(skopsfile.TRUSTED_PREFIXES) or name in skopsfile.TRUSTED_NAMES
        for name in skopsfile.trusted_types(data)
    )


class Own(LogisticRegression):
    """A class of the user's, in no module that is trusted."""


def test_a_users_class_is_pickled_and_only_loaded_with_trust() -> None:
    fitted = fit(table(FRAME), Recipe("churn", estimator="mine.py:Own"), hashes(FRAME), factory=Own)
    data, kind = serialise.dumps(fitted.pipeline)
    assert kind == "cloudpickle"
    with pytest.raises(Refused, match="pickle"):
        serialise.loads(data, kind)
    back = serialise.loads(data, kind, trust_pickle=True)
    assert np.array_equal(back.predict_proba(FRAME), fitted.pipeline.predict_proba(FRAME))


def test_a_lambda_is_pickled() -> None:
    _, kind = serialise.dumps(FunctionTransformer(lambda x: x))
    assert kind == "cloudpickle"


def test_a_damaged_model_file_is_told_so() -> None:
    fitted = fit(table(FRAME), Recipe("churn"), hashes(FRAME))
    data, kind = serialise.dumps(fitted.pipeline)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    with pytest.raises(Corrupt, match="cannot be read"):
        serialise.loads(bytes(damaged), kind)
    with pytest.raises(Corrupt, match="cannot be read"):
        serialise.loads(cloudpickle.dumps(fitted.pipeline)[:-9], "cloudpickle", trust_pickle=True)


@pytest.mark.parametrize("function", [subprocess.getoutput, np.load, skops.io.loads])
def test_functions_that_could_run_code_are_refused_even_from_trusted_libraries(function: Any) -> None:
    with pytest.raises(Refused, match=function.__name__):
        serialise.loads(skops.io.dumps(FunctionTransformer(function)), "skops")


def test_functions_of_arrays_are_trusted() -> None:
    data, kind = serialise.dumps(FunctionTransformer(np.log1p))
    assert kind == "skops"
    assert serialise.loads(data, kind).func is np.log1p


def test_a_pickle_under_the_name_of_skops_is_not_run() -> None:
    with pytest.raises(Corrupt):
        serialise.loads(cloudpickle.dumps({"a": 1}), "skops")


def test_what_is_no_model_file_is_told_so() -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for data in (b"", b"nothing", empty.getvalue()):
        with pytest.raises(Corrupt, match="cannot be read"):
            serialise.loads(data, "skops")
    with pytest.raises(Invalid, match="'onnx' is not known"):
        serialise.loads(b"", "onnx")
