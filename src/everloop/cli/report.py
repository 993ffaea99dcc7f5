"""``everloop report [MODEL]``."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from everloop.core.errors import InvalidSettings

from . import late
from .call import Call, command, group

app = group("Write a model's report: one HTML page with plots.")


@command(app)
def report(
    call: Call,
    model: Annotated[str | None, typer.Argument(help="The model's name [the only one]")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it [report-MODEL.html]")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write a model's report: performance, decisions, gate, drift, the champion, its data and lineage.

    One HTML page that needs no network and no other file.

    \b
    Example:
      everloop report iris
      everloop report iris --to /tmp/iris.html --open
    """
    with call.project() as project:
        names = list(project.settings.models)
        if model is None and len(names) > 1:
            raise InvalidSettings(
                f"This project has {len(names)} models: {', '.join(names)}.", remedy="Name one of them."
            )
        name = model or names[0]
        page = late.dashboard.report.render(late.report.gather(project, name))
        path = (Path.cwd() / (to or f"report-{name}.html")).resolve()
        project.write_file(path, page.encode())
    call.answer({"model": name, "report": path}, lambda: late.output.line(f"Report: {path}"))
    if show:
        webbrowser.open(path.as_uri())
