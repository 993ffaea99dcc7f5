"""Two tables, or two streams of losses, side by side: without a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.errors import WrongType
from everloop.core.monitoring import Result
from everloop.data import reading
from everloop.monitoring import checks, reference, windows
from everloop.monitoring.detectors import DEFAULT, Detectors, Make


def compare(before: object, now: object, alpha: float) -> list[Result]:
    """``now`` beside ``before``: each a table, a file, or an array (rows,) or (rows, features). All that is
    looked at fires by chance with probability ``alpha`` at most."""
    usual = reference.build(reading.refuse_empty(_table(before), "The reference data"))
    return list(checks.check(usual, windows.summarise(usual, _table(now)), alpha=alpha))


def errors(
    before: object,
    now: object,
    detector: str | None,
    options: Mapping[str, Any],
    makers: Mapping[str, Make],
) -> tuple[str, list[int]]:
    """The detector, and the positions in ``now`` at which it raised an alarm."""
    name = detector or DEFAULT
    return name, Detectors(makers).make(name, _losses(before), **options).update(_losses(now))


def _table(source: object) -> pa.Table:
    if not isinstance(source, (np.ndarray, list, tuple)):
        return reading.to_table(source)
    rows = np.asarray(source)
    if rows.ndim == 1:
        rows = rows.reshape(-1, 1)
    if rows.ndim != 2:
        raise WrongType(
            f"An array of {rows.ndim} dimensions is no table.", remedy="Give one of (rows, features)."
        )
    return reading.checked(
        pa.table({f"feature_{place}": _column(rows[:, place]) for place in range(rows.shape[1])})
    )


def _column(values: np.ndarray) -> pa.Array:
    try:
        return pa.array(values.tolist(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise WrongType(
            f"The array has a column of mixed types ({error}).", remedy="Give it one type."
        ) from error


def _losses(values: object) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError) as error:
        raise WrongType(
            f"Losses are {type(values).__name__}.", remedy="Give numbers: 0 for right, 1 for wrong."
        ) from error
