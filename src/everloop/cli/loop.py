"""``everloop loop …``: where the loop of each model is; pause it, resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import errors, late
from .call import Call, command, filled, group

if TYPE_CHECKING:
    from datetime import datetime

    from everloop.flows.loop.showing import Standing

app = group("Show, pause and resume the loop that keeps models right.")
Which = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only this one [all].")]


@command(app)
def status(call: Call, model: Which = None) -> int:
    """Show where the loop of each model is: what waits, what is under way, what was decided last.

    Exit code 5: one of the newest decisions is damaged.

    \b
    Example:
      everloop loop status
    """
    with call.project() as project:
        found = late.loop.showing.standings(project, model, counted=True)
        now = project.clock.now()
    call.answer({"models": found}, lambda: _show(found, now))
    return errors.UNHEALTHY if any(each.unreadable for each in found) else errors.OK


@command(app)
def pause(
    call: Call,
    model: Which = None,
    why: Annotated[str | None, typer.Option("--why", metavar="TEXT", help="For the history.")] = None,
) -> None:
    """Let the loop do nothing by itself until it is resumed. What is under way ends; 'retrain' still works.

    \b
    Example:
      everloop loop pause iris --why "the feed is moved this week"
    """
    with call.project() as project:
        changed = late.loop.pausing.pause(project, model, filled("--why", why))
    said = f"Paused: {', '.join(changed)}." if changed else "It was paused already."
    call.answer({"paused": changed}, lambda: late.output.line(said))


@command(app)
def resume(call: Call, model: Which = None) -> None:
    """Let the loop go on. What other systems told while it was paused is considered.

    \b
    Example:
      everloop loop resume iris
    """
    with call.project() as project:
        changed = late.loop.pausing.resume(project, model)
    said = f"Resumed: {', '.join(changed)}." if changed else "It was not paused."
    call.answer({"resumed": changed}, lambda: late.output.line(said))


def _show(found: list[Standing], now: datetime) -> None:
    out, told = late.output, late.loop.telling
    for each in found:
        serving = f"{each.model}@{each.champion} serves" if each.champion else "there is no champion yet"
        out.line(f"{each.model}: {'paused' if each.pause else 'on'}, {serving}", "bold")
        going, last = (*each.under_way, *each.on_trial), each.last
        facts: dict[str, object] = {
            "damaged": told.damaged(each.unreadable).removeprefix("Damaged, and "),
            "paused": _paused(each),
            "under way, waiting": "; ".join(told.waits(each, now)),
            "to go on": "; ".join(filter(None, map(told.to_go_on, going))),
            "not considered yet": "; ".join(one.message for one in told.unconsidered(each)),
            "next of schedule": f"{out.moment(each.due)} UTC" if each.due else None,
            **(told.leeway(each.leeway) if each.leeway else {}),
            "last decision": f"{last.action}, {told.when(last)}: {last.reason}" if last else "none yet",
            "what came of it": told.outcome(last) if last and last not in going else None,
            "what would change it": last.changes if last else None,
        }
        out.pairs({name: str(value) for name, value in facts.items() if value})


def _paused(one: Standing) -> str | None:
    if one.pause is None:
        return None
    why = f": {one.pause.reason}" if one.pause.reason else ""
    return f"since {late.output.moment(one.pause.since)} UTC by {one.pause.by}{why}"
