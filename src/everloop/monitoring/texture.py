"""What usual rows are like beyond how their values are distributed: how often whole rows and single values
repeat, how long a value stays, to how many decimals it is written. A fault of a feed shows there.

All of it is read off chunks of neighbouring rows, so that a window of another size can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .columns import Coded, Floats, Ints, Kind, Numbers, kind_of, read

CHUNK = 2_000  # rows
MOST = 16  # chunks, evenly spread
MOST_DECIMALS = 6
_NEAR = 1e-3  # of a step: numbers of 32 bits are not exact
_SURELY = 0.99  # of the values are written to so many decimals


@dataclass(frozen=True)
class FeatureTexture:
    """Of any chunk the most. ``run``: neighbours of one value; ``excess``: by how much the share of one
    value in a chunk exceeds its share of all rows. ``decimals`` to which values are written, None where they
    are not rounded. ``hours``: rows of each hour of the day, of a date that has hours."""

    run: int
    excess: float
    decimals: int | None = None
    hours: tuple[int, ...] = ()


@dataclass(frozen=True)
class Texture:
    """``duplicates``: the largest share of a chunk's rows that repeat an earlier row of it."""

    rows: int
    duplicates: float
    features: Mapping[str, FeatureTexture]


def of(table: pa.Table, *, order: Sequence[Any] | None = None) -> Texture:
    """Of a table whose rows stand in the order of time, or are put so by ``order``."""
    if order is not None:
        keys = np.asarray(order)
        if (keys[1:] < keys[:-1]).any():
            table = table.take(np.argsort(keys, kind="stable"))
    rows = table.num_rows
    taken = _chunks(rows)
    if len(taken) > 1:
        table = pa.concat_tables([table.slice(start, CHUNK) for start in taken])
    spans = [slice(start, start + CHUNK) for start in range(0, max(table.num_rows, 1), CHUNK)]
    codes, features = {}, {}
    for name in table.column_names:
        column = table.column(name)
        kind = kind_of(column)
        held = read(column, kind)
        if held is not None:
            codes[name] = codes_of(held)
            features[name] = _feature(codes[name], held, spans, kind)
    repeats = [repeated(codes, span).mean() for span in spans] if table.num_rows else []
    return Texture(rows, max(map(float, repeats), default=0.0), features)


def codes_of(held: Numbers | Coded) -> Ints:
    """The same whole number for the same value, -1 where it is missing."""
    if isinstance(held, Coded):
        return held.codes
    _, codes = np.unique(held.values, return_inverse=True)
    return np.where(np.isnan(held.values), -1, codes)


def repeated(codes: Mapping[str, Ints], span: slice) -> Any:
    """Which rows are the same in every column as an earlier one."""
    rows = next((column[span].size for column in codes.values()), 0)
    same = np.zeros(rows, dtype=np.int64)
    for column in codes.values():
        pair = same * (int(column[span].max(initial=0)) + 2) + column[span] + 1
        _, same = np.unique(pair, return_inverse=True)
    _, first = np.unique(same, return_index=True)
    again = np.ones(rows, dtype=bool)
    again[first] = False
    return again


def runs(codes: Ints) -> tuple[Ints, Ints]:
    """Where runs of one value begin, and how long they are; missing values are in none."""
    if not codes.size:
        return codes, codes
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    lengths = np.diff(starts, append=codes.size)
    there = codes[starts] >= 0
    return starts[there], lengths[there]


def decimals_of(values: Floats, near: float = _NEAR) -> int | None:
    """The fewest decimals that 99 % of the values are written to; None where they take more than six."""
    finite = values[np.isfinite(values)]
    if not finite.size or np.abs(finite).max() > 1e9:
        return None
    for places in range(MOST_DECIMALS + 1):
        steps = finite * 10.0**places
        if (np.abs(steps - np.rint(steps)) < near).mean() >= _SURELY:
            return places
    return None


def hours_of(values: Floats) -> Ints:
    """Rows of each hour of the day (UTC); empty where the dates have no hours."""
    finite = values[np.isfinite(values)]
    if not finite.size or not (finite % 86_400).any():
        return np.zeros(0, dtype=np.int64)
    return np.bincount((finite % 86_400 // 3_600).astype(np.int64), minlength=24)


def _chunks(rows: int) -> list[int]:
    """Where they begin."""
    if rows <= CHUNK:
        return [0]
    return [int(start) for start in np.linspace(0, rows - CHUNK, min(MOST, rows // CHUNK))]


def _feature(codes: Ints, held: Numbers | Coded, spans: Sequence[slice], kind: Kind) -> FeatureTexture:
    overall = np.bincount(codes[codes >= 0], minlength=1) / max(int((codes >= 0).sum()), 1)
    longest, excess = 0, 0.0
    for span in spans:
        chunk = codes[span]
        longest = max(longest, int(runs(chunk)[1].max(initial=0)))
        here, counts = np.unique(chunk[chunk >= 0], return_counts=True)
        if here.size:
            excess = max(excess, float((counts / counts.sum() - overall[here]).max()))
    if isinstance(held, Coded):
        return FeatureTexture(longest, excess)
    hours = tuple(hours_of(held.values).tolist()) if kind == "date" else ()
    return FeatureTexture(longest, excess, decimals_of(held.values), hours)
