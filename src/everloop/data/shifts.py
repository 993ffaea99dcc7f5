"""By how much the statistics of a column moved."""

from __future__ import annotations

import math
from collections.abc import Mapping

from everloop.core.data import ColumnChange, ColumnStatistics

_MOST = 10.0


def changes(
    before: Mapping[str, ColumnStatistics], after: Mapping[str, ColumnStatistics]
) -> tuple[ColumnChange, ...]:
    """The columns whose statistics are not the same, what moved most first; then what came and what went."""
    moved = [
        _change(name, before[name], now)
        for name, now in after.items()
        if name in before and before[name] != now
    ]
    came = [ColumnChange(name, None, now) for name, now in after.items() if name not in before]
    went = [ColumnChange(name, then, None) for name, then in before.items() if name not in after]
    return (*sorted(moved, key=lambda change: -change.shift), *came, *went)


def _change(name: str, before: ColumnStatistics, after: ColumnStatistics) -> ColumnChange:
    found = {**_of_numbers(before, after), "missing": abs(_gaps(after) - _gaps(before))}
    if before.levels and after.levels:
        found["levels"] = _of_levels(before, after)
    shifts = {kind: round(value, 6) for kind, value in found.items() if value}
    return ColumnChange(name, before, after, max(shifts.values(), default=0.0), shifts)


def _of_numbers(before: ColumnStatistics, after: ColumnStatistics) -> dict[str, float]:
    if before.mean is None or after.mean is None:
        return {}
    scale = before.std or after.std or 0.0
    same = [name for name in before.quantiles if name in after.quantiles]
    furthest = max((abs(after.quantiles[q] - before.quantiles[q]) for q in same), default=0.0)
    spread = abs((after.std or 0.0) - (before.std or 0.0))
    found = {"mean": abs(after.mean - before.mean), "quantiles": furthest, "std": spread}
    return {kind: _in_units(value, scale) for kind, value in found.items()}


def _in_units(value: float, scale: float) -> float:
    """``value`` in units of ``scale``, at most 10; a constant that became another one moved by that."""
    if not value:
        return 0.0
    if not scale or not math.isfinite(value):
        return _MOST
    return min(value / scale, _MOST)


def _gaps(statistics: ColumnStatistics) -> float:
    return statistics.missing / max(statistics.count + statistics.missing, 1)


def _of_levels(before: ColumnStatistics, after: ColumnStatistics) -> float:
    """The share of rows that would have to change their level (total variation distance); all levels beyond
    the most frequent ones count as one."""
    one, other = _shares(before), _shares(after)
    names = {*one, *other}
    left = abs(sum(one.values()) - sum(other.values()))
    return (sum(abs(one.get(n, 0.0) - other.get(n, 0.0)) for n in names) + left) / 2


def _shares(statistics: ColumnStatistics) -> dict[str, float]:
    return {name: count / max(statistics.count, 1) for name, count in statistics.levels.items()}
