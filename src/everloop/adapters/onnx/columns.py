"""What a preparation makes of the inputs, column by column, while it is not yet part of a graph.

As long as a column depends on one input only, trees can take their thresholds back to the input itself, so
that no scaling or coding is left to compute (``trees``). ``tensor`` writes what is left into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from .graph import Graph, NotCompilable

Steps = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Number:
    """Input ``source`` after ``steps``: (``sub``, ``div``, ``mul``, ``add`` or ``fill``, value) or (``clip``,
    (low, high)). All of them rise with the input. ``of``: as in ``Table``."""

    source: int
    steps: Steps = ()
    of: Literal["code", "boolean", "number"] = "number"

    def then(self, step: str, value: Any) -> Number:
        return replace(self, steps=(*self.steps, (step, value)))

    def at(self, values: np.ndarray) -> np.ndarray:
        """What the column is for these values of the input."""
        with np.errstate(over="ignore", invalid="ignore"):
            for step, value in self.steps:
                values = _STEPS[step](values, value)
        return values


_STEPS: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "sub": lambda x, value: x - value,
    "div": lambda x, value: x / value,
    "mul": lambda x, value: x * value,
    "add": lambda x, value: x + value,
    "fill": lambda x, value: np.where(np.isnan(x), value, x),
    "clip": lambda x, value: np.clip(x, *value),
}


@dataclass(frozen=True)
class Table:
    """Input ``source`` looked up: ``values`` at its ``codes``, ``other`` elsewhere, ``missing`` at NaN.
    ``of`` says which come: ``text``: codes as ``Text`` has them; ``code``: any, but never NaN;
    ``boolean``: 0, 1 and NaN."""

    source: int
    codes: tuple[float, ...]
    values: tuple[float, ...]
    other: float = 0.0
    missing: float = 0.0
    of: Literal["text", "code", "boolean", "number"] = "number"

    def mapped(self, column: Number) -> Table:
        """The same input after the steps of ``column``, too."""
        every = column.at(np.array([*self.values, self.other, self.missing], dtype=np.float64))
        values = tuple(float(each) for each in every)
        return replace(self, values=values[:-2], other=values[-2], missing=values[-1])


@dataclass(frozen=True)
class Text:
    """An input of texts, which arrive as codes: 1 for missing, 2, 3 … for the known
    ones, 0 for the others.
    A missing one is ``fill``, if that is not None."""

    source: int
    fill: str | None = None


@dataclass(frozen=True)
class Made:
    """Column ``position`` of a tensor (rows, ``width``) in the graph."""

    tensor: str
    position: int
    width: int


ABSENT = 1.0
MISSING = "(missing)"

Column = Number | Table | Text | Made


def made(tensor: str, width: int) -> list[Column]:
    return [Made(tensor, position, width) for position in range(width)]


def stepped(columns: Sequence[Column], step: str, values: Sequence[Any]) -> list[Column]:
    """Each column after one more step, with its own value."""
    return [_stepped(column, step, value) for column, value in zip(columns, values, strict=True)]


def _stepped(column: Column, step: str, value: Any) -> Column:
    if isinstance(column, Number):
        return column.then(step, value)
    if isinstance(column, Table):
        return column.mapped(Number(column.source).then(step, value))
    raise NotCompilable(f"a step '{step}' on {'texts' if isinstance(column, Text) else 'computed columns'}")


def simple(columns: Sequence[Column]) -> bool:
    """Whether each depends on one input only."""
    return all(isinstance(column, (Number, Table)) for column in columns)


def tensor(graph: Graph, inputs: str, width: int, columns: Sequence[Column]) -> str:
    """The columns as a float64 tensor (rows, columns), from the ``inputs`` (rows, width)."""
    parts = []
    for shape, run in groupby(columns, key=_shape):
        group = list(run)
        if shape[0] == "number":
            parts.append(_numbers(graph, inputs, width, group))
        elif shape[0] == "table":
            parts.append(_tables(graph, inputs, group))
        elif shape[0] == "made":
            positions = [each.position for each in group if isinstance(each, Made)]
            parts.append(_picked(graph, shape[1], positions, shape[2]))
        else:
            raise NotCompilable("texts that no encoder turns into numbers")
    if not parts:
        raise NotCompilable("a model of no columns")
    return graph.matrix(parts)


def _shape(column: Column) -> tuple[Any, ...]:
    if isinstance(column, Number):
        return ("number", *(step for step, _ in column.steps))
    if isinstance(column, Made):
        return ("made", column.tensor, column.width)
    return ("table",) if isinstance(column, Table) else ("text",)


def _picked(graph: Graph, values: str, positions: Sequence[int], width: int) -> str:
    if list(positions) == list(range(width)):
        return values
    return graph.add("Gather", values, graph.constant(positions, np.int64), axis=1)


def _numbers(graph: Graph, inputs: str, width: int, group: Sequence[Any]) -> str:
    value = _picked(graph, inputs, [each.source for each in group], width)
    for number, (step, _) in enumerate(group[0].steps):
        constants = [each.steps[number][1] for each in group]
        if step == "fill":
            value = graph.add("Where", graph.add("IsNaN", value), graph.constant([constants]), value)
        elif step == "clip":
            lows, highs = (graph.constant([list(ends)]) for ends in zip(*constants, strict=True))
            value = graph.add("Min", graph.add("Max", value, lows), highs)
        else:
            value = graph.add(step.capitalize(), value, graph.constant([constants]))
    return value


def hits(group: Sequence[Table]) -> tuple[list[int], list[float], np.ndarray, np.ndarray]:
    """One column per input and code that matters (NaN: missing): inputs, codes, what a hit adds to each table
    (hits, tables), and what they are without (tables,)."""
    places: dict[tuple[int, str], int] = {}
    entries: list[tuple[int, int, float]] = []
    for at, table in enumerate(group):
        values = [*zip(table.codes, table.values, strict=True), (np.nan, table.missing)]
        if not np.isfinite([table.other, *(value for _, value in values)]).all():
            raise NotCompilable("an encoder that gives missing values")
        for code, value in values:
            if value != table.other:
                place = places.setdefault((table.source, repr(float(code))), len(places))
                entries.append((place, at, value - table.other))
    adds = np.zeros((len(places), len(group)))
    for place, at, value in entries:
        adds[place, at] = value
    wanted = [source for source, _ in places]
    return wanted, [float(code) for _, code in places], adds, np.array([table.other for table in group])


def hit(graph: Graph, inputs: str, sources: Sequence[int], codes: Sequence[float]) -> str:
    """1 where an input has its code, else 0; (rows, codes)."""
    values = graph.add("Gather", inputs, graph.constant(sources, np.int64), axis=1)
    absent = np.isnan(codes)
    if absent.any():  # NaN is equal to nothing
        spare = graph.constant(np.inf)  # beyond all that is encoded
        values = graph.add("Where", graph.add("IsNaN", values), spare, values)
        codes = [float(each) for each in np.where(absent, np.inf, codes)]
    return graph.add("Cast", graph.add("Equal", values, graph.constant([codes])), to=11)


def _tables(graph: Graph, inputs: str, group: Sequence[Any]) -> str:
    sources, codes, adds, other = hits(group)
    if not sources:
        zero = graph.add("Gather", inputs, graph.constant([0] * len(group), np.int64), axis=1)
        return graph.add("Where", graph.add("IsNaN", zero), graph.constant([other]), graph.constant([other]))
    found = hit(graph, inputs, sources, codes)
    if adds.shape[0] == adds.shape[1] and np.array_equal(adds, np.eye(len(adds))):
        return found if not other.any() else graph.add("Add", found, graph.constant([other]))
    return graph.add("Gemm", found, graph.constant(adds), graph.constant(other))
