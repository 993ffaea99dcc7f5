"""``everloop simulate``: the loop on a model's past, or a year of it from a seed."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.errors import Invalid

from . import errors, late
from .call import Call, command, group
from .moments import moment

if TYPE_CHECKING:
    from everloop.flows.loop.simulating import Lived, Replayed, Tried
    from everloop.settings import Settings

app = group("Simulate the loop: on a model's past, or a year of it from a seed.")
SHOWN = 40  # decisions


@command(app)
def simulate(
    call: Call,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="On its past; without one a year from a seed.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The first day [the first prediction; a third of the data on]."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The last day; of a year from a seed its number.")
    ] = None,
    delay: Annotated[
        str, typer.Option(metavar="SPAN", help="How late labels came, where no predictions are recorded.")
    ] = "1d",
    compare: Annotated[
        bool, typer.Option("--compare", help="Also every week, and the present settings.")
    ] = False,
    trainings: Annotated[int, typer.Option(min=0, help="Of each policy, at most.")] = 60,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw each policy's loss, with its decisions.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the year that is made [0].")] = None,
) -> int | None:
    """Simulate the loop with the code that decides in production. Nothing is kept.

    On a model's past it tells what the settings would have done, day by day: when a retraining would have
    been considered, what decided and why, what it would have cost and gained. Change the policy with --set.
    Without a model it lives a made year with drift, late labels, broken feeds, crashes and clocks that jump,
    and checks all along what must always be so; exit code 5 and how to see it again where something was not.

    \b
    Example:
      everloop simulate flights --since 2026-06-01
      everloop simulate flights --set retraining.cooldown=7d --compare --plot policies.png
      everloop simulate --seed 17 --until 143
    """
    past = {"--since": since is not None, "--compare": compare, "--plot": plot is not None}
    if model is None:
        if wrong := [name for name, given in past.items() if given]:
            raise Invalid(f"{wrong[0]} is of a model's past.", remedy="Name the model, or leave it out.")
        return _year(call, seed or 0, until)
    if plot is not None and plot.suffix.lower() != ".png":
        raise Invalid(f"--plot '{plot}' is no PNG file.", remedy="End the name in .png.")
    if seed is not None:
        raise Invalid("--seed is of a made year, and not of a model's past.", remedy="Leave out one of them.")
    with call.project() as project:
        now = project.clock.now()
        with late.progress.counted(model, quiet=call.quiet) as listener:
            found = late.simulating.replay(
                project,
                model,
                since=moment(since, now),
                until=moment(until, now),
                delay=delay,
                present=_present(call),
                compare=compare,
                trainings=trainings,
                listener=listener,
            )
        if plot is not None:
            late.simulating.draw(project, found, plot.resolve())
    call.answer({"simulated": found}, lambda: _show(found))
    if plot is not None:
        call.note(f"Drawn: {plot}")
    return None


def _present(call: Call) -> Settings | None:
    """The settings without what this call has changed of them."""
    return replace(call, flags=()).settings() if call.flags else None


# -- a year ------------------------------------------------------------------------------------------------


def _year(call: Call, seed: int, until: str | None) -> int | None:
    if until is not None and not (until.isdecimal() and int(until)):
        raise Invalid(f"'{until}' is not the number of a day.", remedy="Name a day of the year: --until 143.")
    if until is not None and int(until) > late.simulating.DAYS:
        said = f"'{until}' is no day of the year, which has {late.simulating.DAYS}."
        raise Invalid(said, remedy="Name one of its days: --until 143.")
    found = late.simulating.year(
        call.settings().retraining, seed, int(until) if until else None, flags=call.flags
    )
    told = {each.name: getattr(found, each.name) for each in fields(found)}
    call.answer({"simulated": {**told, "ok": found.broken is None}}, lambda: _show_year(found))
    return errors.UNHEALTHY if found.broken else None


def _show_year(found: Lived) -> None:
    out = late.output
    out.line(f"Seed {found.seed}, {found.days} days", "bold")
    out.table(("decided", "times"), list(found.by_code.items()), right=("times",))
    out.pairs(
        {
            "considered": found.considered,
            "trained": found.trained,
            "promoted": found.promoted,
            "workers killed, stalled": f"{found.killed}, {found.stalled}",
            "feeds broken": found.faults,
            "clock went wrong": found.jumps,
            "log loss": found.loss,
            "… without retraining": found.never,
            "… of the truth itself": found.best,
            "state": out.short(found.state),
        }
    )
    if found.broken:
        broken = found.broken
        out.line(f"Seed {broken.seed}, day {broken.day}: the promise '{broken.promise}' is broken.", "red")
        out.line(f"{broken.message}. See it again: {found.replay}")
    else:
        out.line("Every promise was kept.")


# -- the past ----------------------------------------------------------------------------------------------


def _show(found: Replayed) -> None:
    out, asked = late.output, found.policies[0]
    many = f"{found.labelled:,} of {found.rows:,} rows with a label"
    out.line(f"{found.model}, {found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}: {many}", "bold")
    out.line(f"Taken from {found.source}.")
    shown = asked.decisions[-SHOWN:]
    rows = [(one.at, one.action, one.times, one.reason, late.loop.telling.outcome(one)) for one in shown]
    names = ("at (UTC)", "decided", "times", "why", "what would have come of it")
    out.table(names, rows, right=("times",), fold=("why", "what would have come of it"))
    if len(shown) < len(asked.decisions):
        out.line(f"{len(asked.decisions) - len(shown)} decisions before are not shown; --json has all.")
    out.line("")
    columns = ("policy", "considered", "trainings", "promotions", found.metric, "gained on never")
    out.table(columns, [_cells(one) for one in found.policies], right=columns[1:])
    for one in found.policies:
        if one.limited:
            out.line(f"{one.name} wanted to train more often than --trainings allows.", "yellow")


def _cells(one: Tried) -> tuple[object, ...]:
    share = None if one.share is None else f"{one.share:+.2%}"
    return one.name, one.considered, one.trainings, one.promotions, one.loss, share
