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
EIGHTH = CHUNK // 8
LONG = 20_000  # rows
MOST = 16  # chunks, evenly spread
MOST_DECIMALS = 6
_NEAR = 1e-3  # of a step: numbers of 32 bits are not exact
_SURELY = 0.99  # of the values are written to so many decimals
_HOURS = 12  # of a day that a number has to take to be one of its hours
_PARTS = 8
_WANDERS = 0.5  # of the variance is that of the means of parts


@dataclass(frozen=True)
class FeatureTexture:
    """Of any chunk the most. ``run``: neighbours of one value; ``excess``: by how much the share of one
    value in a chunk exceeds its share of all rows. ``decimals`` to which values are written, None where they
    are not rounded. ``hours``: rows of each hour of the day, of a date that has hours, or a number that is
    one. ``whole``: all values are whole numbers; ``least``: the smallest distance from 0 of one that is not;
    ``steady``: its level does not wander, as that of a counter or of a rate of interest does; ``pair``: the
    only two values of a number."""

    run: int
    excess: float
    decimals: int | None = None
    hours: tuple[int, ...] = ()
    whole: bool = False
    least: float | None = None
    steady: bool = False
    pair: tuple[float, float] | None = None


@dataclass(frozen=True)
class Texture:
    """``duplicates``: the largest share of a chunk's rows that repeat an earlier row of it; ``shorter``: the
    same of its eighths; ``longer``: of the newest rows together, of which there are ``long``."""

    rows: int
    duplicates: float
    features: Mapping[str, FeatureTexture]
    shorter: float | None = None
    longer: float | None = None
    long: int = 0


def of(table: pa.Table, *, order: Sequence[Any] | None = None) -> Texture:
    """Of a table whose rows stand in the order of time, or are put so by ``order``."""
    if order is not None:
        keys = np.asarray(order)
        if (keys[1:] < keys[:-1]).any():
            table = table.take(np.argsort(keys, kind="stable"))
    rows = table.num_rows
    newest = table.slice(max(0, rows - LONG))
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
    eighths = [slice(start, start + EIGHTH) for start in range(0, table.num_rows, EIGHTH)]
    return Texture(
        rows,
        _most_repeated(codes, spans if table.num_rows else []),
        features,
        _most_repeated(codes, eighths),
        _most_repeated(_codes(newest), [slice(0, LONG)] if table.num_rows else []),
        newest.num_rows,
    )


def _codes(table: pa.Table) -> dict[str, Ints]:
    held = {name: read(table.column(name), kind_of(table.column(name))) for name in table.column_names}
    return {name: codes_of(each) for name, each in held.items() if each is not None}


def _most_repeated(codes: Mapping[str, Ints], spans: Sequence[slice]) -> float:
    return max((float(repeated(codes, span).mean()) for span in spans), default=0.0)


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


def hours_told(values: Floats) -> Ints:
    """The same of numbers that are hours of the day (0 to 23.99), or hours and minutes as 1730; empty where
    they are neither."""
    none, finite = np.zeros(0, dtype=np.int64), values[np.isfinite(values)]
    if not finite.size or finite.min() < 0 or finite.max() >= 2400:
        return none
    if finite.max() >= 24:
        if (finite != np.rint(finite)).any() or (finite % 100 >= 60).any():
            return none
        finite = finite // 100
    hours = np.bincount(finite.astype(np.int64), minlength=24)
    return hours if (hours > 0).sum() >= _HOURS else none


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
    values = held.values
    hours = tuple((hours_of(values) if kind == "date" else hours_told(values)).tolist())
    finite = values[np.isfinite(values)]
    away = np.abs(finite[finite != 0])
    return FeatureTexture(
        longest,
        excess,
        decimals_of(values),
        hours,
        whole=bool(finite.size) and bool((finite == np.rint(finite)).all()),
        least=float(away.min()) if away.size else None,
        steady=_steady(finite),
        pair=_pair(finite),
    )


def _pair(values: Floats) -> tuple[float, float] | None:
    each = np.unique(values)
    return (float(each[0]), float(each[1])) if each.size == 2 else None


def _steady(values: Floats) -> bool:
    if values.size < _PARTS or not np.ptp(values):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.array([part.mean() for part in np.array_split(values, _PARTS)])
        return bool(means.var() < _WANDERS * values.var())
