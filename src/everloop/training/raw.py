"""Values of requests, in the order of a model's fields -> its scores by the fitted pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.serving import Field, Form

from . import fitting

_EXACT = 2**53
_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.string()}


def scores(model: Any, form: Form, rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """Probabilities (rows, classes) or values (rows,) of the pipeline: the rows become the table that it was
    trained on."""
    columns = zip(*rows, strict=True)
    table = pa.table(
        {field.name: column(field, values) for field, values in zip(form.fields, columns, strict=True)}
    )
    names = [field.name for field in form.fields]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that a model was fitted without
        return fitting.predict(model, table, names, form.task)


def column(field: Field, values: Sequence[Any]) -> pa.Array:
    """Whole numbers that float64 cannot hold stay whole: long ids are such."""
    if field.kind == "any":
        return pa.array(values)
    if field.kind == "number" and any(type(value) is int and abs(value) > _EXACT for value in values):
        whole = all(value is None or (type(value) is int and abs(value) < 2**63) for value in values)
        return pa.array(values if whole else [None if v is None else float(v) for v in values])
    return pa.array(values, _TYPES.get(field.kind, pa.string()))
