"""What the inputs and answers of many predictions were like, in numbers that can be added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

MOST_LEVELS = 50
MOST_FIELDS = 1_000
_MASKED = "***"
_HASHED = "sha256:"


@dataclass
class FieldSummary:
    """Of one input, or of the predicted values.

    ``count`` values were there, ``missing`` were not. Of the numbers among them: how many, their sum, the sum
    of their squares, the smallest and the largest. Of texts and booleans: how many by ``levels``, of which
    the first MOST_LEVELS to come have a name; ``other`` counts all further ones, masked values, and what is
    neither number nor text.
    """

    count: int = 0
    missing: int = 0
    numbers: int = 0
    total: float = 0.0
    squares: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    levels: dict[str, int] = field(default_factory=dict)
    other: int = 0

    def add(self, values: Iterable[Any], rows: int) -> None:
        """``values`` of ``rows`` predictions; where a prediction has none it is missing."""
        present = [value for value in values if value is not None]
        self.count += len(present)
        self.missing += rows - len(present)
        kinds = set(map(type, present))
        if kinds <= {float, int}:
            self._add_numbers(present)
            return
        numbers = [value for value in present if type(value) in (float, int)]
        self._add_numbers(numbers)
        self._add_levels([value for value in present if type(value) not in (float, int)])

    def _add_numbers(self, values: list[Any]) -> None:
        try:
            array = np.array(values, dtype=np.float64)
        except OverflowError:  # a whole number beyond any float
            array = np.array([float(v) for v in values if abs(v) < 1e308], dtype=np.float64)
        array = array[np.isfinite(array)]
        self.other += len(values) - len(array)
        if not len(array):
            return
        self.numbers += len(array)
        with np.errstate(over="ignore", invalid="ignore"):
            self.total += float(array.sum())
            self.squares += float(np.square(array).sum())
        low, high = float(array.min()), float(array.max())
        self.minimum = low if self.minimum is None else min(low, self.minimum)
        self.maximum = high if self.maximum is None else max(high, self.maximum)

    def _add_levels(self, values: list[Any]) -> None:
        try:
            counted = Counter(values)
        except TypeError:  # lists and objects
            counted = Counter(map(_level, values))
        for value, many in counted.items():
            level = _level(value)
            if level in self.levels:
                self.levels[level] += many
            elif level is not None and len(self.levels) < MOST_LEVELS:
                self.levels[level] = many
            else:
                self.other += many

    def merge(self, other: FieldSummary) -> None:
        """Add what another summary has counted."""
        for name in ("count", "missing", "numbers", "total", "squares", "other"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, better in (("minimum", min), ("maximum", max)):
            found = [v for v in (getattr(self, name), getattr(other, name)) if v is not None]
            setattr(self, name, better(found) if found else None)
        for level, many in other.levels.items():
            if level in self.levels or len(self.levels) < MOST_LEVELS:
                self.levels[level] = self.levels.get(level, 0) + many
            else:
                self.other += many


def _level(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str) or value == _MASKED or value.startswith(_HASHED):
        return None
    return value[:100]


@dataclass
class ModelSummary:
    """Of the predictions of one model. ``predictions`` are labels by class, or the values of a regression."""

    rows: int = 0
    predictions: FieldSummary = field(default_factory=FieldSummary)
    fields: dict[str, FieldSummary] = field(default_factory=dict)

    def add(self, inputs: list[Mapping[str, Any]], predicted: list[Any]) -> None:
        rows = len(inputs)
        self.predictions.add(predicted, rows)
        columns = _columns(inputs)
        for name in columns:
            if name not in self.fields and len(self.fields) < MOST_FIELDS:
                self.fields[name] = FieldSummary(missing=self.rows)
        for name, summary in self.fields.items():
            summary.add(columns.get(name, ()), rows)
        self.rows += rows

    def merge(self, other: ModelSummary) -> None:
        """Add what another summary has counted."""
        self.predictions.merge(other.predictions)
        for name in other.fields:
            if name not in self.fields and len(self.fields) < MOST_FIELDS:
                self.fields[name] = FieldSummary(missing=self.rows)
        for name, mine in self.fields.items():
            mine.merge(other.fields.get(name) or FieldSummary(missing=other.rows))
        self.rows += other.rows


def _columns(rows: list[Mapping[str, Any]]) -> Mapping[str, Sequence[Any]]:
    """The values by name; of a name that some rows lack, fewer."""
    names = list(rows[0]) if rows else []
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        with suppress(KeyError):
            return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    columns: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    return columns
