"""``everloop serve``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from . import late
from .call import Call, command, group

app = group("Answer predictions over HTTP.")


@command(app)
def serve(
    call: Call,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Port; 0 for a free one.")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes that answer.")] = None,
    no_work: Annotated[
        bool, typer.Option("--no-work", help="Leave jobs, releases and checks to 'everloop worker'.")
    ] = False,
) -> None:
    """Answer predictions over HTTP with the champion of each model.

    /predict asks the default model, /v2 speaks the Open Inference Protocol, /docs describes all of it and
    /dashboard shows what happens. A new champion takes over within a second. SIGHUP replaces the workers
    one by one; SIGTERM and Ctrl-C answer what is under way, write the log and end.

    \b
    Example:
      everloop serve
      everloop serve --host 0.0.0.0 --port 8080 --workers 4
    """
    given = {"host": host, "port": port, "workers": workers, "work": False if no_work else None}
    flags = (*call.flags, *(f"serving.{name}={value}" for name, value in given.items() if value is not None))
    settings = Call(call.config, flags, call.tenant, call.json, call.quiet, call.debug).settings()
    late.opening.run(settings, None if call.quiet else sys.stderr, lambda address: _ready(call, address))


def _ready(call: Call, address: str) -> None:
    call.answer({"address": address}, lambda: late.output.line(f"Serving at {address}"))
