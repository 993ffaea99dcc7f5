"""``everloop worker``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from . import errors, late
from .call import Call, command, group

app = group("Do the work beside the API: jobs, releases, checks, messages.")


@command(app)
def worker(
    call: Call, once: Annotated[bool, typer.Option("--once", help="Do what is due now, then end.")] = False
) -> int:
    """Do what 'everloop serve' does beside answering, in a process of its own: retrainings that are queued,
    releases, checks of production, messages of alerts, records for MLflow.

    Any number of workers on any number of machines share the work through PostgreSQL; nothing is done twice,
    and what one has begun that dies, another takes over. SIGTERM and Ctrl-C let a job that is under way end,
    for worker.finish seconds; then it is given back. Exit code 5 of --once: something could not be done.

    \b
    Example:
      everloop worker
      everloop worker --once
    """
    project = late.wiring.connect(call.settings())
    try:
        if once:
            return _once(call, late.working.once(project, shows=not call.quiet))
        console = None if call.quiet else sys.stderr
        with late.log.open_log(project.settings, project.clock, console) as log:
            late.working.run(project, log.info, lambda names: _ready(call, names), shows=not call.quiet)
    finally:
        project.close()
    return errors.OK


def _ready(call: Call, names: list[str]) -> None:
    call.answer({"working": names}, lambda: late.output.line(f"Working: {', '.join(names)}."))
    sys.stdout.flush()


def _once(call: Call, codes: dict[str, int | None]) -> int:
    def show() -> None:
        rows = [(name, _said(code)) for name, code in codes.items() if code is not None]
        if rows:
            late.output.table(("work", ""), rows)
        else:
            late.output.line("Nothing was due.")

    done = {name: code == 0 for name, code in codes.items() if code is not None}
    call.answer({"done": done}, show)
    return errors.OK if all(done.values()) else errors.UNHEALTHY


def _said(code: int | None) -> str:
    return "done" if code == 0 else "not all of it: see the lines above, and 'everloop doctor'"
