"""The target column: which task it asks for, and its values as labels or numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.errors import AllMissing, ConstantTarget, WrongType
from everloop.core.runs import Task

MOST_INTEGER_CLASSES = 20


def infer_task(column: pa.ChunkedArray) -> Task:
    """Classification for strings, booleans and at most 20 distinct whole numbers (stored as integers or, as
    pandas does when some are missing, as floats); else regression."""
    kind = _values_type(column)
    if pa.types.is_boolean(kind) or _is_string(kind):
        return "classification"
    if pa.types.is_null(kind):
        raise AllMissing("The target has no value at all.", remedy="Give rows whose outcome is known.")
    if not _is_number(kind):
        raise WrongType(
            f"The target has type {kind}, which is neither a label nor a number.",
            remedy="Use a string, boolean or number column as target.",
        )
    distinct = pc.unique(pc.drop_null(_plain(column))).cast(pa.float64())
    whole = len(distinct) <= MOST_INTEGER_CLASSES and pc.all(pc.equal(pc.floor(distinct), distinct)).as_py()
    return "classification" if whole else "regression"


def target_labels(column: pa.ChunkedArray) -> np.ndarray:
    """One string per row, None where missing: ``true``/``false`` for booleans, ``3`` for 3 and for 3.0."""
    kind = _values_type(column)
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise WrongType(
            f"A target of type {kind} has no labels.", remedy="Use a string, boolean or number column."
        )
    return np.asarray(_plain(column).cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object)


def target_values(column: pa.ChunkedArray) -> np.ndarray:
    """One float per row, NaN where missing. Raises WrongType for strings."""
    kind = _values_type(column)
    if not (_is_number(kind) or pa.types.is_boolean(kind)):
        raise WrongType(
            f"A target of type {kind} cannot be used for regression.",
            remedy="Set task: classification, or use a number column.",
        )
    return np.asarray(_plain(column).cast(pa.float64()).to_numpy(zero_copy_only=False))


def missing(column: pa.ChunkedArray) -> np.ndarray:
    """Where the target has no value (null, NaN or infinite)."""
    absent = column.is_null(nan_is_null=True)
    if pa.types.is_floating(column.type):
        absent = pc.or_(absent, pc.fill_null(pc.is_inf(column), False))
    return np.asarray(absent.to_numpy(zero_copy_only=False), dtype=bool)


def check_target(name: str, column: pa.ChunkedArray, absent: np.ndarray) -> None:
    """Raises AllMissing without values and ConstantTarget with one value only."""
    if absent.all():
        raise AllMissing(
            f"Target '{name}' has no values.", remedy="Choose another target or bring labelled rows."
        )
    values = pc.unique(_plain(column).filter(pa.array(~absent)))
    if len(values) == 1:
        raise ConstantTarget(
            f"Target '{name}' has one value only: {values[0].as_py()!r}.",
            remedy="A model needs rows with different outcomes; bring some or choose another target.",
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _values_type(column: pa.ChunkedArray) -> pa.DataType:
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
