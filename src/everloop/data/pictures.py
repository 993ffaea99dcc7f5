"""What lies between two versions as one picture: PNG bytes, drawn without pyplot (no global state)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from everloop.core.data import DatasetDiff

from .distributions import Spread

MOST_SPREADS = 6
_MOST_BARS = 20
_BEFORE, _AFTER = "#9aa5b1", "#1f5fa8"
_KEPT, _CHANGED, _REMOVED, _ADDED = "#c9d1d9", "#d9822b", "#c0392b", "#2e7d4f"


def picture(diff: DatasetDiff, spreads: Sequence[Spread], title: str) -> bytes:
    """Rows kept, changed, removed and added; the share of changed cells (or by how much statistics moved) of
    each column; how the values of the columns that moved most were spread before and after."""
    bars = _bars(diff)
    below = max(2.2, 0.9 + 0.26 * len(bars[1])) if bars[1] else 0.0
    lines = -(-len(spreads) // 2)
    height = max(below, 1.9 * lines, 0.6) + 1.5
    figure = Figure(figsize=(11, height), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(_label(title, 110), fontsize=12, x=0.01, ha="left")
    grid = figure.add_gridspec(2, 2, height_ratios=[1.0, max(height - 1.5, 0.6)], width_ratios=[5, 6])
    _rows(_plain(figure.add_subplot(grid[0, :])), diff)
    if bars[1]:
        _columns(_plain(figure.add_subplot(grid[1, 0])), *bars)
    if spreads:
        _spreads(figure, grid[1, 1] if bars[1] else grid[1, :], spreads)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _plain(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _rows(ax: Axes, diff: DatasetDiff) -> None:
    parts = (
        ("kept", diff.rows_kept, _KEPT),
        ("changed", diff.rows_changed, _CHANGED),
        ("removed", diff.rows_removed, _REMOVED),
        ("added", diff.rows_added, _ADDED),
    )
    total = max(sum(count for _, count, _ in parts), 1)
    left = 0
    for name, count, colour in parts:
        label = f"{count:,} {name}"
        ax.barh(0, count, left=left, color=colour, label=label, height=0.6)
        if count / total > 0.12:
            light = colour != _KEPT
            ax.text(left + count / 2, 0, label, ha="center", va="center", color="white" if light else "black")
        left += count
    ax.set(xlim=(0, total), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    by = f"by {_label(', '.join(diff.key), 60)}" if diff.key else "whole rows compared"
    ax.set_title(f"Rows, {by}", loc="left", fontsize=10)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=8, borderaxespad=0)


def _bars(diff: DatasetDiff) -> tuple[str, Mapping[str, float], int]:
    """A heading, a share for each of the columns to show, and how many there are."""
    both = diff.rows_kept + diff.rows_changed
    if diff.cells_changed:
        every = {name: count / both for name, count in diff.cells_changed.items()}
        heading = "Changed cells, of the rows in both"
    else:
        every = {change.name: change.shift for change in diff.changes if change.shift}
        heading = "Statistics moved by"
    return heading, dict(list(every.items())[:_MOST_BARS]), len(every)


def _columns(ax: Axes, heading: str, bars: Mapping[str, float], count: int) -> None:
    shares = heading.startswith("Changed")
    places = range(len(bars))
    ax.barh(places, list(bars.values()), color=_CHANGED if shares else _AFTER, height=0.65)
    ax.set_yticks(places, _labels(list(bars), 26), fontsize=8)
    widest = max(bars.values(), default=1.0)
    for place, value in zip(places, bars.values(), strict=True):
        shown = _percent(value) if shares else f"{value:.2g}"
        ax.text(value + widest * 0.01, place, shown, va="center", fontsize=7)
    ax.set_xlim(0, widest * 1.15)
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.tick_params(axis="x", labelsize=8)
    if shares:
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    more = f" ({len(bars)} of {count} columns)" if count > len(bars) else ""
    ax.set_title(heading + more, loc="left", fontsize=10)


def _spreads(figure: Figure, place: SubplotSpec, spreads: Sequence[Spread]) -> None:
    across = 2 if len(spreads) > 1 else 1
    inner = place.subgridspec(-(-len(spreads) // across), across)
    titles = _labels([found.name for found in spreads], 28)
    for at, found in enumerate(spreads):
        ax = _plain(figure.add_subplot(inner[at // across, at % across]))
        if found.levels:
            _levels(ax, found)
        else:
            _histogram(ax, found)
        ax.set_title(titles[at], loc="left", fontsize=9)
        ax.tick_params(labelsize=7)
        if at == 0:
            ax.legend(frameon=False, fontsize=7, loc="best")


def _histogram(ax: Axes, found: Spread) -> None:
    ax.stairs(found.before, found.edges, fill=True, color=_BEFORE, alpha=0.6, label="before")
    ax.stairs(found.after, found.edges, color=_AFTER, linewidth=1.5, label="after")
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if found.is_time:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _date(seconds)))


def _levels(ax: Axes, found: Spread) -> None:
    places = np.arange(len(found.levels))
    ax.barh(places - 0.2, found.before, height=0.38, color=_BEFORE, label="before")
    ax.barh(places + 0.2, found.after, height=0.38, color=_AFTER, label="after")
    ax.set_yticks(places, [_label(level, 18) for level in found.levels])
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):  # a year that the calendar does not have
        return f"{seconds:.3g}"


def _labels(names: Sequence[str], longest: int) -> list[str]:
    """Names cut so that they can still be told apart: where their ends are alike, what they begin with in
    common is left out."""
    cut = [_label(name, longest) for name in names]
    alike = [name for name, label in zip(names, cut, strict=True) if cut.count(label) > 1]
    letters = enumerate(zip(*alike, strict=False))
    shared = max(next((at for at, several in letters if len(set(several)) > 1), 0) - 2, 0)
    return [
        _escaped(f"…{name[shared : shared + longest - 2]}…") if name in alike else label
        for name, label in zip(names, cut, strict=True)
    ]


def _label(text: str, longest: int) -> str:
    """``text`` without its middle where it is too long: names that differ often do so at their end."""
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return _escaped(text)


def _escaped(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar begins a formula
