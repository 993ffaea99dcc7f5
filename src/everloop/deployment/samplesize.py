"""Size and power of an A/B test: of units, difference and power two give the third.

Looked at once, at its end, it is the classical calculator. Proportions: Fleiss, "Statistical Methods for
Rates and Proportions", without continuity correction. Means: the noncentral t distribution. Looked at all
the time, as releases are, its intervals hold at every look and are wider (sequences.py), less so where it is
agreed on how many units there will be; what is said of both is what is found by then at the least. Several
variants are each compared with the control at ``alpha`` divided by their number (Bonferroni). Tests are
two-sided; sizes are units of one arm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from everloop.core.errors import InvalidSettings

from .expected import alike
from .sequences import Estimate, between

USUAL_POWER = 0.8
LARGEST = 10**12
_WIDEST = 1e6  # standard deviations between two means
_Power = Callable[[float, float], float]  # of the units of an arm and the difference


@dataclass(frozen=True)
class Question:
    """Of proportions: the control's ``rate``. Of means: the standard ``deviation`` of a unit's value. With
    it a ``difference``, the ``units`` of one arm, or both. ``hourly``: units of all arms."""

    rate: float | None = None
    deviation: float | None = None
    difference: float | None = None
    units: int | None = None
    power: float | None = None
    variants: int = 1
    alpha: float = 0.05
    hourly: float | None = None


@dataclass(frozen=True)
class Size:
    """``units`` of one arm and ``total`` of all, which take so many ``seconds`` to come. ``difference``: None
    where so few units show none."""

    difference: float | None
    power: float
    units: int
    total: int
    seconds: float | None = None


@dataclass(frozen=True)
class Sizes:
    """Of a test that is looked at once, at its end; of one that is looked at all the time, and ends with the
    units that were ``agreed`` on; and of one that may go on."""

    once: Size
    agreed: Size
    always: Size


def answer(question: Question) -> Sizes:
    """What is not given, of units, difference and power [0.8]. Raises InvalidSettings."""
    _check(question.alpha, question.variants)
    _check_question(question)
    alpha, variants = question.alpha, question.variants
    rate, spread = question.rate, question.deviation or 0.0
    widest = 1 - rate if rate is not None else _WIDEST * spread

    def once(units: float, difference: float) -> float:
        if rate is None:
            return power_of_means(units, difference, spread, alpha, variants)
        return power_of_proportions(units, rate, rate + difference, alpha, variants)

    def looked(units: float, difference: float, *, agreed: bool) -> float:
        if rate is None:
            estimate = _of_means(units, difference, spread)
        else:
            estimate = _of_proportions(units, rate, rate + difference)
        reach = estimate.reach(alpha / variants / 2, int(agreed) and math.ceil(units))
        return float(ndtr(abs(difference) / estimate.error - reach))

    sizes = Sizes(
        *(
            _sized(question, power_of, widest)
            for power_of in (once, partial(looked, agreed=True), partial(looked, agreed=False))
        )
    )
    if sizes.once.difference is None:
        raise InvalidSettings(
            f"With {sizes.once.units:,} units of an arm nothing is found with a power of "
            f"{sizes.once.power:g}.",
            remedy="Give more units.",
        )
    return sizes


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
    _check_means(difference, deviation)
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


def _sized(question: Question, power_of: _Power, widest: float) -> Size:
    power = USUAL_POWER if question.power is None else question.power
    if question.difference is None:
        units = question.units or 0
        found = Size(_smallest_difference(units, power_of, question.alpha, power, widest), power, units, 0)
    elif question.units is None:
        wanted = question.difference
        units = _smallest(lambda units: power_of(units, wanted), question.alpha, power)
        found = Size(wanted, power, units, 0)
    else:
        power = power_of(question.units, question.difference)
        found = Size(question.difference, power, question.units, 0)
    total = found.units * (question.variants + 1)
    seconds = total / question.hourly * 3600 if question.hourly else None
    return Size(found.difference, found.power, found.units, total, seconds)


def _of_proportions(units: float, control: float, candidate: float) -> Estimate:
    _check_shares(control, candidate)
    arms = (alike(units, mean, math.sqrt(mean * (1 - mean))) for mean in (candidate, control))
    return between(*arms, bounded=True)


def _of_means(units: float, difference: float, deviation: float) -> Estimate:
    _check_means(difference, deviation)
    return between(alike(units, difference, deviation), alike(units, 0.0, deviation))


def _smallest_difference(
    units: int, power_of: _Power, alpha: float, power: float, widest: float
) -> float | None:
    """By halving: power grows with the difference."""
    _check_power(alpha, power)
    low, high = 0.0, widest * (1 - 1e-9)
    if power_of(units, high) < power:
        return None
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(units, middle) >= power else (middle, high)
    return high


def _smallest(power_at: Callable[[int], float], alpha: float, power: float) -> int:
    """By doubling, then halving: power grows with the units."""
    _check_power(alpha, power)
    high = 2
    while power_at(high) < power:
        high *= 2
        if high > LARGEST:
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


def _check_means(difference: float, deviation: float) -> None:
    if not 0 < deviation < math.inf or not 0 < abs(difference) < math.inf:
        raise InvalidSettings(
            f"No difference of {difference:g} with a standard deviation of {deviation:g} can be found.",
            remedy="Give a difference other than 0 and a standard deviation above 0.",
        )


def _check_power(alpha: float, power: float) -> None:
    if not alpha < power < 1:
        raise InvalidSettings(
            f"A power of {power:g} cannot be asked for.", remedy=f"Give one between alpha ({alpha:g}) and 1."
        )


def _check_question(question: Question) -> None:
    if (question.rate is None) == (question.deviation is None):
        raise InvalidSettings(
            "It has to be said what is compared: proportions or means.",
            remedy="Give the control's rate, or the standard deviation of a unit's value: one of the two.",
        )
    given = [question.difference, question.units, question.power]
    if question.difference is None and question.units is None:
        raise InvalidSettings(
            "Neither a difference nor a number of units is given.",
            remedy="Give the difference that is to be found, or the units of an arm, or both.",
        )
    if None not in given:
        raise InvalidSettings(
            "A difference, a number of units and a power are given: nothing is left to be told.",
            remedy="Leave one of them away.",
        )
    if question.rate is not None and not 0 < question.rate < 1:
        raise InvalidSettings(f"The rate is {question.rate:g}.", remedy="Give one between 0 and 1.")
    if question.deviation is not None and not 0 < question.deviation < math.inf:
        raise InvalidSettings(
            f"The standard deviation is {question.deviation:g}.", remedy="Give one above 0."
        )
    if question.units is not None and not 2 <= question.units <= LARGEST:
        raise InvalidSettings(
            f"{question.units:,} units of an arm are too {'few' if question.units < 2 else 'many'}.",
            remedy=f"Give 2 or more, up to {LARGEST:,}.",
        )
    if question.hourly is not None and not 0 < question.hourly < math.inf:
        raise InvalidSettings(
            f"{question.hourly:g} units an hour are expected.", remedy="Say a number above 0."
        )
