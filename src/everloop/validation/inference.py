"""A first contract, read off a reference version, for people to use as it is or to edit."""

from __future__ import annotations

from everloop.core.contracts import ColumnRule, Contract
from everloop.core.data import Column, ColumnStatistics, DatasetVersion

from .types import family

MAX_LEVELS = 50
ENOUGH_ROWS = 1000


def infer(version: DatasetVersion) -> Contract:
    """What data like ``version`` must be like.

    An *error* stops a turn, so it is kept for what an ordinary next week of real data does not do: a column
    that is gone, whose type changed family (numbers came as text), or that is grossly missing.

    - A column that missed nothing in 1,000 rows or more may miss 2%. Another may miss three times its share
      plus 15 points: 2% in January's flights give 21%, and the week of the blizzard has 15%. Where more than
      half is missing anyway, there is no limit.
    - Numbers may lie one whole range outside the range seen (a constant: its own size, at least 1), and a
      string column with at most 50 levels may only have these. Breaking this is a *warning*: worth a look,
      and what drift detection is for.
    - Left free: times (they go on), text with more levels, and columns that look like identifiers, that is
      text of which more than half and whole numbers of which more than 90% are different.
    """
    return Contract(
        columns=tuple(_rule(column, version.statistics.get(column.name)) for column in version.columns),
        origin=f"inferred:{version.version_id}",
    )


def _rule(column: Column, statistics: ColumnStatistics | None) -> ColumnRule:
    if statistics is None or not statistics.count:
        return ColumnRule(column.name, type=None if column.type == "null" else column.type)
    low, high = _bounds(column, statistics)
    return ColumnRule(
        column.name,
        type=column.type,
        max_missing=_max_missing(statistics),
        minimum=low,
        maximum=high,
        allowed=_allowed(column, statistics),
        severity="warning",
    )


def _max_missing(statistics: ColumnStatistics) -> float | None:
    rows = statistics.count + statistics.missing
    share = statistics.missing / rows
    if not statistics.missing and rows >= ENOUGH_ROWS:
        return 0.02
    if share > 0.5:
        return None
    return round(min(3 * share + 0.15, 0.95), 4)


def _bounds(column: Column, statistics: ColumnStatistics) -> tuple[float | None, float | None]:
    low, high = statistics.minimum, statistics.maximum
    if family(column.type) != "number" or low is None or high is None:
        return None, None
    whole = column.type.startswith(("int", "uint"))
    if whole and statistics.distinct > 0.9 * statistics.count:
        return None, None
    width = (high - low) or max(abs(high), 1.0)
    return _finite(low - width), _finite(high + width)


def _finite(bound: float) -> float | None:
    return bound if abs(bound) < float("inf") else None


def _allowed(column: Column, statistics: ColumnStatistics) -> tuple[str, ...] | None:
    listed = len(statistics.levels) == statistics.distinct
    if family(column.type) != "string" or not listed or statistics.distinct > MAX_LEVELS:
        return None
    if statistics.distinct > 0.5 * statistics.count:
        return None
    return tuple(sorted(statistics.levels))
