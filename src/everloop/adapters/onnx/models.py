"""Fitted estimators as graphs: what answers once the columns are prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto

from . import committees, ensembles
from .columns import Column, Number, Table, hit, hits, made, simple
from .foreign import attach
from .graph import Graph, NotCompilable
from .steps import Preparing
from .trees import Entangled, Sum, add_sum

Writer = Callable[[Preparing, Any, list[Column]], tuple[str, int]]
_LINKS = {"none": "", "exp": "Exp", "sigmoid": "Sigmoid", "softmax": "Softmax"}


def answer(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    """A tensor of probabilities (rows, classes) or values (rows, 1), and its width."""
    kind = type(model)
    library = kind.__module__.split(".")[0]
    write = _WRITERS.get(library, {}).get(kind.__name__)
    if write is not None:
        return write(preparing, model, columns)
    if library == "sklearn":
        if hasattr(model, "decision_function") and not hasattr(model, "predict_proba"):
            return _said(preparing, model, columns)
        return attach(preparing.graph, model, preparing.tensor(columns), len(columns))
    raise NotCompilable(f"{kind.__name__} ({kind.__module__}), which no converter knows")


def scores(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    """What a calibration begins from: the decision function, or else the probabilities; one column for two
    classes."""
    kind = type(model).__name__
    if kind == "Pipeline":
        return scores(preparing, model.steps[-1][1], _prepared(preparing, model, columns))
    if not hasattr(model, "decision_function"):
        found = made(*answer(preparing, model, columns))
        found = found[1:] if len(found) == 2 else found
        return preparing.tensor(found), len(found)
    if kind in _BOOSTED and kind != "AdaBoostClassifier":
        summed = _BOOSTED[kind](model)[0]
        if kind == "GradientBoostingClassifier" and model.loss == "exponential":
            raise NotCompilable("the scores of boosting with an exponential loss")
        columns = _preprocessed(preparing, model, columns)
        return _summed(preparing, summed, columns), len(summed.bias)
    if not hasattr(model, "coef_") or not isinstance(model.coef_, np.ndarray) or kind in ("SVC", "NuSVC"):
        raise NotCompilable(f"the scores of a {kind}")
    weights = np.atleast_2d(model.coef_).astype(np.float64)  # a RidgeClassifier's are flat for two classes
    bias = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), (len(weights),))
    return weighted(preparing, columns, weights.T, bias), len(weights)


# -- trees -----------------------------------------------------------------------------------------------


def _trees(read: Callable[[Any], tuple[Sum, str]]) -> Writer:
    def write(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
        found, link = read(model)
        value = _summed(preparing, found, _preprocessed(preparing, model, columns))
        graph, width = preparing.graph, len(found.bias)
        if link in ("mean", "shares"):
            return _shared(graph, value, width, len(found.trees), link)
        if link == "sigmoid" and hasattr(model, "predict_proba"):
            return _two(graph, value), 2
        return _linked(graph, value, link), width

    return write


def _preprocessed(preparing: Preparing, model: Any, columns: list[Column]) -> list[Column]:
    """The columns after what HistGradientBoosting does to categories itself."""
    inner = getattr(model, "_preprocessor", None)
    return columns if inner is None else preparing.after(inner, columns)


def _summed(preparing: Preparing, found: Sum, columns: list[Column]) -> str:
    graph = preparing.graph
    if simple(columns):
        with suppress(Entangled):
            return add_sum(graph, preparing.inputs, columns, found)
    every = preparing.tensor(columns)
    plain: list[Column] = [Number(at) for at in range(len(columns))]
    return add_sum(graph, every, plain, found)


def _shared(graph: Graph, value: str, width: int, trees: int, link: str) -> tuple[str, int]:
    """Sums over trees as shares: exact where the sums are, so that ties stay ties."""
    if link == "shares" and width == 1:
        value = graph.add("Sub", value, graph.constant([[trees, 0.0]]))
        return graph.add("Div", value, graph.constant([[-trees, trees]])), 2
    return (value if trees == 1 else graph.add("Div", value, graph.constant(trees))), width


def _two(graph: Graph, value: str) -> str:
    return graph.add("Sigmoid", graph.add("Mul", value, graph.constant([[-1.0, 1.0]])))


def _linked(graph: Graph, value: str, link: str) -> str:
    operator = _LINKS[link]
    if not operator:
        return value
    return graph.add(operator, value, axis=1) if operator == "Softmax" else graph.add(operator, value)


# -- linear models ---------------------------------------------------------------------------------------


def weighted(preparing: Preparing, columns: Sequence[Column], weights: np.ndarray, bias: np.ndarray) -> str:
    """columns @ weights (columns, outputs) + bias; scaling goes into the weights."""
    graph = preparing.graph
    if not simple(columns):
        value = preparing.tensor(list(columns))
        return graph.add("Gemm", value, graph.constant(weights), graph.constant(bias))
    bias = np.array(bias, dtype=np.float64)
    numbers: list[Column] = []
    slopes = []
    tables = [(at, each) for at, each in enumerate(columns) if isinstance(each, Table)]
    for at, column in enumerate(columns):
        if isinstance(column, Number):
            plain, slope, offset = _straight(column)
            numbers.append(plain)
            slopes.append(weights[at] * slope)
            bias += weights[at] * offset
    value = ""
    if tables:
        sources, codes, adds, other = hits([each for _, each in tables])
        rows = weights[[at for at, _ in tables]]
        bias += other @ rows
        if sources:
            found = hit(graph, preparing.inputs, sources, codes)
            value = graph.add("Gemm", found, graph.constant(adds @ rows), graph.constant(bias))
    if numbers:
        taken = preparing.tensor(numbers)
        value = graph.add("Gemm", taken, graph.constant(np.array(slopes)), value or graph.constant(bias))
    if not value:
        raise NotCompilable("a model that looks at nothing")
    return value


def _straight(column: Number) -> tuple[Number, float, float]:
    """The column as slope * plain + offset; what does not lie on a line stays in ``plain``."""
    bent = [at for at, (step, _) in enumerate(column.steps) if step in ("clip", "float32", "fill")]
    cut = bent[-1] + 1 if bent else 0
    slope, offset = 1.0, 0.0
    for step, value in column.steps[cut:]:
        if step == "sub":
            offset -= value
        elif step == "add":
            offset += value
        else:
            factor = value if step == "mul" else 1.0 / value
            slope, offset = slope * factor, offset * factor
    return Number(column.source, column.steps[:cut]), slope, offset


def _linear(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    coefficients = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    if coefficients.shape[0] != 1:
        raise NotCompilable("several targets")
    start = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64).reshape(-1), (1,))
    value = weighted(preparing, columns, coefficients.T, start)
    log = type(model).__name__ in ("PoissonRegressor", "GammaRegressor")
    if type(model).__name__ == "TweedieRegressor":
        log = model.link == "log" or (model.link == "auto" and model.power > 0)
    return (preparing.graph.add("Exp", value) if log else value), 1


def _logistic(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    weights, bias = model.coef_.T.astype(np.float64), np.asarray(model.intercept_, dtype=np.float64)
    graph, classes = preparing.graph, len(model.classes_)
    bias = np.broadcast_to(bias, (weights.shape[1],))
    if classes == 2:
        if getattr(model, "multi_class", "auto") == "multinomial":
            weights, bias = 2 * weights, 2 * bias
        both = weighted(preparing, columns, np.hstack([-weights, weights]), np.concatenate([-bias, bias]))
        return graph.add("Sigmoid", both), 2
    value = weighted(preparing, columns, weights, bias)
    if getattr(model, "multi_class", "auto") == "ovr" or getattr(model, "solver", "") == "liblinear":
        return _normalised(graph, graph.add("Sigmoid", value)), classes
    return graph.add("Softmax", value, axis=1), classes


def _said(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    """1 for the class of the best score, where a model gives no probabilities."""
    value, width = scores(preparing, model, columns)
    graph, classes = preparing.graph, len(model.classes_)
    if width == 1:
        best = graph.add("Cast", graph.add("Greater", value, graph.constant(0.0)), to=TensorProto.INT64)
    else:
        best = graph.add("ArgMax", value, axis=1, keepdims=1)
    chosen = graph.add("Equal", best, graph.constant([np.arange(classes)], np.int64))
    return graph.add("Cast", chosen, to=TensorProto.DOUBLE), classes


def _normalised(graph: Graph, value: str) -> str:
    axis = graph.constant([1], np.int64)
    return graph.add("Div", value, graph.add("ReduceSum", value, axis, keepdims=1))


# -- others ----------------------------------------------------------------------------------------------


def _pipeline(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    return answer(preparing, model.steps[-1][1], _prepared(preparing, model, columns))


def _prepared(preparing: Preparing, model: Any, columns: list[Column]) -> list[Column]:
    for _, step in model.steps[:-1]:
        columns = preparing.after(step, columns)
    return columns


def _labelled(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    return answer(preparing, model.estimator, columns)


def _searched(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    return answer(preparing, model.best_estimator_, columns)


def _dummy(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    if hasattr(model, "classes_"):
        if model.strategy not in ("prior", "most_frequent", "constant"):
            raise NotCompilable(f"a dummy that answers at random ({model.strategy})")
        one = np.zeros((1, max(1, len(columns))))
        bias = np.asarray(model.predict_proba(one), dtype=np.float64)[0]
    else:
        bias = np.asarray(model.constant_, dtype=np.float64).reshape(-1)
    return add_sum(preparing.graph, preparing.inputs, columns, Sum([], bias)), len(bias)


_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def _network(preparing: Preparing, model: Any, columns: list[Column]) -> tuple[str, int]:
    graph = preparing.graph
    layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    value = weighted(preparing, columns, *layers[0])
    for weights, bias in layers[1:]:
        if model.activation != "identity":
            value = graph.add(_ACTIVATIONS[model.activation], value)
        value = graph.add("Gemm", value, graph.constant(weights), graph.constant(bias))
    width = layers[-1][0].shape[1]
    if not hasattr(model, "classes_"):
        if model.out_activation_ != "identity":
            raise NotCompilable(f"a network with {model.out_activation_}")
        return value, width
    if model.out_activation_ == "softmax":
        return graph.add("Softmax", value, axis=1), width
    if width != 1:
        raise NotCompilable("several targets")
    return _two(graph, value), 2


_LINEAR = (
    "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "Lars",
    "LarsCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "BayesianRidge", "ARDRegression", "HuberRegressor",
    "SGDRegressor", "TheilSenRegressor", "QuantileRegressor", "OrthogonalMatchingPursuit", "LinearSVR",
    "PassiveAggressiveRegressor", "PoissonRegressor", "GammaRegressor", "TweedieRegressor",
)  # fmt: skip
_TREES = ("DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees")
_FORESTS = tuple(f"{each}{task}" for each in _TREES for task in ("Classifier", "Regressor"))
_BOOSTED: dict[str, Callable[[Any], tuple[Sum, str]]] = {
    "GradientBoostingClassifier": ensembles.gradient_boosting,
    "GradientBoostingRegressor": ensembles.gradient_boosting,
    "HistGradientBoostingClassifier": ensembles.histogram_boosting,
    "HistGradientBoostingRegressor": ensembles.histogram_boosting,
    "AdaBoostClassifier": ensembles.adaboost,
}
_XGBOOST = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")
_LOGISTIC = ("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis")


def _of_others(write: Callable[..., tuple[str, int]]) -> Writer:
    return partial(write, answer=answer)


_WRITERS: dict[str, dict[str, Writer]] = {
    "everloop": {"LabelledClassifier": _labelled},
    "xgboost": dict.fromkeys(_XGBOOST, _trees(ensembles.xgboost)),
    "lightgbm": dict.fromkeys(("LGBMClassifier", "LGBMRegressor"), _trees(ensembles.lightgbm)),
    "sklearn": {
        "Pipeline": _pipeline,
        **dict.fromkeys(_FORESTS, _trees(ensembles.forest)),
        **{name: _trees(read) for name, read in _BOOSTED.items()},
        **dict.fromkeys(_LINEAR, _linear),
        **dict.fromkeys(_LOGISTIC, _logistic),
        **dict.fromkeys(("DummyClassifier", "DummyRegressor"), _dummy),
        **dict.fromkeys(("MLPClassifier", "MLPRegressor"), _network),
        **dict.fromkeys(("VotingClassifier", "VotingRegressor"), _of_others(committees.voting)),
        **dict.fromkeys(("BaggingClassifier", "BaggingRegressor"), _of_others(committees.bagging)),
        **dict.fromkeys(("StackingClassifier", "StackingRegressor"), _of_others(committees.stacking)),
        **dict.fromkeys(("GridSearchCV", "RandomizedSearchCV"), _searched),
        "CalibratedClassifierCV": partial(committees.calibrated, scores=scores),
    },
}
