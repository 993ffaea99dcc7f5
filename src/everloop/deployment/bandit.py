"""Thompson sampling: arms get requests as often as they are probably the best, within fixed limits.

Thompson (1933, doi:10.1093/biomet/25.3-4.285). Two limits keep it honest: every arm keeps a floor, so that
it can come back when the world changes, and a share of the requests is split evenly and never adjusted
(arms whose names end in ``/fixed``). Only those arms are judged, as an adjusted split is no random sample
of all times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from everloop.core.errors import InvalidSettings
from everloop.core.releases import BUCKETS, FIXED, Arm, Release, Seen, Sums

from .buckets import apportion, lay_out
from .compared import find_measure
from .sequences import mean_error, together

DRAWS = 20_000
_TINY = 1e-6  # what floating point loses of a whole number
_FEWEST = 30  # units of an arm before its spread is known well enough


def start(versions: Mapping[str, str], floor: float, hold_out: float) -> tuple[Arm, ...]:
    """The arms at the beginning, adjusted and fixed ones, all alike; from the version of each name."""
    even = _weights(_even(versions), floor, hold_out)
    return lay_out({name: versions[name.removesuffix(FIXED)] for name in even}, even)


def weights(release: Release, seen: Sequence[Seen], seed: int) -> dict[str, int]:
    """Buckets of every arm, adjusted and fixed ones; they sum to all. Rows of both kinds tell of an arm.
    While one of them has few units the split stays even."""
    plan = release.plan
    outcomes: dict[str, Sums] = {}
    for each in seen:
        name = each.arm.removesuffix(FIXED)
        known = each.sums.get(plan.measures[0].name, Sums())
        outcomes[name] = together(outcomes[name], known) if name in outcomes else known
    if any(sums.units < _FEWEST for sums in outcomes.values()):
        best = _even(outcomes)
    else:
        best = probably_best(outcomes, plan.measures[0].name, np.random.default_rng(seed))
    return _weights(best, plan.floor, plan.hold_out)


def probably_best(outcomes: Mapping[str, Sums], measure: str, rng: np.random.Generator) -> dict[str, float]:
    """The probability of each arm to be the best, given what is known of it."""
    what = find_measure(measure)
    if what.sign == 0:
        raise InvalidSettings(
            f"No {what.words} is better than another: a split cannot be adjusted to it.",
            remedy="Put a measure with a direction first, such as accuracy or net_value.",
        )
    drawn = np.stack([what.sign * _draws(sums, what.name, rng) for sums in outcomes.values()])
    wins = np.bincount(drawn.argmax(axis=0), minlength=len(outcomes))
    return dict(zip(outcomes, (wins / DRAWS).tolist(), strict=True))


def _even(names: Iterable[str]) -> dict[str, float]:
    names = tuple(names)
    return {name: 1 / len(names) for name in names}


def _weights(best: Mapping[str, float], floor: float, hold_out: float) -> dict[str, int]:
    """The floor of each, and what is left as they are probably the best; the hold-out in equal parts."""
    least, fixed = math.ceil(floor * BUCKETS - _TINY), int(hold_out * BUCKETS / max(len(best), 1) + _TINY)
    free = BUCKETS - len(best) * (least + fixed)
    if len(best) < 2 or least < 1 or fixed < 1 or free < 0:
        raise InvalidSettings(
            f"{len(best)} arms cannot share all requests with a floor of {floor:g} each and a hold-out of "
            f"{hold_out:g}.",
            remedy="Give two arms or more, a floor and a hold-out above 0, and leave something to adjust.",
        )
    adjusted = {name: least + extra for name, extra in apportion(best, free).items()}
    return adjusted | {f"{name}{FIXED}": fixed for name in best}


def _draws(sums: Sums, measure: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Of the mean: Beta where a row is right or wrong (each unit counts as one toss, the prior is uniform),
    else normal."""
    if measure == "accuracy":
        rate = sums.total / sums.rows
        return rng.beta(1 + sums.units * rate, 1 + sums.units * (1 - rate), DRAWS)
    mean, error = mean_error(sums)
    return rng.normal(float(mean), float(error), DRAWS)
