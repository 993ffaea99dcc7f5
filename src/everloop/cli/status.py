"""``everloop status [MODEL]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from datetime import datetime

    from everloop.core.turns import StepState, TurnState
    from everloop.flows.loop.showing import Standing

app = group("Show turns and their steps, running or past, and where the loop is.")


@command(app)
def status(
    call: Call,
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 3,
) -> None:
    """Show turns and their steps, running or past, newest first, and where the loop of each model is.

    A turn that was killed is 'interrupted'; the next 'everloop run' goes on with it.

    \b
    Example:
      everloop status churn --limit 10
    """
    with call.project() as project:
        if model:
            project.model(model)
        turns = late.status.recent(project, model, limit)
        words = [late.health.state_of(project, turn) for turn in turns]
        waiting = late.status.undelivered(project)
        standings, now = late.loop.showing.standings(project, model), project.clock.now()
    document = {
        "turns": [{"state": word, "turn": turn} for word, turn in zip(words, turns, strict=True)],
        "undelivered": waiting,
        "loop": standings,
    }

    def show() -> None:
        if not turns:
            late.output.line("There was no turn yet. 'everloop run' begins the first.")
        for turn, word in zip(turns, words, strict=True):
            _show(turn, word)
        _show_loop(standings, now)
        if waiting:
            late.output.line(f"{waiting} waiting for MLflow; 'everloop deliver' sends them.")

    call.answer(document, show)


def _show(turn: TurnState, word: str) -> None:
    out = late.output
    out.line(f"{turn.model}: {word}, begun {out.moment(turn.started_at)} UTC ({turn.turn_id})", "bold")
    if turn.error:
        out.line(f"  {turn.error}")
    rows = [(step.name, step.status, _took(step), step.attempt, step.error) for step in turn.steps]
    out.table(("step", "", "took", "attempt", "error"), rows, right=("took", "attempt"), fold=("error",))


def _show_loop(standings: list[Standing], now: datetime) -> None:
    out = late.output
    rows = [
        (
            one.model,
            "paused" if one.pause else "on",
            f"{one.last.action}, {late.loop.telling.when(one.last)}" if one.last else "none yet",
            "; ".join(late.loop.telling.waits(one, now)),
        )
        for one in standings
    ]
    out.table(("loop of", "", "last decision", "under way, waiting"), rows, fold=("under way, waiting",))


def _took(step: StepState) -> str | None:
    if step.started_at is None or step.finished_at is None:
        return None
    return late.output.seconds((step.finished_at - step.started_at).total_seconds())
