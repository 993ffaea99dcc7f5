"""The progress of turns on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from everloop.core.turns import Listener, StepStatus

from . import plain

_MARKS = {"done": ("✓", "green"), "kept": ("✓", "dim"), "failed": ("✗", "red"), "waiting": (" ", "")}


@contextmanager
def progress(model: str, *, quiet: bool) -> Iterator[Listener]:
    """A listener for one turn. ``kept`` steps were finished before a crash."""
    if quiet:
        yield _silent
    elif sys.stderr.isatty():
        with _live(model) as listener:
            yield listener
    else:
        yield _lines(model)


@contextmanager
def counted(what: str, *, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A listener that is told how many are done, of how many, and what comes next: a bar on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, text: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task(what, total=None, text="")
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)


def _silent(step: str, status: StepStatus, message: str) -> None:
    """Nobody looks."""


def _lines(model: str) -> Listener:
    def tell(step: str, status: StepStatus, message: str) -> None:
        if status == "running" and not message:
            return
        said = {"kept": "done before: ", "failed": "failed: "}.get(status, "")
        typer.echo(plain.inline(f"{model:<12} {step:<9} {said}{message}".rstrip()), err=True)

    return tell


@contextmanager
def _live(model: str) -> Iterator[Listener]:
    steps: dict[str, tuple[StepStatus, str]] = {}
    spinner = Spinner("dots")

    def drawn() -> Table:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=1)
        grid.add_column(width=9, no_wrap=True)
        grid.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        for step, (status, message) in steps.items():
            mark, style = _MARKS.get(status, ("", ""))
            sign = spinner if status == "running" else Text(mark, style=style)
            before = "done before: " if status == "kept" else ""
            grid.add_row(sign, Text(step), Text(before + message, style="dim"))
        return grid

    console = Console(stderr=True, highlight=False)
    console.print(Text(model, style="bold"))
    with Live(drawn(), console=console, refresh_per_second=10) as live:

        def tell(step: str, status: StepStatus, message: str) -> None:
            steps[step] = (status, plain.inline(message))
            live.update(drawn())

        yield tell
