"""Which rows a training takes, and how much each counts: choices that are tried, not assumed.

- ``all``: every row alike.
- ``recent``: the rows of the newest quarter of the time that the rows span.
- ``weighted``: every row, counting half as much with each quarter of that time that it is older.
- ``seasonal``: rows of the same phase of the season (a year, unless told) count in full, those of the
  opposite phase a tenth.

``weights`` turns a choice into row weights; ``chosen`` says from losses on later rows which one to take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from everloop.core.errors import Invalid, nearest

ALL = "all"
CHOICES = (ALL, "recent", "weighted", "seasonal")
YEAR = 365.2425 * 86_400.0
SHARE = 0.25  # of the time that the rows span: the reach of "recent", the half-life of "weighted"
WIDTH = 1 / 12  # of a season: how far from the phase of now a row still counts much (a standard deviation)
FLOOR = 0.1  # what a row of another phase counts, so that no level of a feature is forgotten
LEAST = 1_000  # rows that "recent" takes at least, however far back they reach

Floats = np.ndarray[Any, np.dtype[np.float64]]


def weights(
    choice: str,
    times: Any,
    now: float,
    *,
    span: float | None = None,
    season: float = YEAR,
    least: int = LEAST,
) -> Floats:
    """The weight of each row, (n,), in [0, 1]; 0 leaves the row out.

    ``times`` (n,) and ``now`` are seconds since the epoch; rows after ``now`` get 0. ``span`` in seconds is
    the reach of ``recent`` and the half-life of ``weighted``: a quarter of the time from the oldest row to
    ``now`` unless told. ``season`` in seconds. Raises Invalid for an unknown choice, times that are missing,
    a span or season that is not positive, and when no row is left.
    """
    ages = _ages(choice, times, now)
    known = ages >= 0
    if not known.any():
        raise Invalid(
            f"None of {len(ages)} rows is from before {now:.0f} s.", remedy="Check the column of times."
        )
    reach = SHARE * float(ages[known].max()) if span is None else span
    if not season > 0 or (span is not None and not span > 0):
        raise Invalid(f"A span of {span} s and a season of {season} s are not possible.", remedy="Give > 0.")
    if choice == ALL or reach == 0:
        return known.astype(np.float64)
    if choice == "recent":
        enough = np.sort(ages[known])[min(least, int(known.sum())) - 1]
        return np.asarray(known & (ages <= max(reach, enough)), dtype=np.float64)
    if choice == "weighted":
        return np.asarray(np.where(known, 0.5 ** (np.maximum(ages, 0) / reach), 0.0))
    away = np.abs((ages + season / 2) % season - season / 2) / season
    return np.asarray(np.where(known, FLOOR + (1 - FLOOR) * np.exp(-0.5 * (away / WIDTH) ** 2), 0.0))


def possible(times: Any, now: float, *, season: float = YEAR) -> tuple[str, ...]:
    """The choices that make sense for rows of these times: ``seasonal`` needs more than one season, and rows
    of one time are all alike."""
    ages = _ages(ALL, times, now)
    span = float(ages.max()) if len(ages) else 0.0
    if span <= 0:
        return (ALL,)
    return CHOICES if span > season else CHOICES[:-1]


def chosen(losses: Mapping[str, Sequence[float]], *, errors: float = 1.0) -> str:
    """The choice to train with, from the losses of each on the same later rows or blocks of rows.

    ``losses`` maps choice to (n,) losses, the n alike for all. The one with the smallest mean, unless ``all``
    is within ``errors`` standard errors of it (of the paired differences): then ``all``, which forgets
    nothing (the one-standard-error rule, Breiman et al. 1984). With one value each the smallest one wins.
    Raises Invalid when nothing was tried, or not on the same rows.
    """
    tried = {name: np.asarray(values, dtype=np.float64) for name, values in losses.items()}
    sizes = {len(values) for values in tried.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise Invalid(
            f"The choices have {sorted(sizes) or 'no'} losses.", remedy="Judge all of them on the same rows."
        )
    best = min(tried, key=lambda name: (float(tried[name].mean()), name != ALL))
    if ALL not in tried or best == ALL:
        return best
    gains = tried[ALL] - tried[best]
    if len(gains) < 2:
        return best
    error = float(gains.std(ddof=1)) / np.sqrt(len(gains))
    return ALL if float(gains.mean()) <= errors * error else best


def _ages(choice: str, times: Any, now: float) -> Floats:
    if choice not in CHOICES:
        raise Invalid(f"There is no choice of rows '{choice}'.", remedy=nearest(choice, CHOICES))
    values = np.asarray(times, dtype=np.float64)
    if not np.isfinite(values).all():
        raise Invalid(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} rows have no time.",
            remedy="Fill the times in or leave those rows out.",
        )
    return np.asarray(now - values)
