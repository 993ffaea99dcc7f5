"""``everloop decisions …``: what the loop has decided, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import errors, late
from .call import Call, command, filled, group

if TYPE_CHECKING:
    from everloop.core.loop import DecisionRecord

app = group("List, show, approve and reject what the loop decides about retraining.")
Named = Annotated[str, typer.Argument(metavar="DECISION", help="Its id, or the end of it.")]


@command(app, "list")
def list_(
    call: Call,
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    action: Annotated[Literal["retrain", "refuse", "defer"] | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> int:
    """List what was decided about retraining, the newest first: retrained, refused or deferred, and why.

    Exit code 5: one of them is damaged; the others are listed.

    \b
    Example:
      everloop decisions list
      everloop decisions list iris --action refuse
    """
    with call.project() as project:
        found, unreadable = late.loop.showing.readable(project, model, action, limit)

    def show() -> None:
        if unreadable:
            late.output.line(late.loop.telling.damaged(unreadable), "red")
        if not (found or unreadable):
            late.output.line("Nothing was decided yet: 'everloop retrain MODEL' asks for it.")
            return
        names = ("at (UTC)", "decision", "model", "decided", "times", "why", "what came of it")
        rows = [
            (
                one.at,
                one.decision_id,
                one.model,
                one.action,
                one.times,
                one.reason,
                late.loop.telling.outcome(one),
            )
            for one in found
        ]
        late.output.table(names, rows, right=("times",), fold=("decision", "why", "what came of it"))

    call.answer({"decisions": found, "unreadable": unreadable}, show)
    return errors.UNHEALTHY if unreadable else errors.OK


@command(app)
def show(call: Call, named: Named) -> None:
    """Show a decision: what called for it, all that was looked at, what would change it, what came of it.

    \b
    Example:
      everloop decisions show 7gk2m9xa
    """
    with call.project() as project:
        found = late.loop.showing.find(project, named)
        champion = late.loop.showing.champion(project, found.model)
    call.answer({"decision": found, "champion": champion}, lambda: tell(found, champion))


@command(app)
def approve(
    call: Call,
    named: Named,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="As whom.")] = None,
    note: Annotated[str | None, typer.Option("--why", metavar="TEXT", help="For the history.")] = None,
) -> None:
    """Approve the step that a retraining waits at (retraining.approve); it goes on.

    \b
    Example:
      everloop decisions approve 7gk2m9xa --why "the new supplier is known"
    """
    said_role, said_note = filled("--role", role), filled("--why", note)
    with call.project() as project:
        found = late.loop.advancing.approve(project, named, said_role, said_note)
        changed = late.loop.telling.changed(found, late.loop.showing.champion(project, found.model))
        late.loop.advancing.advance(project)
        found = late.loop.showing.find(project, found.decision_id)
    said = f"{found.decision_id} is approved: {late.loop.telling.outcome(found)}"

    def show_it() -> None:
        if changed:
            late.output.line(f"{changed}.")
        late.output.line(said)

    call.answer({"decision": found}, show_it)


@command(app)
def reject(
    call: Call,
    named: Named,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the history.")],
) -> None:
    """Say no at the step that a retraining waits at, or to a candidate on trial; it ends there. So does one
    that is damaged, at any step.

    \b
    Example:
      everloop decisions reject 7gk2m9xa --why "a holiday week"
    """
    with call.project() as project:
        found = late.loop.advancing.reject(project, named, filled("--why", why))
    said = f"{found.decision_id} is rejected: {why}"
    call.answer({"decision": found}, lambda: late.output.line(said))


def tell(one: DecisionRecord, champion: str | None = None) -> None:
    """All of a decision. ``champion``: that of now, where it may be another one than then."""
    out = late.output
    out.line(f"{one.model}: {one.action}: {one.reason}", "bold")
    facts: dict[str, object] = {
        "decision": one.decision_id,
        "at": f"{out.moment(one.at)} UTC, by {one.by}",
        "called for by": "; ".join(f"{each.kind}: {each.message}" for each in one.triggers),
        "champion then": f"{one.model}@{one.champion}" if one.champion else "none",
        "found again": f"{one.times} times, last at {out.moment(one.newest)} UTC" if one.newest else None,
        "what would change it": one.changes,
        "what came of it": late.loop.telling.outcome(one),
        "champion now": late.loop.telling.to_compare(one, champion),
        "to go on": late.loop.telling.to_go_on(one),
        "turn": one.turn_id,
        "run": one.run_id,
        "releases": ", ".join(one.releases),
        "alert": one.alert_id,
        "approved": "; ".join(
            f"{each.step} by {each.by}{f' as {each.role}' if each.role else ''}" for each in one.approvals
        ),
    }
    out.pairs({name: str(value) for name, value in facts.items() if value})
    marked = late.loop.telling.speaks
    rows = [("!" if marked(one, each) else "", each.check, each.message) for each in one.evidence]
    out.line("")
    out.table(("", "looked at", "found"), rows, fold=("found",))
