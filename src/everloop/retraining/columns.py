"""A table's columns as numbers that effects and means can be taken of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LEVELS = 8  # of a category that have a column of their own: the most frequent ones
MOST = 60  # columns

Floats = np.ndarray[Any, np.dtype[np.float64]]


def numbers(features: Mapping[str, Any]) -> list[tuple[str, Floats]]:
    """The name and the standardised numbers, (n,), of each column: numbers (NaN is missing), marks of missing
    ones, and marks of the levels of anything else. At most 60."""
    found: list[tuple[str, Floats]] = []
    for name, column in features.items():
        if np.issubdtype(column.dtype, np.number) or column.dtype == bool:
            values = column.astype(np.float64)
            lost = ~np.isfinite(values)
            if not lost.all():
                found.append((name, standard(np.where(lost, values[~lost].mean(), values))))
            if 0.01 < lost.mean() < 0.99:
                found.append((name, standard(lost.astype(np.float64))))
            continue
        texts, at = np.unique(column.astype(str), return_inverse=True)
        often = np.argsort(-np.bincount(at), kind="stable")[:LEVELS]
        found += [(name, standard((at == level).astype(np.float64))) for level in often[: len(texts) - 1]]
    return found[:MOST]


def standard(values: Floats) -> Floats:
    """Mean 0 and deviation 1, at most 4 away; what never varies is 0."""
    std = float(values.std())
    if std <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return np.zeros(len(values))
    return np.asarray(np.clip((values - values.mean()) / std, -4, 4))
