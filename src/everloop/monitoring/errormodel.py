"""How large a regression's error is to be expected, by its answer and, where given, the features of the row.

Absolute and squared errors are learnt from held-out rows by an additive model over tenths of each column, by
ridge regression: the idea of direct loss estimation, without a second boosted model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from everloop.core.errors import UnknownColumn, nearest

from .outcomes import Codes, Floats, codes_of, labels, numbers
from .slicing import Cut, cut

ANSWER = ""  # the column of the model's own answers
_TENTHS = np.arange(1, 10) / 10
_FINER = np.arange(1, 30) / 30
_RIDGE = 10.0
_BLOCK = 8192
_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Part:
    """One column's bins, and what each adds to the absolute and the squared error."""

    column: str
    cut: Cut
    absolute: tuple[float, ...]
    squared: tuple[float, ...]


@dataclass(frozen=True)
class ErrorModel:
    """``mean``: of absolute and squared errors; ``noise``: their variance around what is expected, over the
    mean square of that."""

    mean: tuple[float, float]
    noise: tuple[float, float]
    parts: tuple[Part, ...]

    def expected(self, answers: Floats, features: Mapping[str, Any]) -> Floats:
        """(n, 2): absolute and squared error to expect."""
        found = np.tile(np.asarray(self.mean), (len(answers), 1))
        for part in self.parts:
            codes = _codes(part.column, part.cut, answers, features)
            found += np.column_stack([part.absolute, part.squared])[codes]
        return np.asarray(np.maximum(found, _LEAST_SHARE * np.asarray(self.mean)))


def learn(errors: Floats, answers: Floats, features: Mapping[str, Any]) -> ErrorModel:
    """From held-out errors (signed)."""
    cuts = {ANSWER: Cut(edges=_edges(answers, _FINER)), **{n: _cut(n, v) for n, v in features.items()}}
    codes = [_codes(name, how, answers, features) for name, how in cuts.items()]
    sizes = [_size(how) for how in cuts.values()]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    targets = np.column_stack([np.abs(errors), errors**2])
    mean = targets.mean(axis=0)
    width = int(starts[-1])
    square, cross = np.zeros((width, width)), np.zeros((width, 2))
    for first in range(0, len(errors), _BLOCK):
        rows = slice(first, first + _BLOCK)
        design = np.zeros((len(targets[rows]), width))
        for start, code in zip(starts, codes, strict=False):
            design[np.arange(len(design)), start + code[rows]] = 1.0
        square += design.T @ design
        cross += design.T @ (targets[rows] - mean)
    weights = np.linalg.solve(square + _RIDGE * np.eye(width), cross)
    parts = tuple(
        Part(name, how, *(tuple(map(float, weights[start : start + size, i])) for i in range(2)))
        for (name, how), start, size in zip(cuts.items(), starts, sizes, strict=False)
    )
    bare = ErrorModel((float(mean[0]), float(mean[1])), (0.0, 0.0), parts)
    expected = bare.expected(answers, features)
    noise = ((targets - expected) ** 2).mean(axis=0) / np.maximum((expected**2).mean(axis=0), 1e-300)
    return ErrorModel(bare.mean, (float(noise[0]), float(noise[1])), parts)


def _cut(column: str, values: Any) -> Cut:
    how = cut(column, values)
    if not how.edges:
        return how
    return Cut(edges=_edges(numbers(values, f"values of '{column}'"), _TENTHS))


def _edges(values: Floats, at: Floats) -> tuple[float, ...]:
    return tuple(map(float, np.unique(np.quantile(values[np.isfinite(values)], at))))


def _size(how: Cut) -> int:
    return (len(how.edges) if how.edges else len(how.levels)) + 2  # the rest, and missing


def _codes(column: str, how: Cut, answers: Floats, features: Mapping[str, Any]) -> Codes:
    if column != ANSWER and column not in features:
        raise UnknownColumn(
            f"The error model needs the feature '{column}', which is not given.",
            remedy=nearest(column, features),
        )
    values = answers if column == ANSWER else features[column]
    if how.edges:
        known = numbers(values, f"values of '{column}'")
        return np.where(np.isnan(known), len(how.edges) + 1, np.searchsorted(how.edges, known))
    texts = labels(values)
    codes = codes_of(texts, how.levels)
    absent = np.asarray([text is None for text in texts], dtype=bool)
    return np.where(absent, len(how.levels) + 1, np.where(codes < 0, len(how.levels), codes))
