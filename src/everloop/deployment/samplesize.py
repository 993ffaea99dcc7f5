"""Size and power of an experiment that is looked at once, at its end: the classical calculator.

Proportions: Fleiss, "Statistical Methods for Rates and Proportions", without continuity correction. Means:
the noncentral t distribution. Several variants are each compared with the control at ``alpha`` divided by
their number (Bonferroni). Tests are two-sided; sizes are units of one arm.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from everloop.core.errors import InvalidSettings

_LARGEST = 10**12


def power_of_proportions(
    units: float, control: float, candidate: float, alpha: float = 0.05, variants: int = 1
) -> float:
    """The probability to find that a share is ``candidate`` and not ``control``."""
    _check(alpha, variants)
    _check_shares(control, candidate)
    both = control + candidate
    pooled = math.sqrt(both * (1 - both / 2))
    apart = math.sqrt(control * (1 - control) + candidate * (1 - candidate))
    reach = ndtri(1 - alpha / variants / 2)
    return float(ndtr((math.sqrt(units) * abs(candidate - control) - reach * pooled) / apart))


def size_of_proportions(
    control: float, candidate: float, alpha: float = 0.05, power: float = 0.8, variants: int = 1
) -> int:
    _check_shares(control, candidate)
    return _smallest(
        lambda units: power_of_proportions(units, control, candidate, alpha, variants), alpha, power
    )


def power_of_means(
    units: float, difference: float, deviation: float, alpha: float = 0.05, variants: int = 1
) -> float:
    """The probability to find a difference of means of values with this standard deviation."""
    _check(alpha, variants)
    if not deviation > 0 or difference == 0:
        raise InvalidSettings(
            f"No difference of {difference:g} with a standard deviation of {deviation:g} can be found.",
            remedy="Give a difference other than 0 and a standard deviation above 0.",
        )
    freedom = 2 * (units - 1)
    reach = stdtrit(freedom, 1 - alpha / variants / 2)
    shift = abs(difference) / deviation * math.sqrt(units / 2)
    return float(1 - nctdtr(freedom, shift, reach))


def size_of_means(
    difference: float, deviation: float, alpha: float = 0.05, power: float = 0.8, variants: int = 1
) -> int:
    return _smallest(
        lambda units: power_of_means(units, difference, deviation, alpha, variants), alpha, power
    )


def _smallest(power_at: Callable[[int], float], alpha: float, power: float) -> int:
    """By doubling, then halving: power grows with the units."""
    if not alpha < power < 1:
        raise InvalidSettings(
            f"A power of {power:g} cannot be asked for.", remedy=f"Give one between alpha ({alpha:g}) and 1."
        )
    high = 2
    while power_at(high) < power:
        high *= 2
        if high > _LARGEST:
            raise InvalidSettings(
                "No experiment is large enough for this difference.", remedy="Ask for a larger one."
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high


def _check(alpha: float, variants: int) -> None:
    if not 0 < alpha < 1 or variants < 1:
        raise InvalidSettings(
            f"alpha is {alpha:g} with {variants} variants.",
            remedy="alpha lies between 0 and 1; variants from 1 on.",
        )


def _check_shares(control: float, candidate: float) -> None:
    if not (0 < control < 1 and 0 < candidate < 1) or control == candidate:
        raise InvalidSettings(
            f"Shares of {control:g} and {candidate:g} cannot be compared.",
            remedy="Give two different shares between 0 and 1.",
        )
