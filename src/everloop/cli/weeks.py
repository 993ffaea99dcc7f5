"""The demo's weeks as they pass: a live table on a terminal, one line each elsewhere. On stderr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from everloop.core.turns import StepStatus
from everloop.flows.demo import Week

_STYLES = {"promoted": "green", "refused": "yellow", "stopped": "red"}
_AROUND = 10  # lines of the terminal that are not rows of the table
_FIRST = ("accuracy", "roc_auc", "log_loss")
_TICKS = "▁▂▃▄▅▆▇█"


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watched]:
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield Watched()
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            yield _Drawn(live, console)
    else:
        yield _Told()


class Watched:
    """Nobody looks; the others below say what they are told."""

    def begin(self, weeks: int) -> None:
        """So many periods are going to arrive."""

    def hear(self, step: str, status: StepStatus, message: str) -> None:
        """A step of a turn (a Listener)."""

    def add(self, week: Week) -> None:
        """A turn has ended."""

    def delivering(self, records: int) -> None:
        """Only MLflow is being waited for."""


class _Told(Watched):
    def begin(self, weeks: int) -> None:
        typer.echo(f"{weeks} turns to do" if weeks else "No further week has to arrive", err=True)

    def add(self, week: Week) -> None:
        if week.served is None and week.summary.retrained:
            typer.echo(first_result(week), err=True)
        else:
            typer.echo("  ".join(cells(week)).rstrip(), err=True)

    def delivering(self, records: int) -> None:
        if records:
            typer.echo(f"{records} records on the way to MLflow", err=True)


class _Drawn(Watched):
    def __init__(self, live: Live, console: Console) -> None:
        self._live, self._console = live, console
        self._weeks: list[Week] = []
        self._total = 0
        self._now = "reading the flights of 2013"
        self._spinner = Spinner("dots")
        self._live.update(self._view())

    def begin(self, weeks: int) -> None:
        self._total = weeks
        self._say("the first months arrive")

    def hear(self, step: str, status: StepStatus, message: str) -> None:
        self._say(step if status == "running" else f"{step}: {message}" if message else step)

    def add(self, week: Week) -> None:
        if week.served is None and week.summary.retrained:
            self._console.print(Text(first_result(week)))
        self._weeks.append(week)
        self._say("the next week arrives")

    def delivering(self, records: int) -> None:
        self._say(f"{records} records on the way to MLflow" if records else "MLflow has everything")

    def _say(self, now: str) -> None:
        self._now = now
        self._live.update(self._view())

    def _view(self) -> Group:
        done = Table.grid(padding=(0, 1))
        done.add_column(no_wrap=True)
        done.add_column(width=30)
        done.add_column(no_wrap=True)
        done.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=max(self._total, 1), completed=len(self._weeks), width=30)
        count = f"{len(self._weeks)}/{self._total}" if self._total else ""
        done.add_row(self._spinner, bar, Text(count), Text(self._now, style="dim"))
        return Group(
            _table(self._weeks[-max(self._console.height - _AROUND, 3) :]), _trend(self._weeks), done
        )


def first_result(week: Week) -> str:
    """How good the first model is, on the rows that were held out."""
    found = week.summary.metrics
    said = ", ".join(f"{name.replace('_', ' ')} {found[name]:.3f}" for name in _FIRST if name in found)
    rows = week.arrival.last - week.arrival.first
    return f"The first model, of {rows:,} flights from January to March: {said} on flights held out"


def cells(week: Week) -> tuple[str, ...]:
    """From when, flights, log loss, accuracy, drift, what was done, and the champion after it."""
    summary = week.summary
    moved = (
        next((e.value for e in summary.decision.evidence if e.check == "drift"), None)
        if summary.decision
        else None
    )
    return (
        f"{week.arrival.begins:%d %b}",
        f"{week.arrival.last - week.arrival.first:>6,}",
        _number(week.metrics.get("log_loss")),
        _number(week.metrics.get("accuracy")),
        f"{moved:5.2f}" if moved is not None else "    –",
        f"{_did(week):<9}",
        f"{summary.model_version or '–'}",
    )


def _did(week: Week) -> str:
    summary = week.summary
    if summary.status == "stopped":
        return "stopped"
    if summary.retrained:
        return "promoted" if summary.promoted else "refused"
    return summary.decision.action if summary.decision else ""


def _number(value: float | None) -> str:
    return "    –" if value is None else f"{value:.3f}"


def _table(weeks: Sequence[Week]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("from", "flights", "log loss", "accuracy", "drift"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("new model", no_wrap=True)
    drawn.add_column("champion", no_wrap=True)
    for week in weeks:
        drawn.add_row(*cells(week), style=_STYLES.get(_did(week), ""))
    return drawn


def _trend(weeks: Sequence[Week]) -> Text:
    values = [week.metrics["log_loss"] for week in weeks if "log_loss" in week.metrics]
    if not values:
        return Text("")
    low, high = min(values), max(values)
    step = (high - low) / (len(_TICKS) - 1) or 1.0
    line = "".join(_TICKS[round((value - low) / step)] for value in values)
    return Text(f"\nlog loss {line} {low:.2f} to {high:.2f}", style="cyan")
