"""``everloop rollback MODEL``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import late
from .call import Call, command, group
from .moments import moment

app = group("Go back to the last good version of a model, or to a named one.")


@command(app)
def rollback(
    call: Call,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    environment: Annotated[str, typer.Option("--env", metavar="NAME", help="Where.")] = "prod",
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="This version [the last good one].")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="What was current then: 2026-03-01T12:00 (in UTC), 2h ago, yesterday."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="For the history.")] = "rolled back by hand",
) -> None:
    """Go back: a release on its way ends, else the last good version is current again.

    \b
    Example:
      everloop rollback iris
      everloop rollback iris --to 1.0.0 --reason "complaints since noon"
    """
    with call.project() as project:
        when = moment(at, project.clock.now())
        before, after = late.deploying.rollback(project, model, environment, to=to, at=when, reason=reason)
    call.answer(
        {"model": model, "environment": environment, "before": before, "after": after},
        lambda: late.output.line(f"{model}@{after} is current in {environment} again, after {before}."),
    )
