"""How features are distributed, usually and in a window, in bars that can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.core.monitoring import Result
from everloop.monitoring.bins import Bins
from everloop.monitoring.columns import Floats
from everloop.monitoring.levels import Levels
from everloop.monitoring.reference import FeatureReference, Reference
from everloop.monitoring.windows import FeatureWindow, Window

MOST_LEVELS = 12
MOST_VALUES = 20  # of a number that is drawn value by value
_BARS = 30
_WIDEST = 1e306  # beyond it what draws has no numbers for its margins


@dataclass(frozen=True)
class Shape:
    """How a feature is distributed, usually and now: a share for each bar. Of numbers
    ``ends`` are where bars begin and the last ends; of levels they have ``names``."""

    subject: str
    family: str
    kind: str
    names: tuple[str, ...]
    ends: tuple[float, ...]
    usual: tuple[float, ...]
    now: tuple[float, ...]
    missing: tuple[float, float]
    message: str


def of(
    reference: Reference,
    window: Window,
    names: Sequence[str],
    results: Sequence[Result],
    *,
    family: str = "data",
) -> list[Shape]:
    """Of these features, in their order, with what was found about each; of those that have no values on
    either side there is nothing to draw, nor of those that no axis holds."""
    found = (_shape(reference, window, name, family, results) for name in names)
    return [each for each in found if each is not None]


def _shape(
    reference: Reference, window: Window, name: str, family: str, results: Sequence[Result]
) -> Shape | None:
    feature, here = reference.features.get(name), window.features.get(name)
    if feature is None or here is None or not here.present:
        return None
    names: tuple[str, ...] = ()
    ends: tuple[float, ...] = ()
    if feature.bins is not None and feature.bins.total and _is_counted(feature.bins, feature.kind):
        names, usual, now = _value_bars(feature.bins, here)
    elif feature.bins is not None and feature.bins.total:
        bars = _bars(feature.bins, here)
        if bars is None:
            return None
        ends, usual, now = bars
    elif feature.levels is not None:
        names, usual, now = _level_bars(feature.levels, here)
    else:
        return None
    messages = [
        each.message for each in results
        if each.subject == name and (each.family == "prediction") == (family == "prediction") and each.fired
    ]  # fmt: skip
    return Shape(
        name, family, _kind(feature), names, ends, usual, now,
        (feature.missing / feature.rows, here.missing / max(here.rows, 1)), messages[0] if messages else "",
    )  # fmt: skip


def _kind(feature: FeatureReference) -> str:
    """How its axis is read: a date, but for spans and times of the day."""
    if feature.type.startswith(("duration", "time32", "time64")):
        return "duration" if feature.type.startswith("duration") else "time of day"
    return feature.kind


Bars = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


LevelBars = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]


def _bars(bins: Bins, here: FeatureWindow) -> Bars | None:
    """Of equal width over where nearly all of both lies; None where that is too wide to be drawn."""
    least = min(float(bins.edges[0]), here.minimum if here.minimum is not None else np.inf)
    most = max(float(bins.edges[-1]), here.maximum if here.maximum is not None else -np.inf)
    at = np.concatenate([[least], bins.edges, [most]])
    usual = np.concatenate([[0.0], np.cumsum(bins.shares)])
    now = np.concatenate([[0.0], np.cumsum(here.counts / here.present)])
    lines = ((at, usual), _known(at, now, here))
    low = min(float(np.interp(0.005, shares, places)) for places, shares in lines)
    high = max(float(np.interp(0.995, shares, places)) for places, shares in lines)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    if high - low > _WIDEST:
        return None
    ends = low + np.linspace(0, 1, _BARS + 1) * (high - low)
    drawn = [tuple(map(float, np.diff(np.interp(ends, *line)))) for line in lines]
    return tuple(map(float, ends)), drawn[0], drawn[1]


def _known(at: Floats, now: Floats, here: FeatureWindow) -> tuple[Floats, Floats]:
    """Places and the share of rows up to them: nothing lies below the least value or above the greatest,
    which tells where rows beyond all bins are."""
    if here.minimum is None or here.maximum is None:
        return at, now
    least, most = float(np.nextafter(here.minimum, -np.inf)), here.maximum
    places = np.concatenate([at, [least, most]])
    shares = np.concatenate([np.where(at <= least, 0.0, np.where(at >= most, 1.0, now)), [0.0, 1.0]])
    order = np.lexsort((shares, places))
    return places[order], shares[order]


def _is_counted(bins: Bins, kind: str) -> bool:
    """Few values, each in a bin of its own: between them lies nothing that could be drawn."""
    return bins.edges.size <= MOST_VALUES + 1 and kind != "date"


def _value_bars(bins: Bins, here: FeatureWindow) -> LevelBars:
    """One for each value of the reference, with what lies below and above them all."""
    values = [f"{each:.6g}" for each in bins.edges[1:]]
    names = [f"under {values[0]}", *values, f"over {values[-1]}"]
    usual, now = bins.shares, here.counts / here.present
    shown = [n for n in range(len(names)) if usual[n] or now[n]]
    return (
        tuple(names[n] for n in shown),
        tuple(float(usual[n]) for n in shown),
        tuple(float(now[n]) for n in shown),
    )


def _level_bars(levels: Levels, here: FeatureWindow) -> LevelBars:
    """The most frequent on either side, and all others together."""
    usual = dict(zip(levels.names, map(float, levels.shares), strict=False))
    now = {name: int(count) / here.present for name, count in zip(levels.names, here.counts, strict=False)}
    now |= {name: count / here.present for name, count in here.named.items()}
    shown = sorted({*usual, *now}, key=lambda name: (-max(usual.get(name, 0), now.get(name, 0)), name))
    names = shown[:MOST_LEVELS]
    before, after = ([each.get(name, 0.0) for name in names] for each in (usual, now))
    if len(shown) > MOST_LEVELS or not levels.complete:
        names = [*names, "(others)"]
        before, after = ([*each, max(0.0, 1 - sum(each))] for each in (before, after))
    return tuple(names), tuple(before), tuple(after)
