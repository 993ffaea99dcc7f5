"""Drift's first form: how far each feature moved between two sets of column statistics."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

from everloop.core.data import ColumnStatistics
from everloop.core.decisions import Drift
from everloop.core.errors import UnknownColumn, WrongType, nearest


def mean_shift(
    reference: Mapping[str, ColumnStatistics],
    current: Mapping[str, ColumnStatistics],
    features: Sequence[str],
    *,
    min_samples: int = 50,
) -> Drift:
    """How far ``features`` moved from ``reference`` to ``current``; ``score`` is the largest move.

    Three kinds of entries in ``shifts``, all without unit and never negative:

    - numbers and booleans, by name: ``|mean_cur - mean_ref| / max(|mean_ref|, std_ref)``. This is the
      relative mean shift (0.2: the mean moved by a fifth) except where the standard deviation is larger than
      the mean: there it counts standard deviations, so that a feature whose mean lies near zero does not
      explode.
      A reference that is zero throughout is measured on the scale of the current values: at most 1.
    - strings, by name: total variation distance of the shares of the levels, 0 (same) to 1 (nothing in
      common), less what chance alone makes of it at these row counts. Levels that only one side lists,
      because statistics hold no more than the 100 most frequent, are taken together.
    - ``"<feature> (missing)"``, where values are missing: change of the missing share, 0 to 1.

    A limit on the relative mean shift, such as 0.2, is meant for the first kind. The others lie in 0 to 1,
    where 0.2 means that a fifth of the rows changed level. ``enough`` is False when ``current`` has fewer
    than ``min_samples`` rows: then the numbers are there to look at, and no drift is claimed.

    Raises UnknownColumn for a feature without statistics, WrongType for one that turned from text to numbers
    or back.
    """
    shifts: dict[str, float] = {}
    for name in features:
        before, after = _of(name, reference, "reference"), _of(name, current, "current")
        shift = _shift(name, before, after)
        if shift is not None:
            shifts[name] = shift
        if before.missing or after.missing:
            shifts[f"{name} (missing)"] = abs(_missing_share(after) - _missing_share(before))
    rows = max((_rows(s) for s in current.values()), default=0)
    feature = max(shifts, key=lambda name: shifts[name], default=None)
    return Drift(
        score=shifts[feature] if feature is not None else 0.0,
        feature=feature,
        shifts=shifts,
        rows=rows,
        enough=rows >= min_samples,
    )


def _of(name: str, statistics: Mapping[str, ColumnStatistics], side: str) -> ColumnStatistics:
    if name not in statistics:
        raise UnknownColumn(
            f"The {side} data has no column '{name}', so its drift cannot be measured.",
            remedy=nearest(name, statistics),
        )
    return statistics[name]


def _shift(name: str, before: ColumnStatistics, after: ColumnStatistics) -> float | None:
    if not before.count or not after.count:
        return None
    if before.mean is not None and after.mean is not None:
        return _relative_shift(before, after)
    if before.levels and after.levels:
        return _level_shift(before, after)
    was_text, is_number = before.mean is None and before.levels, after.mean is not None
    was_number, is_text = before.mean is not None, after.mean is None and after.levels
    if (was_text and is_number) or (was_number and is_text):
        was, now = ("text", "numbers") if was_text else ("numbers", "text")
        raise WrongType(
            f"'{name}' was {was} in the reference data and is {now} now; the two cannot be compared.",
            remedy="Correct the data, or make a new reference.",
        )
    return None


def _relative_shift(before: ColumnStatistics, after: ColumnStatistics) -> float:
    was, now = before.mean or 0.0, after.mean or 0.0
    if was == now:
        return 0.0
    scale = max(abs(was), before.std or 0.0) or max(abs(now), after.std or 0.0)
    shift = abs(now / scale - was / scale)
    return shift if math.isfinite(shift) else sys.float_info.max


def _level_shift(before: ColumnStatistics, after: ColumnStatistics) -> float:
    """Distance and the distance that chance is expected to make (mean absolute deviation of normal shares)
    add up as squares, so the noise is taken off as squares."""
    was, now = _shares(before, after), _shares(after, before)
    distance = noise = 0.0
    per_row = 1 / before.count + 1 / after.count
    for level in was.keys() | now.keys():
        p, q = was.get(level, 0.0), now.get(level, 0.0)
        pooled = (p * before.count + q * after.count) / (before.count + after.count)
        distance += abs(p - q) / 2
        noise += math.sqrt(2 / math.pi * pooled * (1 - pooled) * per_row) / 2
    return math.sqrt(max(0.0, distance**2 - noise**2))


def _shares(statistics: ColumnStatistics, other: ColumnStatistics) -> dict[str | None, float]:
    """Share of each level that both sides can know; the rest under None."""
    other_is_complete = sum(other.levels.values()) >= other.count
    shares: dict[str | None, float] = {
        level: rows / statistics.count
        for level, rows in statistics.levels.items()
        if other_is_complete or level in other.levels
    }
    rest = 1 - sum(shares.values())
    if rest > 1e-12:
        shares[None] = rest
    return shares


def _rows(statistics: ColumnStatistics) -> int:
    return statistics.count + statistics.missing


def _missing_share(statistics: ColumnStatistics) -> float:
    return statistics.missing / _rows(statistics) if _rows(statistics) else 0.0
