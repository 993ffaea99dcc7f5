"""``everloop deliver``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.errors import Unavailable

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.flows.project import Project

app = group("Send what waits for MLflow, now.")


@command(app)
def deliver(
    call: Call,
    again: Annotated[
        bool, typer.Option("--again", help="All that was ever sent, for an MLflow that has lost it.")
    ] = False,
) -> None:
    """Send what waits for MLflow, now, in order, each record once.

    'everloop run' does this by itself; it is for later, when the server was away.

    \b
    Example:
      everloop deliver
    """
    with call.project() as project:
        if again:
            late.delivery.send_again(project)
        done = [_deliver(project)]
        for ledger in late.wiring.ledgers(project.settings):
            with closing(ledger):
                done.append(_deliver(ledger))
    problems = [one.problem for one in done if one.problem]
    if problems:
        raise Unavailable(
            " ".join(problems),
            remedy="Nothing is lost. Try again when the server is there: 'everloop doctor' says whether.",
        )
    busy = [one for one in done if one.delivered or one.rejected]

    def show() -> None:
        for one in busy:
            late.output.line(f"{one.delivered} delivered to MLflow at {one.uri}.")
            if one.rejected:
                late.output.line(f"{one.rejected} refused for good; 'everloop doctor' shows why.")
        if not busy:
            late.output.line("Nothing waits for MLflow.")

    first = done[0]
    call.answer(
        {
            "delivered": sum(one.delivered for one in done),
            "waiting": sum(one.waiting for one in done),
            "rejected": sum(one.rejected for one in done),
            "uri": first.uri,
        },
        show,
    )


@dataclass(frozen=True)
class _Done:
    uri: str
    delivered: int
    waiting: int
    rejected: int
    problem: str | None


def _deliver(project: Project) -> _Done:
    uri = late.output.without_password(project.settings.tracking_uri)
    found = late.delivery.deliver(project)
    problem = None
    if found.problem:
        problem = f"{found.waiting} waiting for MLflow at {uri}, {found.delivered} delivered: {found.problem}"
    return _Done(uri, found.delivered, found.waiting, found.rejected, problem)
