"""How large a regression's error is to be expected, by its answer and, where given, the features of the row:
direct loss estimation. Absolute and squared errors are learnt from held-out rows by small boosted trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from everloop.core.errors import UnknownColumn, nearest

from .outcomes import Floats, codes_of, labels, numbers, taken
from .slicing import Cut, cut
from .trees import Bins, Forest, grow

ANSWER = ""  # the column of the model's own answers
_AT = np.arange(1, 32) / 32
_LEAST_SHARE = 0.05
_MOST_ROWS = 20_000


@dataclass(frozen=True)
class Binned:
    """How a column's values become bins; ``order`` sorts the levels of texts by how wrong the model was."""

    cut: Cut
    order: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        return (len(self.cut.edges) if self.cut.edges else len(self.cut.levels)) + 2  # the rest, and missing


@dataclass(frozen=True)
class ErrorModel:
    """Forests for absolute and squared errors. ``noise``: the variance of each around what is expected, over
    the mean square of that."""

    columns: Mapping[str, Binned]
    absolute: Forest
    squared: Forest
    noise: tuple[float, float]

    def expected(self, answers: Floats, features: Mapping[str, Any]) -> Floats:
        """(n, 2): absolute and squared error to expect. Raises UnknownColumn for a missing feature."""
        codes = _codes(self.columns, answers, features)
        found = np.column_stack([self.absolute(codes), self.squared(codes)])
        least = _LEAST_SHARE * np.array([self.absolute.mean, self.squared.mean])
        return np.asarray(np.maximum(found, least))


def learn(errors: Floats, answers: Floats, features: Mapping[str, Any]) -> ErrorModel:
    """From held-out errors (signed); of more than 20,000 rows every second, third … is looked at."""
    if len(errors) > _MOST_ROWS:
        rows = np.arange(0, len(errors), -(-len(errors) // _MOST_ROWS))
        features = {name: taken(values, rows) for name, values in features.items()}
        errors, answers = errors[rows], answers[rows]
    absolute = np.abs(errors)
    columns = {ANSWER: Binned(Cut(edges=_edges(answers)))}
    for name, values in features.items():
        how = cut(name, values)
        if how.edges:
            columns[name] = Binned(Cut(edges=_edges(numbers(values, f"values of '{name}'"))))
        else:
            columns[name] = _sorted(name, Binned(how), values, absolute)
    codes = _codes(columns, answers, features)
    sizes = np.array([each.size for each in columns.values()])
    forests = [grow(codes, sizes, target) for target in (absolute, absolute**2)]
    bare = ErrorModel(columns, forests[0], forests[1], (0.0, 0.0))
    expected = bare.expected(answers, features)
    around = ((np.column_stack([absolute, absolute**2]) - expected) ** 2).mean(axis=0)
    noise = around / np.maximum((expected**2).mean(axis=0), 1e-300)
    return ErrorModel(columns, forests[0], forests[1], (float(noise[0]), float(noise[1])))


def _sorted(name: str, binned: Binned, values: Any, absolute: Floats) -> Binned:
    at = _column(name, binned, values)
    sums = np.bincount(at, weights=absolute - absolute.mean(), minlength=binned.size)
    means = sums / np.maximum(np.bincount(at, minlength=binned.size), 1)
    return Binned(binned.cut, tuple(map(int, np.argsort(np.argsort(means, kind="stable")))))


def _edges(values: Floats) -> tuple[float, ...]:
    return tuple(map(float, np.unique(np.quantile(values[np.isfinite(values)], _AT))))


def _codes(columns: Mapping[str, Binned], answers: Floats, features: Mapping[str, Any]) -> Bins:
    found = np.empty((len(answers), len(columns)), dtype=np.int64)
    for j, (name, binned) in enumerate(columns.items()):
        if name != ANSWER and name not in features:
            raise UnknownColumn(
                f"The error model needs the feature '{name}', which is not given.",
                remedy=nearest(name, features),
            )
        found[:, j] = _column(name, binned, answers if name == ANSWER else features[name])
    return found


def _column(name: str, binned: Binned, values: Any) -> Bins:
    edges, levels = binned.cut.edges, binned.cut.levels
    if edges:
        known = numbers(values, f"values of '{name}'")
        return np.asarray(np.where(np.isnan(known), len(edges) + 1, np.searchsorted(edges, known)))
    texts = labels(values)
    codes = codes_of(texts, levels)
    absent = np.asarray([text is None for text in texts], dtype=bool)
    codes = np.where(absent, len(levels) + 1, np.where(codes < 0, len(levels), codes))
    return np.asarray(np.asarray(binned.order, dtype=np.int64)[codes] if binned.order else codes)
