"""Estimators made of other estimators, as graphs: votes, bags, stacks, and calibrated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .columns import Column, made
from .foreign import attach
from .graph import NotCompilable
from .steps import Preparing

Answer = Callable[[Preparing, Any, list[Column]], tuple[str, int]]


def mean(preparing: Preparing, parts: Sequence[tuple[str, int]], weights: Any = None) -> tuple[str, int]:
    """The weighted mean of several answers."""
    graph, width = preparing.graph, parts[0][1]
    if any(each != width for _, each in parts):
        raise NotCompilable("members that know different classes")
    if len(parts) == 1:
        return parts[0]
    if weights is None:
        return graph.add(
            "Div", graph.add("Sum", *(value for value, _ in parts)), graph.constant(len(parts))
        ), width
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    scaled = [
        graph.add("Mul", value, graph.constant(share))
        for (value, _), share in zip(parts, shares, strict=True)
    ]
    return graph.add("Sum", *scaled), width


def voting(preparing: Preparing, model: Any, columns: list[Column], answer: Answer) -> tuple[str, int]:
    if getattr(model, "voting", "soft") != "soft":
        raise NotCompilable("a vote by labels")
    parts = [answer(preparing, each, columns) for each in model.estimators_]
    return mean(preparing, parts, model._weights_not_none)


def bagging(preparing: Preparing, model: Any, columns: list[Column], answer: Answer) -> tuple[str, int]:
    if hasattr(model, "classes_") and not hasattr(model.estimators_[0], "predict_proba"):
        raise NotCompilable("a vote by labels")
    chosen = model.estimators_features_
    return mean(
        preparing,
        [
            answer(preparing, each, [columns[at] for at in taken])
            for each, taken in zip(model.estimators_, chosen, strict=True)
        ],
    )


def stacking(preparing: Preparing, model: Any, columns: list[Column], answer: Answer) -> tuple[str, int]:
    stacked: list[Column] = []
    for each, method in zip(model.estimators_, model.stack_method_, strict=True):
        if method not in ("predict_proba", "predict") or (method == "predict" and hasattr(each, "classes_")):
            raise NotCompilable(f"a stack of {method}")
        found = made(*answer(preparing, each, columns))
        stacked += found[1:] if len(found) == 2 and method == "predict_proba" else found
    return answer(preparing, model.final_estimator_, stacked + (columns if model.passthrough else []))


def calibrated(preparing: Preparing, model: Any, columns: list[Column], scores: Answer) -> tuple[str, int]:
    """The mean over the folds' estimators, each calibrated; by skl2onnx if their scores are not here."""
    nodes = len(preparing.graph.nodes)
    try:
        parts = []
        for each in model.calibrated_classifiers_:
            if each.method not in ("sigmoid", "isotonic"):
                raise NotCompilable(f"a calibration by {each.method}")
            parts.append(_calibrated(preparing, each, scores(preparing, each.estimator, columns)))
        return mean(preparing, parts)
    except NotCompilable:
        del preparing.graph.nodes[nodes:]
        return attach(preparing.graph, model, preparing.tensor(columns), len(columns))


def _calibrated(preparing: Preparing, model: Any, found: tuple[str, int]) -> tuple[str, int]:
    graph = preparing.graph
    value, width = found
    classes = len(model.classes)
    if width != len(model.calibrators) or width != (1 if classes == 2 else classes):
        raise NotCompilable("a calibration of some classes only")
    if model.method == "sigmoid":
        slopes = graph.constant([[-each.a_ for each in model.calibrators]])
        offsets = graph.constant([[-each.b_ for each in model.calibrators]])
        shares = graph.add("Sigmoid", graph.add("Add", graph.add("Mul", value, slopes), offsets))
    else:
        every = made(value, width)
        parts = [
            _stairs(preparing, preparing.tensor([column]), each)
            for column, each in zip(every, model.calibrators, strict=True)
        ]
        shares = graph.matrix(parts)
    if classes == 2:
        return graph.matrix([graph.add("Sub", graph.constant(1.0), shares), shares]), 2
    total = graph.add("ReduceSum", shares, graph.constant([1], np.int64), keepdims=1)
    none = graph.add("Equal", total, graph.constant(0.0))
    uniform = graph.constant([[1.0 / classes] * classes])
    return graph.add("Where", none, uniform, graph.add("Div", shares, total)), classes


def _stairs(preparing: Preparing, value: str, isotonic: Any) -> str:
    """Straight lines between an isotonic regression's points, level beyond them; for one column."""
    graph = preparing.graph
    if isotonic.out_of_bounds != "clip":
        raise NotCompilable("an isotonic regression that is not clipped")
    x = np.asarray(isotonic.X_thresholds_, dtype=np.float64)
    y = np.asarray(isotonic.y_thresholds_, dtype=np.float64)
    if len(x) == 1:
        return graph.add("Where", graph.add("IsNaN", value), value, graph.constant(y))
    slopes = np.diff(y) / np.diff(x)
    inside = graph.add("Min", graph.add("Max", value, graph.constant(x[0])), graph.constant(x[-1]))
    passed = graph.add("Cast", graph.add("GreaterOrEqual", inside, graph.constant([x[1:-1]])), to=7)
    place = graph.add("ReduceSum", passed, graph.constant([1], np.int64), keepdims=1)
    start, level, slope = (
        graph.add("Gather", graph.constant(each), place) for each in (x[:-1], y[:-1], slopes)
    )
    return graph.add("Add", level, graph.add("Mul", slope, graph.add("Sub", inside, start)))
