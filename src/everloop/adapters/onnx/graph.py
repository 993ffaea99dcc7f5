"""An ONNX graph under construction: nodes, constants and names, and the bytes in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
ML_OPSET = 5
SHARED_ML_OPSET = 3  # the last with TreeEnsembleRegressor
IR_VERSION = 10  # what onnxruntime 1.18 and later read
ML = "ai.onnx.ml"


class NotCompilable(Exception):
    """A model, or a step of one, that has no form as a graph; the text says which and why."""


class MixedTrees(Exception):
    """The graph has trees of both operators; without ``shared`` it has not."""


class Graph:
    """Values are named by strings. Numbers are float64 throughout, so that answers are the original's.

    ``shared``: trees of several targets may use the operator that walks them once. A graph cannot have that
    one and today's.
    """

    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self._count = 0

    def fresh(self, what: str = "v") -> str:
        self._count += 1
        return f"{what}_{self._count}"

    def input(self, name: str, *, width: int) -> str:
        """An input of (rows, ``width``)."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, width]))
        return name

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        name = self.fresh("c")
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        name = self.fresh(op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [name], domain=domain, **attributes))
        return name

    def matrix(self, parts: Sequence[str]) -> str:
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)

    def bytes(self, output: str, width: int, notes: Mapping[str, str]) -> bytes:
        """The graph of all that ``output`` (rows, ``width``) needs, checked."""
        nodes = self._needed(output)
        used = {name for node in nodes for name in node.input}
        answer = helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None, width])
        constants = [each for each in self.constants if each.name in used]
        graph = helper.make_graph(nodes, "model", self.inputs, [answer], constants)
        domains = sorted({node.domain for node in nodes} - {"", ML})
        kinds = {node.op_type for node in nodes}
        if {"TreeEnsemble", "TreeEnsembleRegressor"} <= kinds:
            raise MixedTrees
        ml = SHARED_ML_OPSET if "TreeEnsembleRegressor" in kinds else ML_OPSET
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ml)]
        opsets += [helper.make_opsetid(each, 1) for each in domains]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="everloop"
        )
        helper.set_model_props(model, dict(notes))
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _needed(self, output: str) -> list[Any]:
        wanted, kept = {output}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        return kept[::-1]
