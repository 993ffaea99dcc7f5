"""What a plan can find, and by when, in numbers.

At a time t the estimate is normal about the true difference with its standard error s, and a bound lies
``reach`` standard errors off (see sequences.py). So a difference d is found by t with a probability of at
least Phi(d/s - reach): looking earlier too can only add to that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from everloop.core.releases import CONTROL, FIXED, Arm, Measure, Plan, Strategy, Sums

from . import events
from .compared import Compared, find_measure
from .levels import Levels, share
from .schedule import Schedule, complete, plan_ahead
from .sequences import Estimate, between, within

Floats = NDArray[np.float64]
GRADUAL: tuple[Strategy, ...] = ("canary", "ab", "shadow")
WORST = 0.5  # the largest standard deviation of what lies between 0 and 1
_TIMES = 500
USUAL = 0.01  # the control's rate of events that words assume


@dataclass(frozen=True)
class Expected:
    """Of one measure, each with the plan's power. ``harm_found``: seconds until a harm as large as the
    margin is found. ``proven``: seconds until a candidate that is equal (goal ``better``: better by the
    margin) is promoted. ``smallest``: the smallest harm that is found by ``longest``, unless it
    is promoted before, being within the margin. ``widths``: half of the interval's width after so many
    seconds."""

    measure: str
    deviation: float
    harm_found: float | None
    proven: float | None
    smallest: float
    widths: tuple[tuple[float, float], ...]


def expect(
    plan: Plan,
    strategy: Strategy,
    arms: Sequence[Arm] = (),
    deviations: Mapping[str, float] | None = None,
) -> tuple[Expected, ...]:
    """``deviations``: the standard deviation of a unit's value (of a shadow's difference), by measure. One
    that lies between 0 and 1 needs none: the worst is taken. Others without one are left out."""
    if strategy not in GRADUAL:
        return ()
    schedule = plan_ahead(plan, strategy, arms)
    levels = share(plan, compared_arms(plan, strategy, arms), strategy == "ab")
    known = deviations or {}
    out = []
    for position, measure in enumerate(plan.measures):
        what = find_measure(measure.name)
        deviation = known.get(measure.name, WORST if what.bounded else None)
        if deviation is not None:
            first = strategy == "ab" and position == 0
            out.append(_expect(plan, schedule, levels, measure, what, deviation, first))
    return tuple(out)


def _expect(
    plan: Plan,
    schedule: Schedule,
    levels: Levels,
    measure: Measure,
    what: Compared,
    deviation: float,
    first: bool,
) -> Expected:
    delay, labelled = (plan.label_delay, plan.labelled) if what.labels else (0.0, 1.0)
    times = np.geomspace(max(plan.longest, 1.0) / 1e4, max(plan.longest, schedule.ready, 1.0) * 10, _TIMES)
    end = complete(plan, schedule, what.labels) if plan.size else math.inf
    times = np.unique(np.append(times, [plan.longest, schedule.ready, *([end] if plan.size else [])]))
    estimate = _estimate(schedule, times, delay, labelled, what, deviation)
    low, high = levels.sides(measure, first)
    margin, judged = measure.margin, (estimate.least >= plan.burn_in) & (times <= end)
    with np.errstate(invalid="ignore"):
        up, down = (estimate.reach(level, plan.size) for level in (low, high))
        found = ndtr(margin / estimate.error - down)
        proven = ndtr(margin / estimate.error - up)
        if what.sign == 0:
            proven = np.maximum(2 * proven - 1, 0.0)
        width = down * estimate.error
    inside = times <= plan.longest
    last = int(np.flatnonzero(judged & inside)[-1] if (judged & inside).any() else np.flatnonzero(inside)[-1])
    beyond = margin if what.sign == 0 else 0.0  # without a direction all within the margin is fine
    smallest = float(beyond + (down + ndtri(plan.power))[last] * estimate.error[last])
    return Expected(
        measure.name,
        deviation,
        None if what.sign == 0 else _first(times, judged & (found >= plan.power)),
        _first(times, judged & (proven >= plan.power) & (times >= schedule.ready)),
        smallest if judged[last] else float("inf"),
        tuple(
            (float(time), float(half))
            for time, half, fine in zip(times, width, judged, strict=True)
            if fine and time <= plan.longest
        ),
    )


def _estimate(
    schedule: Schedule, times: Floats, delay: float, labelled: float, what: Compared, deviation: float
) -> Estimate:
    units = labelled * schedule.units(np.maximum(times - delay, 0.0))
    if schedule.paired:
        return within(alike(units, 0.0, deviation), bounded=what.bounded)
    mean = (1 + np.sqrt(max(1 - 4 * deviation**2, 0.0))) / 2 if what.bounded else 0.0
    arms = (alike(size, mean, deviation) for size in (units, schedule.control * units))
    return between(*arms, bounded=what.bounded)


def alike(units: Floats | float, mean: float, deviation: float) -> Sums:
    """As many units of one row each with this mean and standard deviation."""
    squares = units * mean**2 + np.maximum(units - 1, 0) * deviation**2
    return Sums(units, units, units * mean, units, squares, units * mean)  # type: ignore[arg-type]  # arrays


def _first(times: Floats, reached: NDArray[np.bool_]) -> float | None:
    return float(times[reached][0]) if reached.any() else None


def smallest_rate(
    units: float, control: float, limit: float, needed: float, power: float, usual: float = USUAL
) -> float | None:
    """The smallest rate of events in so many units of the candidate that reaches the evidence with this
    probability, where the control (``control`` times as many units) has them at the rate ``usual``."""
    rates = np.geomspace(usual, 1.0, 400)
    spread = np.sqrt(units * rates * (1 - rates) + control * units * usual * (1 - usual))
    hits = np.maximum(units * rates - ndtri(power) * spread, 0.0)
    reached = events.evidence(hits, control * units * usual, limit) >= needed
    return float(rates[reached][0]) if reached.any() else None


def compared_arms(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> int:
    """How many arms are compared with the control."""
    if strategy != "ab":
        return 1
    judged = [arm.name for arm in arms if not plan.bandit or arm.name.endswith(FIXED)]
    return max(sum(name.removesuffix(FIXED) != CONTROL for name in judged), 1)
