"""``everloop init``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import late
from .call import Call, command, group

app = group("Write a sample project that runs at once.")


class Example(StrEnum):
    iris = "iris"
    customers = "customers"
    flights = "flights"


@command(app)
def init(
    call: Call,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where; made if it is not there.")] = Path(),
    example: Annotated[Example, typer.Option(help="Which data the sample is about.")] = Example.iris,
) -> None:
    """Write a sample project that runs at once.

    It gets a commented everloop.yaml, sample data, a README and a .gitignore; nothing that is there is
    overwritten.

    \b
    Example:
      everloop init my-project --example customers
    """
    place = Path.cwd() / folder
    written = late.wiring.create_project(place, example.value)

    def show() -> None:
        for path in written:
            late.output.line(f"  {path}")
        there = "" if place == Path.cwd() else f"cd {folder} && "
        late.output.line(f"Next: {there}everloop run")

    call.answer({"folder": place, "files": written}, show)
