"""Slices of rows: by level of a column, or by quarter of a numeric one. Fixed with the baseline, so that a
window is cut as the reference was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.errors import Invalid, UnknownColumn, nearest

from .outcomes import Floats, codes_of, labels, numbers

MOST_LEVELS = 10
LEAST_ROWS = 50  # of a level, in the reference
OTHER = "(other)"
MISSING = "(missing)"


@dataclass(frozen=True)
class Cut:
    """How a column is cut: at numbers (``edges``, right ends included), or into ``levels`` and the rest."""

    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()


def cut(column: str, values: Any) -> Cut:
    """Quarters for numbers with more than 10 values, else the most frequent levels."""
    texts = labels(values)
    found, counts = np.unique(np.asarray([t for t in texts if t is not None], dtype=str), return_counts=True)
    if len(found) > MOST_LEVELS and _is_number(values):
        known = numbers(values, f"values of '{column}'")
        edges = np.unique(np.quantile(known[np.isfinite(known)], [0.25, 0.5, 0.75]))
        return Cut(edges=tuple(float(edge) for edge in edges))
    best = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    return Cut(levels=tuple(str(found[i]) for i in best if counts[i] >= LEAST_ROWS))


def members(cuts: Mapping[str, Cut], columns: Mapping[str, Any], rows: int) -> Iterator[tuple[str, Any]]:
    """Each slice's name and which rows are in it. Raises UnknownColumn, Invalid."""
    for column, how in cuts.items():
        if column not in columns:
            raise UnknownColumn(
                f"The slices need the column '{column}', which is not given.",
                remedy=nearest(column, columns),
            )
        values = columns[column]
        if len(values) != rows:
            raise Invalid(
                f"The slice column '{column}' has {len(values):,} values for {rows:,} rows.",
                remedy="Give one value for every row.",
            )
        yield from (_by_edges if how.edges else _by_levels)(column, how, values)


def _by_edges(column: str, how: Cut, values: Any) -> Iterator[tuple[str, Any]]:
    known: Floats = numbers(values, f"values of '{column}'")
    absent = np.isnan(known)
    at = np.where(absent, -1, np.searchsorted(how.edges, known))
    ends = [f"{edge:.4g}" for edge in how.edges]
    yield f"{column} <= {ends[0]}", at == 0
    for i in range(1, len(ends)):
        yield f"{ends[i - 1]} < {column} <= {ends[i]}", at == i
    yield f"{column} > {ends[-1]}", at == len(ends)
    if absent.any():
        yield f"{column} = {MISSING}", absent


def _by_levels(column: str, how: Cut, values: Any) -> Iterator[tuple[str, Any]]:
    texts = labels(values)
    codes = codes_of(texts, how.levels)
    absent = np.asarray([text is None for text in texts], dtype=bool)
    for code, level in enumerate(how.levels):
        yield f"{column} = {level}", codes == code
    for name, chosen in ((OTHER, (codes < 0) & ~absent), (MISSING, absent)):
        if chosen.any():
            yield f"{column} = {name}", chosen


def _is_number(values: Any) -> bool:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return bool(pa.types.is_integer(values.type) or pa.types.is_floating(values.type))
    return np.asarray(values).dtype.kind in "iuf"
