"""The size of an A/B test, for Python."""

from __future__ import annotations

from typing import TypedDict

from everloop.deployment.samplesize import Question, Size, answer

from .refusals import as_deployment_errors


class ABTestSize(TypedDict):
    """``units`` of one arm, ``total`` of all, which take ``seconds`` to come (None: nobody said how many come
    an hour). ``difference``: None where so few units show none."""

    difference: float | None
    power: float
    units: int
    total: int
    seconds: float | None


class ABTestSizes(TypedDict):
    """Of a test that is looked at once, at its end, and of two that are looked at all the time, as releases
    are: one ends with the units that were ``agreed`` on, the other may go on."""

    once: ABTestSize
    agreed: ABTestSize
    always: ABTestSize


@as_deployment_errors
def ab_test_size(
    *,
    rate: float | None = None,
    deviation: float | None = None,
    difference: float | None = None,
    units: int | None = None,
    power: float | None = None,
    variants: int = 1,
    alpha: float = 0.05,
    hourly: float | None = None,
) -> ABTestSizes:
    """How many units an A/B test needs to find a ``difference`` with a ``power`` [0.8]; with ``units`` (of
    one arm) which difference they find; with both how probably. Needs no project.

    Of proportions the control's ``rate`` is given, of means the standard ``deviation`` of a unit's value.
    ``variants`` are compared with the control, each two-sided at ``alpha`` divided by their number.
    ``hourly``: units of all arms. ``rate=0.1, difference=0.01`` is a rise to 0.11.

    Raises InvalidSettings for what has no answer.
    """
    sizes = answer(Question(rate, deviation, difference, units, power, variants, alpha, hourly))
    return ABTestSizes(once=_told(sizes.once), agreed=_told(sizes.agreed), always=_told(sizes.always))


def _told(size: Size) -> ABTestSize:
    return ABTestSize(
        difference=size.difference,
        power=size.power,
        units=size.units,
        total=size.total,
        seconds=size.seconds,
    )
