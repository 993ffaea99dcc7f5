"""One measure of one arm against the control, as an interval that holds at every look, and what it proves."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from everloop.core.releases import Goal, Interval, Measure, Seen, Sums

from .compared import find_measure
from .levels import Levels
from .sequences import between, within

Proven = Literal["no_harm", "harm", "better", "worse", "open"]
Flags = NDArray[np.bool_]
PAIRED = "paired"  # the name of what was seen of a shadow's differences, candidate minus champion


def measured(
    measure: Measure,
    arm: Seen,
    control: Seen,
    levels: Levels,
    burn_in: int,
    *,
    size: int = 0,
    differences: Seen | None = None,
    must_be_better: bool = False,
) -> Interval | None:
    """None before the burn-in, and while all values are alike: nothing is known of their spread then."""
    what = find_measure(measure.name)
    ours, theirs = (seen.sums.get(measure.name, Sums()) for seen in (arm, control))
    if differences is None:
        estimate = between(ours, theirs, bounded=what.bounded)
    else:
        estimate = within(differences.sums.get(measure.name, Sums()), bounded=what.bounded)
    if estimate.least < max(burn_in, 2) or not estimate.error > 0:
        return None
    sign = what.sign or 1
    first, second = levels.sides(measure, must_be_better)
    ends = estimate.bounds(*((first, second) if sign > 0 else (second, first)), size)
    low, high = sorted(sign * float(end) for end in ends)
    return Interval(
        measure.name,
        arm.arm,
        theirs.mean,
        ours.mean,
        sign * float(estimate.difference),
        low,
        high,
        int(estimate.units),
        measure.margin,
        _proven(low, high, measure.margin, what.sign),
    )


def speaks_against(low: Any, high: Any, margin: float, sign: int) -> Flags:
    """Proven worse, while harm beyond the margin is not excluded; without a direction: wholly outside."""
    if sign == 0:
        return np.asarray((low > margin) | (high < -margin))
    return np.asarray((high < 0) & (low <= -margin))


def speaks_for(low: Any, high: Any, margin: float, sign: int, goal: Goal) -> Flags:
    """Proven what the goal asks for."""
    if sign == 0:
        return np.asarray((low > -margin) & (high < margin))
    return np.asarray(low > (0 if goal == "better" else -margin))


def told(interval: Interval) -> str:
    """One clause: 'accuracy 0.842 against 0.868, a difference of -0.026 (-0.048 to -0.004; 3,210 units)'."""
    what = find_measure(interval.measure)
    digits = min(max(1 - math.floor(math.log10(interval.high - interval.low)), 0), 12)
    means = ""
    if interval.candidate is not None and interval.control is not None:
        means = f" {interval.candidate:,.{digits}f} against {interval.control:,.{digits}f},"
    better = ", + is better" if what.sign < 0 else ""
    return (
        f"{what.words}{means} a difference of {interval.difference:+,.{digits}f} "
        f"({interval.low:+,.{digits}f} to {interval.high:+,.{digits}f}{better}; {interval.units:,} units)"
    )


def _proven(low: float, high: float, margin: float, sign: int) -> Proven:
    if speaks_against(low, high, margin, sign):
        return "harm" if sign == 0 or high < -margin else "worse"
    if sign != 0 and low > 0:
        return "better"
    return "no_harm" if speaks_for(low, high, margin, sign, "no_harm") else "open"
