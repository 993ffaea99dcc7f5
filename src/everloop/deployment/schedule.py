"""How many units each arm of a plan will have after so long, at the traffic that is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everloop.core.releases import BUCKETS, CONTROL, FIXED, Arm, Plan, Strategy

from .compared import find_measure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """``starts`` (seconds) and ``shares`` of the steps, of the candidate; its control has ``control`` times
    as many units. ``ready``: when the last step has run and every number is there. ``paired``: both see the
    same requests."""

    starts: tuple[float, ...]
    shares: tuple[float, ...]
    hourly: float
    ready: float
    control: float = 1.0
    paired: bool = False

    def units(self, seconds: Floats | float) -> Floats:
        """Of the candidate, labelled or not."""
        elapsed = np.asarray(seconds, dtype=np.float64)
        ends = (*self.starts[1:], np.inf)
        total = np.zeros(elapsed.shape)
        for start, end, share in zip(self.starts, ends, self.shares, strict=True):
            total = total + share * np.clip(elapsed, start, max(end, start)) - share * start
        return np.asarray(total * self.hourly / 3600)

    def when(self, units: float) -> float:
        """Seconds until the candidate has so many, labelled or not."""
        have = self.units(np.array(self.starts))
        step = int(np.searchsorted(have, units, side="right")) - 1
        missing = units - float(have[step])
        return self.starts[step] + missing / (self.hourly / 3600 * self.shares[step])


def complete(plan: Plan, schedule: Schedule, labels: bool) -> float:
    """Seconds until it ends with the units of each arm that were agreed on (with their labels): not before
    its last step has run."""
    labelled, delay = (plan.labelled, plan.label_delay) if labels else (1.0, 0.0)
    there = delay + schedule.when(plan.size / labelled / min(schedule.control, 1.0))
    return max(there, schedule.ready)


def plan_ahead(plan: Plan, strategy: Strategy, arms: Sequence[Arm] = ()) -> Schedule:
    """``arms``: of an A/B test; the smallest that is compared with the control is looked at."""
    control = 1.0
    if strategy == "ab":
        judged = [arm for arm in arms if not plan.bandit or arm.name.endswith(FIXED)]
        weights = {arm.name.removesuffix(FIXED): arm.weight for arm in judged}
        of_control = weights.pop(CONTROL)
        smallest = min(weights.values())
        steps: tuple[int, ...] = (smallest,)
        control = of_control / smallest
    else:
        steps = plan.steps or (BUCKETS,)
    labels = any(find_measure(each.name).labels for each in plan.measures)
    starts, now, have = [], 0.0, 0.0
    for position, step in enumerate(steps):
        pace = plan.hourly / 3600 * step / BUCKETS
        last = position == len(steps) - 1
        needed = max(plan.burn_in, plan.least_units) if last else plan.burn_in
        starts.append(now)
        end = max(now + plan.dwell, _reached(needed, now, have, pace))
        if labels and have < plan.burn_in / plan.labelled:
            known = _reached(plan.burn_in / plan.labelled, now, have, pace) + plan.label_delay
            end = max(end, known)
        have += pace * (end - now)
        now = end
    shares = tuple(step / BUCKETS for step in steps)
    return Schedule(tuple(starts), shares, plan.hourly, now, control, strategy == "shadow")


def _reached(needed: float, now: float, have: float, pace: float) -> float:
    return now + max(needed - have, 0.0) / pace
