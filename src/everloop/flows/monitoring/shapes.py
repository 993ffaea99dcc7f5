"""How features are distributed, usually and in a window, in bars that can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.core.monitoring import Result
from everloop.monitoring.bins import Bins
from everloop.monitoring.levels import Levels
from everloop.monitoring.reference import Reference
from everloop.monitoring.windows import FeatureWindow, Window

MOST_LEVELS = 12
MOST_VALUES = 20  # of a number that is drawn value by value
_BARS = 30


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
    either side there is nothing to draw."""
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
        ends, usual, now = _bars(feature.bins, here)
    elif feature.levels is not None:
        names, usual, now = _level_bars(feature.levels, here)
    else:
        return None
    messages = [
        each.message for each in results
        if each.subject == name and (each.family == "prediction") == (family == "prediction") and each.fired
    ]  # fmt: skip
    return Shape(
        name, family, feature.kind, names, ends, usual, now,
        (feature.missing / feature.rows, here.missing / max(here.rows, 1)), messages[0] if messages else "",
    )  # fmt: skip


Bars = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


LevelBars = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]


def _bars(bins: Bins, here: FeatureWindow) -> Bars:
    """Of equal width over where nearly all of both lies."""
    least = min(float(bins.edges[0]), here.minimum if here.minimum is not None else np.inf)
    most = max(float(bins.edges[-1]), here.maximum if here.maximum is not None else -np.inf)
    at = np.concatenate([[least], bins.edges, [most]])
    usual = np.concatenate([[0.0], np.cumsum(bins.shares)])
    now = np.concatenate([[0.0], np.cumsum(here.counts / here.present)])
    low = min(float(np.interp(0.005, each, at)) for each in (usual, now))
    high = max(float(np.interp(0.995, each, at)) for each in (usual, now))
    if not low < high:
        low, high = low - 0.5, high + 0.5
    ends = np.linspace(low, high, _BARS + 1)
    shares = [tuple(map(float, np.diff(np.interp(ends, at, each)))) for each in (usual, now)]
    return tuple(map(float, ends)), shares[0], shares[1]


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
