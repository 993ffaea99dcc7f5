"""How features go together, against the reference: changes that leave every single feature as it was."""

from __future__ import annotations

import numpy as np

from . import evidence
from .comparing import Compared
from .reference import Reference
from .windows import Window

CHANGE = 0.1
"""The smallest change of a correlation that counts, less what chance makes."""
_FEWEST = 20
_FLAT = 0.05  # of the reference's variance of scores: less, and no correlation can be told
_LIKELY = 1.96


def compare(reference: Reference, window: Window) -> list[Compared]:
    """One test over all pairs of numbers: correlations of normal scores by Fisher's z. Features that hardly
    vary in the window are left out; they are found otherwise."""
    joint = reference.joint
    first, second = joint.triangle
    here, there = window.joint.pairs[first, second], joint.sums.pairs[first, second]
    flat = window.joint.variances < _FLAT * joint.sums.variances
    held = (here >= _FEWEST) & (there >= _FEWEST) & ~flat[first] & ~flat[second]
    if not held.any():
        return []
    now, before = (
        sums.correlations[first, second].clip(-0.999, 0.999) for sums in (window.joint, joint.sums)
    )
    usual = joint.dependence.at(float(np.median(here[held])))
    longer = joint.dependence.at(float(np.median(there[held])))
    free = np.maximum(here / usual.effect - 3, 1.0)
    free_there = np.maximum(there / longer.effect - 3, 1.0)
    error = np.sqrt(1 / free + 1 / free_there)
    z = (np.arctanh(now) - np.arctanh(before)) / error / usual.peak
    chances = np.where(held, evidence.of_means(z, 0.0, usual.freedom), 1.0)
    change = now - before
    off = error * (1 - before**2)
    counts = held & (np.sqrt(np.maximum(change**2 - off**2, 0)) >= CHANGE)
    order = np.lexsort((chances, ~counts))
    place = int(order[0])
    p_value = min(1.0, float(chances[place]) * int(held.sum()))
    names = [(joint.names[one], joint.names[two]) for one, two in zip(first, second, strict=True)]
    one, two = names[place]
    low, high = (float(np.tanh(np.arctanh(now[place]) + side * _LIKELY * error[place])) for side in (-1, 1))
    pairs = [
        {"features": list(names[each]), "usual": float(before[each]), "value": float(now[each])}
        for each in order[:5]
        if counts[each]
    ]
    others = f" and {int(counts.sum()) - 1} more pairs" if counts.sum() > 1 else ""
    return [
        Compared(
            "joint", "pairs", "correlation", p_value,
            bool(counts[place]),
            f"'{one}' and '{two}'{others}: correlation {before[place]:+.2f} → {now[place]:+.2f} "
            f"(floor {CHANGE}), p {p_value:.1g}",
            value=float(now[place]), usual=float(before[place]), low=low, high=high, floor=CHANGE,
            details={"pairs": pairs, "rows": int(here[place])}, parts=np.where(held, z, 0.0), part=place,
        )
    ]  # fmt: skip
