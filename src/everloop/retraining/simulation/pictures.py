"""The picture of simulated policies as PNG bytes: loss over time, and what was decided when."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from everloop.retraining.columns import Floats

_COLOURS = ("#1f5fa8", "#c8553d", "#3a8f5c", "#8a63b0", "#b8860b")
_NEVER = "#9aa5b1"
WINDOW = 7  # days of the mean that is drawn


@dataclass(frozen=True, eq=False)
class Line:
    """A policy: ``loss`` and ``rows`` (days,), NaN where nothing was judged; days of promotions and of
    trainings that came to nothing."""

    name: str
    loss: Floats
    rows: Floats
    promoted: Sequence[int]
    refused: Sequence[int]


def picture(title: str, metric: str, begin: Sequence[datetime], lines: Sequence[Line]) -> bytes:
    """``begin`` (days,): when each day begins."""
    figure = Figure(figsize=(9.0, 4.2), dpi=110, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    days = np.array([each.replace(tzinfo=None) for each in begin], dtype="datetime64[s]")
    for line, colour in zip(lines, _coloured(lines), strict=True):
        mean = smooth(line.loss, line.rows)
        alone = "o" if np.isfinite(mean).sum() == 1 else None  # one point makes no line
        order = 1 if colour == _NEVER else 2
        axes.plot(days, mean, label=line.name, color=colour, lw=1.5, marker=alone, zorder=order)
        for places, mark in ((line.promoted, "^"), (line.refused, "x")):
            there = [each for each in places if each < len(days) and np.isfinite(mean[each])]
            axes.plot(days[there], mean[there], mark, color=colour, ms=6)
    axes.plot([], [], "^", color="black", ms=6, label="promoted")
    axes.plot([], [], "x", color="black", ms=6, label="trained, not promoted")
    axes.set(title=title, ylabel=f"{metric}, mean of {WINDOW} days")
    axes.set_xlim(days[0] - np.timedelta64(12, "h"), days[-1] + np.timedelta64(12, "h"))
    axes.legend(ncols=3, fontsize=8, frameon=False)
    figure.autofmt_xdate()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def smooth(loss: Floats, rows: Floats) -> Floats:
    """(days,): the mean over the rows of each day and the days before; NaN where there are none."""
    there = np.isfinite(loss) & (rows > 0)
    sums, many = (
        np.concatenate([[0.0], np.cumsum(each)])
        for each in (np.where(there, loss * rows, 0.0), np.where(there, rows, 0.0))
    )
    first = np.maximum(np.arange(1, len(loss) + 1) - WINDOW, 0)
    total, count = sums[1:] - sums[first], many[1:] - many[first]
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1.0), np.nan))


def _coloured(lines: Sequence[Line]) -> list[str]:
    fresh = iter(_COLOURS * len(lines))
    return [_NEVER if line.name == "never" else next(fresh) for line in lines]
