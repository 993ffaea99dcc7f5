"""Answers for people: tables that fit the terminal, numbers with sensible digits. And for machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import plain

_SHORT = 12
_RUN = 8
_UNBOUNDED = 1000


def to_json(document: object) -> str:
    return json.dumps(document, default=_plain, ensure_ascii=False, indent=2)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[str] = (),
    fold: Iterable[str] = (),
) -> None:
    """Print rows below their headings, within the terminal.

    ``right`` names columns of numbers, ``fold`` those of text that may go over several lines.
    """
    drawn = Table(box=SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, show_edge=False)
    numbers, texts = set(right), set(fold)
    for name in columns:
        drawn.add_column(
            name,
            justify="right" if name in numbers else "left",
            no_wrap=name not in texts,
            overflow="fold" if name in texts else "ellipsis",
        )
    for row in rows:
        drawn.add_row(*(Text(shown(value)) for value in row))
    _draw(drawn)


def pairs(values: Mapping[str, object]) -> None:
    """Print ``name  value`` lines."""
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in values.items():
        drawn.add_row(Text(name), Text(shown(value)))
    _draw(drawn)


def _draw(drawn: Table) -> None:
    """Where there is no terminal, lines end where their text does."""
    console = _console()
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as captured:
        console.print(drawn)
    for each in captured.get().splitlines():
        line(each.rstrip())


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """The reader has left (``| head``): for the outermost place to say, not an exit in the middle."""
        raise BrokenPipeError


def _console() -> Console:
    """As wide as the terminal; where there is none (a pipe, a file) nothing needs to be folded."""
    return _Stdout(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED)


def line(text: str, style: str = "") -> None:
    _console().print(Text(plain.text(text), style=style), soft_wrap=True)


def shown(value: object) -> str:
    """A value as people read it: 4 digits, thousands marked, times in UTC to the minute, nothing as '–',
    text in one line."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(part) for part in value) or "–"
    return plain.inline(str(value))


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def short(identifier: str | None) -> str | None:
    """The first characters of a content hash: enough to name it."""
    return identifier[:_SHORT] if identifier else None


def short_run(run_id: str) -> str:
    """The random ending of a run's or turn's id: enough to name it."""
    return run_id[-_RUN:]


def size(count: int) -> str:
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def seconds(value: float) -> str:
    return (
        f"{value * 1000:.0f} ms"
        if value < 1
        else f"{value:.1f} s"
        if value < 120
        else f"{value / 60:.0f} min"
    )


def without_password(url: str) -> str:
    return re.sub(r"(://[^/:@]*):[^@/]*@", r"\1:…@", url)
