"""``everloop release size``: how many units an A/B test takes, or what so many units can find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core import spans
from everloop.core.errors import Invalid

from . import late
from .call import Call
from .deploy import per_hour

if TYPE_CHECKING:
    from everloop.deployment.samplesize import Question, Size, Sizes


def size(
    call: Call,
    rate: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of proportions: the control's, such as 0.1.")
    ] = None,
    change: Annotated[
        float | None,
        typer.Option(metavar="DIFFERENCE", help="Of the rate, that is to be found: 0.01, -0.01."),
    ] = None,
    to: Annotated[
        float | None, typer.Option(metavar="SHARE", help="The rate that is to be found, instead: 0.11.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option("--sd", metavar="NUMBER", help="Of means: a unit's standard deviation.")
    ] = None,
    difference: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Of the means, that is to be found.")
    ] = None,
    units: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Of one arm: what can so many find?")
    ] = None,
    variants: Annotated[int, typer.Option(help="That are compared with the control.")] = 1,
    alpha: Annotated[float, typer.Option(help="Probability of a false verdict, at most.")] = 0.05,
    power: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Probability to find it, if it is there [0.8].")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(metavar="RATE", help="Units of all arms: 1000/hour, 500/day.")
    ] = None,
) -> None:
    """Tell how many units an A/B test needs, and how long they take to come; with --units what difference
    they can find; with both, how probably. Beside the classical test, which is looked at once, stand those
    that are looked at all the time, as releases are: with an end that is agreed on (everloop deploy --size),
    and without. Needs no project.

    \b
    Example:
      everloop release size --rate 0.10 --change 0.01 --traffic 1000/hour
      everloop release size --sd 12.5 --difference 1 --variants 2 --power 0.9
      everloop release size --rate 0.10 --units 5000
    """
    question = late.samplesize.Question(
        rate=rate,
        deviation=sd,
        difference=_asked(rate, change, to, sd, difference),
        units=units,
        power=power,
        variants=variants,
        alpha=alpha,
        hourly=per_hour("--traffic", traffic),
    )
    sizes = late.samplesize.answer(question)
    call.answer({"question": question, "sizes": sizes}, lambda: _show(question, sizes))


def _asked(
    rate: float | None, change: float | None, to: float | None, sd: float | None, difference: float | None
) -> float | None:
    """The difference that is to be found, from the option that fits."""
    if change is not None and to is not None:
        raise Invalid(f"--change {change:g} and --to {to:g} are given.", remedy="Give one of the two.")
    if rate is None and (change is not None or to is not None):
        raise Invalid("--change and --to are those of a rate.", remedy="Add --rate 0.1, or use --difference.")
    if sd is None and difference is not None:
        raise Invalid(
            f"--difference {difference:g} is one of means.", remedy="Add --sd 12.5, or use --change."
        )
    if to is not None and rate is not None:
        return round(to - rate, 12)  # 0.01 and not 0.009999999999999995
    return change if rate is not None else difference


def _show(question: Question, sizes: Sizes) -> None:
    rows = [
        _row("once, at the end", sizes.once),
        _row("all the time, to its end", sizes.agreed),
        _row("all the time, without end", sizes.always),
    ]
    names = ("looked at", "difference", "power", "units of an arm", "of all arms", "time")
    taken = len(names) if question.hourly else len(names) - 1
    late.output.table(names[:taken], [row[:taken] for row in rows], right=names[1:])
    many = "1 variant" if question.variants == 1 else f"{question.variants} variants"
    late.output.line(
        f"{many} beside a control, alpha {question.alpha:g}, two-sided. Who looks all the time may end the "
        "test as soon as the difference is proven: mostly long before. Its end is agreed on with --size."
    )


def _row(name: str, found: Size) -> tuple[object, ...]:
    time = None if found.seconds is None else spans.words(found.seconds)
    return (name, found.difference, found.power, found.units, found.total, time)
