"""A fitted pipeline becomes an ONNX graph with one output: probabilities (rows, classes) or values (rows, 1).

Nothing heavy is imported by the rest of everloop: this module is, when a model is compiled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pandas as pd

from . import models
from .columns import MISSING, Column, Number, Table, Text
from .graph import Graph, MixedTrees, NotCompilable
from .session import INPUT, LEVELS
from .steps import Preparing

__all__ = ["NotCompilable", "compile_model"]


def compile_model(
    pipeline: Any, *, task: str, classes: Sequence[str], features: Sequence[str], sample: pd.DataFrame | None
) -> bytes:
    """The bytes of the graph. Float64 throughout.

    It takes one tensor ``X``: for a pipeline of ours (steps ``preparation`` and ``model``) (rows, columns) as
    ``ColumnTypes`` gives them; for any other (rows, features) in the order of ``features``, booleans as 0 and
    1, and texts (as ``sample``, some rows, has them) as the codes in ``Compiled.levels``. No ``features``: as
    many as the model wants. Raises NotCompilable with the reason; never another error.
    """
    try:
        with suppress(MixedTrees):
            return _compiled(Graph(), pipeline, task, list(classes), list(features), sample)
        return _compiled(Graph(shared=False), pipeline, task, list(classes), list(features), sample)
    except NotCompilable:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise NotCompilable(f"the compiler failed with {type(error).__name__}: {text[:200]}") from error


def _compiled(
    graph: Graph, pipeline: Any, task: str, classes: list[str], features: list[str], sample: Any
) -> bytes:
    steps = dict(getattr(pipeline, "steps", ()))
    if "preparation" in steps and "types" in getattr(steps["preparation"], "named_steps", {}):
        preparation = steps["preparation"]
        names = [str(each) for each in preparation.named_steps["types"].get_feature_names_out()]
        preparing = Preparing(graph, graph.input(INPUT, width=len(names)), names)
        kinds = preparation.named_steps["types"].kinds
        of: dict[str, Any] = {"category": "code", "boolean": "boolean"}
        columns: list[Column] = [
            Number(at, of=of.get(kinds.get(name, ""), "number")) for at, name in enumerate(names)
        ]
        columns = preparing.after(preparation.named_steps["columns"], columns)
        output, width = models.answer(preparing, steps["model"], columns)
        return _written(graph, output, width, task, classes)
    names = features or [f"x{at}" for at in range(int(pipeline.n_features_in_))]
    found = [_kind(sample[name]) if sample is not None and name in sample else "number" for name in names]
    preparing = Preparing(graph, graph.input(INPUT, width=len(names)), names)
    columns = [_column(at, kind) for at, kind in enumerate(found)]
    output, width = models.answer(preparing, pipeline, columns)
    texts = {name: preparing.texts.get(at, [MISSING]) for at, name in enumerate(names) if found[at] == "text"}
    return _written(graph, output, width, task, classes, texts)


def _written(
    graph: Graph,
    output: str,
    width: int,
    task: str,
    classes: Sequence[str],
    texts: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> bytes:
    wanted = len(classes) if task == "classification" else 1
    if width != wanted:
        raise NotCompilable(f"a model of {width} outputs where {wanted} are asked")
    return graph.bytes(output, width, {LEVELS: json.dumps(texts, ensure_ascii=False)} if texts else {})


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in ("string", "categorical"):
        return "text"
    if inferred == "boolean":
        return "boolean"
    if inferred in ("floating", "integer", "mixed-integer-float", "decimal"):
        return "number"
    raise NotCompilable(f"the feature {column.name} ({inferred} values)")


def _column(at: int, kind: str) -> Column:
    if kind == "text":
        return Text(at)
    if kind == "boolean":
        return Table(at, (0.0, 1.0), (0.0, 1.0), float("nan"), float("nan"), "boolean")
    return Number(at)
