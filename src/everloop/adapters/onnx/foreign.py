"""Estimators and transformers that skl2onnx knows, as parts of our graphs."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import onnxruntime
from onnx import compose

from .graph import ML, OPSET, Graph, NotCompilable


def attach(graph: Graph, step: Any, value: str, width: int) -> tuple[str, int]:
    """Put a fitted step behind a tensor (rows, width): what it gives as float64, and how many columns. A
    classifier gives probabilities. In float64 if onnxruntime can, else in float32."""
    if "Neighbors" in type(step).__name__:
        raise NotCompilable(f"{type(step).__name__}, whose distances would be rounded in another way")
    reasons = []
    types = import_module("skl2onnx.common.data_types")  # here: most models do without, and it takes a second
    for kind, code in ((types.DoubleTensorType, 11), (types.FloatTensorType, 1)):
        try:
            return _attached(graph, _converted(step, kind, width), value, code, width, step)
        except Exception as error:  # noqa: BLE001  whatever a converter fails with means: not this way
            text = " ".join(str(error).split())
            reasons.append(f"{type(error).__name__}: {text[:160]}")
    raise NotCompilable(f"{type(step).__name__} ({reasons[-1]})")


def _converted(step: Any, kind: Any, width: int) -> Any:
    options = {id(step): {"zipmap": False}} if hasattr(step, "predict_proba") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = import_module("skl2onnx").convert_sklearn(
            step,
            initial_types=[("I", kind([None, width]))],
            options=options,
            target_opset={"": OPSET, ML: 3},
        )
    session = onnxruntime.SessionOptions()
    session.log_severity_level = 4
    onnxruntime.InferenceSession(found.SerializeToString(), session, providers=["CPUExecutionProvider"])
    if any(node.op_type.startswith("TreeEnsemble") for node in found.graph.node):
        raise NotCompilable("trees inside it")
    return found


def _attached(graph: Graph, found: Any, value: str, code: int, width: int, step: Any) -> tuple[str, int]:
    prefix = graph.fresh("part") + "_"
    part = compose.add_prefix(found, prefix).graph
    output = part.output[-1]
    given = value if code == 11 else graph.add("Cast", value, to=1)
    for node in part.node:
        for at, name in enumerate(node.input):
            if name == f"{prefix}I":
                node.input[at] = given
    graph.nodes.extend(part.node)
    graph.constants.extend(part.initializer)
    columns = _columns(step, width)
    shape = graph.constant([-1, columns], "int64")
    return graph.add("Reshape", graph.add("Cast", output.name, to=11), shape), columns


def _columns(step: Any, width: int) -> int:
    if hasattr(step, "predict_proba"):
        return len(step.classes_)
    if hasattr(step, "predict"):
        return 1
    names = getattr(step, "feature_names_in_", None)
    return len(step.get_feature_names_out([f"x{at}" for at in range(width)] if names is None else names))
