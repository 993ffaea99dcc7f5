"""``everloop data diff``: what lies between two versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import late, plain
from everloop.cli.call import Call, command
from everloop.core.errors import Invalid

from . import files
from .group import app

if TYPE_CHECKING:
    from everloop.core.data import Cell, ColumnChange, DatasetDiff, RowChange

_COLUMNS = 20
_EXAMPLES = 5
_LONGEST = 40


@command(app)
def diff(
    call: Call,
    before: Annotated[str, typer.Argument(metavar="A", help="The earlier version.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The later version.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN,…", help="What tells rows apart [a column that is unique in both]"),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole-rows", help="Compare whole rows, without a key.")] = False,
    rows: Annotated[int, typer.Option(min=0, help="Show so many rows of each kind.")] = _EXAMPLES,
    picture: Annotated[Path | None, typer.Option(help="Draw it into this PNG file too.")] = None,
) -> None:
    """Compare two versions: schema, rows added, removed and changed, cells, and statistics that moved; of
    versions of files: which were added, removed, changed and renamed.

    \b
    Example:
      everloop data diff flights@latest~1 flights@latest
      everloop data diff flights@golden flights@latest --key carrier,flight,day --picture diff.png
    """
    if picture and picture.suffix.lower() != ".png":
        raise Invalid(f"--picture '{picture}' is no PNG file.", remedy="End the name in .png.")
    if key is not None and not key.strip():
        raise Invalid("--key '' names no column.", remedy="Name some, or say --whole-rows.")
    chosen = [] if whole else [name.strip() for name in key.split(",")] if key else None
    with call.project() as project:
        old, new = late.data.find(project, before), late.data.find(project, after)
        if old.kind == new.kind == "files":
            between = late.files.compare(project, old, new)
            call.answer({"diff": between}, lambda: files.show_diff(between))
            return
        found = late.comparison.compare(project, old, new, key=chosen, examples=rows)
        drawn = late.pictures.draw(project, found, old, new, Path.cwd() / picture) if picture else None
    call.answer({"diff": found, "picture": drawn}, lambda: _show(found, drawn))


def _show(diff: DatasetDiff, picture: Path | None) -> None:
    out = late.output
    out.pairs(
        {
            "rows": f"{diff.rows_added:,} added, {diff.rows_removed:,} removed, "
            f"{diff.rows_changed:,} changed, {diff.rows_kept:,} kept"
            + (" (in another order)" if diff.rows_reordered else ""),
            "compared by": _by(diff),
            **{name: value for name, value in _schema(diff).items() if value},
        }
    )
    for remark in _remarks(diff):
        out.line(remark)
    if diff.cells_changed:
        both = diff.rows_changed + diff.rows_kept
        names = ("column", "cells changed", "of rows in both")
        cells = list(diff.cells_changed.items())
        out.table(
            names,
            [(_short(n), count, f"{count / both:.1%}") for n, count in cells[:_COLUMNS]],
            right=names[1:],
        )
        _more(len(cells), "columns with changed cells")
    _show_rows(diff)
    moved = [
        (_short(c.name), f"{c.shift:.2g}", a.mean, b.mean, a.missing, b.missing, _kinds(c))
        for c in diff.changes
        if (a := c.before) and (b := c.after)
    ]
    if moved:
        heads = ("statistics of", "moved", "mean A", "mean B", "missing A", "missing B", "most moved")
        out.table(heads, moved[:_COLUMNS], right=heads[1:6], fold=heads[6:])
        _more(len(moved), "columns whose statistics moved")
    if picture:
        out.line(f"drawn in {picture}")


def _by(diff: DatasetDiff) -> str:
    if diff.before == diff.after and not diff.key:
        return "their ids: both have the same content"
    if diff.key_from == "none":
        return "whole rows; --key COLUMN tells which rows changed"
    guessed = " (unique in both; --key takes another)" if diff.key_from == "guessed" else ""
    return ", ".join(map(_short, diff.key)) + guessed


def _schema(diff: DatasetDiff) -> dict[str, object]:
    apart = diff.columns_not_compared
    retyped = [
        f"{_short(name)}: {old} -> {new}" + (" (values not compared)" if name in apart else "")
        for name, (old, new) in diff.columns_retyped.items()
    ]
    return {
        "columns added": [_short(name) for name in diff.columns_added],
        "columns removed": [_short(name) for name in diff.columns_removed],
        "types changed": retyped,
        "columns moved": [_short(name) for name in diff.columns_reordered],
    }


def _remarks(diff: DatasetDiff) -> list[str]:
    remarks = []
    if not diff.compared:
        remarks.append("The versions share no column that can be compared, and so no row.")
    if any(diff.repeated):
        a, b = diff.repeated
        remarks.append(
            f"The key is not unique: {a:,} rows of A and {b:,} of B repeat one. Of rows with the same key "
            "the first was compared with the first, the second with the second …"
        )
    if any(diff.keyless):
        a, b = diff.keyless
        remarks.append(f"The key has missing values in {a:,} rows of A and {b:,} of B; they count as equal.")
    return remarks


def _show_rows(diff: DatasetDiff) -> None:
    out = late.output
    if diff.examples.changed:
        heading = f"changed rows, of {diff.rows_changed:,}"
        rows = [(_text(change.key), _cells(change)) for change in diff.examples.changed]
        out.table((heading, "before -> after"), rows, fold=("before -> after",))
    for kind, examples, count in (
        ("added", diff.examples.added, diff.rows_added),
        ("removed", diff.examples.removed, diff.rows_removed),
    ):
        if examples:
            heading = f"{kind} rows, of {count:,}"
            out.table((heading,), [(_text(row),) for row in examples], fold=(heading,))


def _cells(change: RowChange) -> str:
    return ", ".join(f"{_short(name)}: {_short(a)} -> {_short(b)}" for name, (a, b) in change.cells.items())


def _text(row: Mapping[str, Cell]) -> str:
    return ", ".join(f"{_short(name)}={_short(value)}" for name, value in row.items())


def _short(value: Cell) -> str:
    shown = "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return plain.cut(plain.inline(shown), _LONGEST)


def _kinds(change: ColumnChange) -> str:
    told = sorted(change.shifts.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {value:.2g}" for kind, value in told)


def _more(count: int, what: str) -> None:
    if count > _COLUMNS:
        late.output.line(f"… and {count - _COLUMNS:,} more {what}; --json has all.")
