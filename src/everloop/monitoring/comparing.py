"""One feature of a window against the reference: how far, and how surprising.

Everything that is tested is a mean over rows (of a component of the rank, of a level's indicator, of a
missing value), so one rule covers rows that depend on each other: its variance is that of independent rows
times the design effect that the reference's own chunks of time show at this size (chunks.py), for the window
and for the reference, whose own error counts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtr

from everloop.core.monitoring import Family, Level

from . import evidence, words
from .bins import Bins
from .chunks import Usual
from .columns import Floats
from .levels import Levels
from .reference import FeatureReference, Reference
from .windows import FeatureWindow, Window

DISTANCE, VARIATION, MISSING, NEW = 0.05, 0.03, 0.01, 0.002
"""Smallest effects that count: of the largest distance of two distributions, of the total variation distance
less what chance makes, of a share of missing values, of a new level."""
_WIDE = 1.358  # 95 % of a Kolmogorov distance
_LIKELY = 1.96
_SURE = 0.001  # chance up to which a level is named beside one that comes no more
_LISTED = 3  # of them
_FAR = 10_000  # standard deviations; farther has no decimals
_FITTED = 150  # rows of the reference: polynomials of the rank of fewer bend where it has none
_SETTLED = 10  # of one variance: rows enough for the tail of a share to be smooth


@dataclass(frozen=True)
class Compared:
    """A test and its effect. ``beyond``: the effect is one that counts. ``certain``: seen, not inferred.
    ``parts``: what it was tested by (components, levels, pairs) in signed standard errors; ``part``: the one
    that says most."""

    family: Family
    subject: str
    statistic: str
    p_value: float
    beyond: bool
    words: str
    level: Level = "info"
    value: float | None = None
    usual: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    certain: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    parts: Floats = field(default_factory=lambda: np.zeros(0))
    part: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.family, self.subject, self.statistic


@dataclass(frozen=True)
class _Beside:
    """A feature in a window and what the reference makes of it in the same phases: expected ``shares`` of
    bins or levels, of ``missing`` values, and the rows of the reference that this rests on."""

    feature: FeatureReference
    window: FeatureWindow
    shares: Floats
    missing: float
    rows: float  # of the reference
    present: float  # … that have a value


def compare(reference: Reference, window: Window, name: str) -> list[Compared]:
    """All tests of one feature. One that cannot show anything (no missing values on either side) is left
    out, so that it costs the others nothing (Tarone 1990)."""
    beside = _beside(reference, window, name)
    if not beside.window.rows or beside.window.strange:
        return []
    compared = _gone(beside)
    bins, levels = beside.feature.bins, beside.feature.levels
    if bins is not None and beside.present:
        compared += _infinite(beside)
    if beside.window.present and bins is not None and beside.present:
        compared += [_number(beside, bins), *_constant(beside)]
    if beside.window.present and levels is not None and beside.present:
        compared += [_levels(beside, levels), *_new(beside), *_vanished(beside), *_constant(beside)]
    return compared


def _beside(reference: Reference, window: Window, name: str) -> _Beside:
    feature, here = reference.features[name], window.features[name]
    held = feature.bins or feature.levels
    shares = held.shares if held is not None else np.ones(1)
    present = held.total if held is not None else feature.rows - feature.missing
    missing = feature.missing / feature.rows
    known = window.slots[:-1]
    if not len(reference.slots) or not known.sum():
        return _Beside(feature, here, shares, missing, feature.rows, present)
    weights = (known + window.slots[-1] * reference.slot_rows / reference.rows) / max(window.rows, 1)
    by_slot = np.maximum(reference.slot_rows, 1)
    missing = float(weights @ (feature.slots_missing / by_slot))
    rows = 1 / float((weights**2 / by_slot).sum())
    if held is None:
        return _Beside(feature, here, shares, missing, rows, rows * (1 - missing))
    counted = feature.slots.sum(axis=1)
    mix = weights @ (feature.slots / by_slot[:, None])
    held_weights = weights * counted / by_slot
    if not mix.sum():
        return _Beside(feature, here, shares, missing, rows, 0)
    present = held_weights.sum() ** 2 / float((held_weights**2 / np.maximum(counted, 1)).sum())
    if feature.bins is not None:  # groups of bins: within a group as in all of the reference
        whole = np.bincount(feature.groups, weights=shares, minlength=mix.size)
        ratio = np.divide(mix, whole, out=np.zeros_like(mix), where=whole > 0)
        mix = shares * ratio[feature.groups]
    return _Beside(feature, here, mix / mix.sum(), missing, rows, present)


def _number(beside: _Beside, bins: Bins) -> Compared:
    feature, here = beside.feature, beside.window
    rows, there = here.present, beside.present
    usual, longer = feature.dependence.at(here.rows), feature.dependence.at(beside.rows)
    effects = usual.effect / rows + longer.effect / there
    off = here.counts / rows - beside.shares
    gaps = np.cumsum(off)
    place = int(np.argmax(np.abs(gaps)))
    distance = float(abs(gaps[place]))
    count = bins.components.shape[1]
    free_rows = float(1 / effects[count])
    chances = [_distance_chance(distance / float(usual.peak[count]), free_rows, float(usual.freedom[count]))]
    variance, lean, peaked = evidence.shape(beside.shares, bins.components)
    parts, each = _components(beside, off @ bins.components, variance, lean, usual, longer)
    settled = evidence.settled(lean, peaked, 1 / effects[:count])
    if settled.any() and there >= _FITTED:
        chances.append(int(settled.sum()) * float(each[settled].min()))
    least = evidence.least(rows / float(usual.effect[count]), there / float(longer.effect[count]))
    p_value = min(1.0, max(least, len(chances) * min(chances)))
    width = _WIDE / np.sqrt(free_rows)
    told, moments = _moments(feature, here)
    told = f"{told}, KS distance {distance:.3f} (floor {DISTANCE}), {words.chance(p_value)}"
    return Compared(
        "data", feature.name, "ks", p_value, distance >= DISTANCE, told,
        value=distance, usual=0.0, low=max(0.0, distance - width), high=min(1.0, distance + width),
        floor=DISTANCE,
        details={
            **moments, "rows": rows, "independent_rows": rows / float(usual.effect[count]),
            "direction": "up" if gaps[place] < 0 else "down",
        },
        parts=parts, part=int(np.argmax(np.abs(parts))) if parts.size else 0,
    )  # fmt: skip


def _moments(feature: FeatureReference, here: FeatureWindow) -> tuple[str, dict[str, float | None]]:
    """Mean and standard deviation, in words and numbers; of values too far off to add up, their range."""
    thing = "length of " if feature.kind == "text" else ""
    before = 0.0 if feature.constant else feature.scale
    mean, spread, moved = here.mean(feature), here.deviation(feature), None
    if mean is None or spread is None:
        told = f"{thing}'{feature.name}': from {_told(feature, here.minimum)} to "
        told += f"{_told(feature, here.maximum)}, usually from {_told(feature, feature.minimum)} to "
        told += _told(feature, feature.maximum)
    else:
        moved = (mean / 2 - feature.centre / 2) / (feature.scale / 2)  # twice 10^308 is none
        by = "" if feature.constant else f" ({moved:{'+.2f' if abs(moved) < _FAR else '+.3g'}} sd)"
        told = f"{thing}'{feature.name}': mean {_told(feature, feature.centre)} → "
        told += f"{_told(feature, mean)}{by}, sd {words.spread(before, feature.kind)} → "
        told += words.spread(spread, feature.kind)
    return told, {
        "mean": mean, "usual_mean": feature.centre, "sd": spread, "usual_sd": before, "shift": moved,
    }  # fmt: skip


def _told(feature: FeatureReference, value: float | None) -> str:
    return words.number(value, feature.kind, feature.type)


def _distance_chance(distance: float, rows: float, freedom: float) -> float:
    chance = evidence.of_distance(distance, rows)
    if np.isinf(freedom):
        return chance
    return max(chance, min(1.0, 2 * float(stdtr(freedom, -2 * distance * np.sqrt(rows)))))


def _components(
    beside: _Beside, off: Floats, variance: Floats, lean: Floats, usual: Usual, longer: Usual
) -> tuple[Floats, Floats]:
    """Of each component: how far its mean lies off in standard errors, and the chance of that."""
    count = off.size
    variance = np.maximum(variance, 1e-9)
    here = usual.effect[:count] / beside.window.present
    there = longer.effect[:count] / beside.present
    z = off / np.sqrt(variance * (here + there)) / usual.peak[:count]
    lean = lean * (here**2 - there**2) / (here + there) ** 1.5
    return z, evidence.of_means(z, lean, usual.freedom[:count])


def share_chances(counts: Any, rows: float, shares: Any, there: float, usual: Usual, longer: Usual) -> Floats:
    """Of shares: exact where rare, of means where not; for dependent rows as for so many fewer."""
    counts, shares = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    free, free_there = rows / usual.effect, there / longer.effect
    k, big = counts / usual.effect, shares * free_there
    pooled = (k + big) / (free + free_there)
    often = pooled > 0.5
    rare = evidence.of_rare(
        np.where(often, free - k, k), free, np.where(often, free_there - big, big), free_there
    )
    inner = np.clip(pooled, 1e-12, 1 - 1e-12)
    variance_of = inner * (1 - inner)
    variance = variance_of * (1 / free + 1 / free_there)
    z = (counts / rows - shares) / np.sqrt(variance) / usual.peak
    lean = (1 - 2 * inner) / np.sqrt(variance_of)
    lean = lean * (free**-2 - free_there**-2) / (1 / free + 1 / free_there) ** 1.5
    middle = (pooled > 0.1) & (pooled < 0.9) & (free * variance_of >= _SETTLED)
    dependent = ~np.isinf(usual.freedom)
    of_means = evidence.of_means(z, lean, usual.freedom)
    return np.where(middle, of_means, np.where(dependent, np.maximum(rare, of_means), rare))


def _part(usual: Usual, which: slice | list[int]) -> Usual:
    return Usual(usual.effect[which], usual.freedom[which], usual.peak[which])


def _gone(beside: _Beside) -> list[Compared]:
    feature, here = beside.feature, beside.window
    if not feature.missing and not here.missing:
        return []
    usual, longer = (_part(feature.dependence.at(rows), slice(-1, None)) for rows in (here.rows, beside.rows))
    share = here.missing / here.rows
    p_value = float(share_chances([here.missing], here.rows, [beside.missing], beside.rows, usual, longer)[0])
    low, high = _wilson(share, here.rows / float(usual.effect[0]))
    change = share - beside.missing
    whole = " (all of them)" if share == 1 else ""
    return [
        Compared(
            "quality", feature.name, "missing", p_value, abs(change) >= MISSING,
            f"'{feature.name}': missing {words.share(beside.missing)} → {words.share(share)}{whole} of "
            f"{words.rows(here.rows)} ({words.points(change)}, floor 1 point), {words.chance(p_value)}",
            level="critical" if change >= 0.1 else "warning" if change > 0 else "info",
            value=share, usual=beside.missing, low=low, high=high, floor=MISSING,
            details={"missing": here.missing, "rows": here.rows},
        )
    ]  # fmt: skip


def _infinite(beside: _Beside) -> list[Compared]:
    feature, here = beside.feature, beside.window
    count, before = here.negative + here.positive, feature.negative + feature.positive
    if not count and not before:
        return []
    share, usual = count / here.rows, before / feature.rows
    p_value = float(evidence.of_rare(count, here.rows, before, feature.rows))
    low, high = _wilson(share, here.rows)
    return [
        Compared(
            "quality", feature.name, "infinite", p_value, abs(share - usual) >= NEW,
            f"'{feature.name}': infinite values {words.share(usual)} → {words.share(share)} of "
            f"{words.rows(here.rows)}, {words.chance(p_value)}",
            level="critical" if share - usual >= 0.1 else "warning",
            value=share, usual=usual, low=low, high=high, floor=NEW,
            details={"negative": here.negative, "positive": here.positive},
        )
    ]  # fmt: skip


def _constant(beside: _Beside) -> list[Compared]:
    """All rows have one value, where the reference's differ."""
    feature, here = beside.feature, beside.window
    at = np.flatnonzero(here.counts)
    one = here.minimum == here.maximum if feature.bins is not None else at.size == 1
    if feature.constant or not one or here.present < 2:
        return []
    free = here.present / float(feature.dependence.at(here.rows).effect[:-1].max(initial=1.0))
    chance = float(max(beside.shares[at[0]], 1 / beside.present) ** max(free - 1, 0))
    value = _told(feature, here.minimum)
    if feature.kind == "text":
        value = f"{value} {'letter' if here.minimum == 1 else 'letters'} long" if here.minimum else "empty"
    named = None
    if feature.levels is not None:
        listed = feature.levels.names
        named = listed[at[0]] if at[0] < len(listed) else next(iter(here.named), None)
        value = "of rare levels" if named is None else f"'{named}'"
    return [
        Compared(
            "quality", feature.name, "constant", chance, True,
            f"'{feature.name}': all {words.rows(here.present)} are {value}; in the reference they differ, "
            f"{words.chance(chance)}",
            level="critical", value=1.0, usual=float(beside.shares.max()),
            details={"value": here.minimum if feature.levels is None else named, "words": value},
        )
    ]  # fmt: skip


def _levels(beside: _Beside, levels: Levels) -> Compared:
    feature, here = beside.feature, beside.window
    rows, there = here.present, beside.present
    usual, longer = (_part(feature.dependence.at(size), slice(0, -1)) for size in (here.rows, beside.rows))
    counts = here.counts.astype(np.float64)
    held = (counts > 0) | (beside.shares > 0)
    each = share_chances(counts, rows, beside.shares, there, usual, longer)
    chances = [float(each[held].min()) * int(held.sum())]
    if np.isinf(usual.freedom).all():
        chances.append(evidence.of_shares(counts[held], beside.shares[held], rows, there))
    p_value = min(1.0, len(chances) * min(chances))
    seen = counts / rows
    pooled = (counts + beside.shares * there) / (rows + there)
    spread = np.sqrt(pooled * (1 - pooled) * (usual.effect / rows + longer.effect / there))
    parts = np.divide(seen - beside.shares, spread, out=np.zeros_like(seen), where=spread > 0) / usual.peak
    raw = float(np.abs(seen - beside.shares).sum()) / 2
    noise = float(np.sqrt(2 / np.pi) * spread.sum()) / 2
    distance = float(np.sqrt(max(raw**2 - noise**2, 0.0)))
    reach = _LIKELY / 2 * float(np.sqrt(usual.effect.max() / rows + longer.effect.max() / there))
    moved = _moved(levels, beside.shares, seen)
    first = ", ".join(
        f"{name or 'others'} {words.share(before)} → {words.share(after)}"
        for name, (before, after) in moved.items()
    )
    return Compared(
        "data", feature.name, "tv", p_value, distance >= VARIATION,
        f"'{feature.name}': {words.share(distance)} of the rows changed level (floor 3 %): "
        f"{first}; {words.chance(p_value)}",
        value=distance, usual=0.0, low=max(0.0, distance - reach), high=min(1.0, raw + reach),
        floor=VARIATION,
        details={
            "levels": {name or "others": list(pair) for name, pair in moved.items()}, "rows": rows,
            "independent_rows": rows / float(usual.effect.max()),
        },
        parts=parts, part=int(np.argmax(np.abs(parts))),
    )  # fmt: skip


def _moved(levels: Levels, before: Floats, after: Floats) -> dict[str | None, tuple[float, float]]:
    """The three levels whose shares changed most; None: all that are not listed."""
    width = len(levels.names)
    names = [*levels.names, None]
    usual, now = (np.append(each[:width], each[width:].sum()) for each in (before, after))
    most = np.argsort(-np.abs(now - usual), kind="stable")[:3]
    return {
        names[place]: (float(usual[place]), float(now[place])) for place in most if now[place] != usual[place]
    }


def _new(beside: _Beside) -> list[Compared]:
    """Levels that the reference has never seen. How often such come is told by levels it has seen once (Good
    1953), or, where it only knows those that it lists, by the rarest of them."""
    feature, here, levels = beside.feature, beside.window, beside.feature.levels
    if levels is None or not here.named:
        return []
    free = float(feature.dependence.at(here.rows).effect[:-1].max(initial=1.0))
    name, count = max(here.named.items(), key=lambda each: (each[1], each[0]))
    if levels.others is not None:
        before, times, count_all = levels.singles, 1, here.new
    elif levels.complete:
        before, times, count_all = levels.singles, 1, int(here.counts[len(levels.names) :].sum())
    else:
        rarest = int(levels.counts[: len(levels.names)].min())
        before, times, count_all = rarest, max(len(here.named), 100), count
    p_value = times * float(
        evidence.of_rare(count_all / free, here.present / free, before / free, beside.present / free)
    )
    share = count_all / here.present
    low, high = _wilson(share, here.present / free)
    known = "never seen in the reference" if levels.knows_new else "not among its 256 most frequent levels"
    few = dict(sorted(here.named.items(), key=lambda each: -each[1])[:5])
    return [
        Compared(
            "quality", feature.name, "new_level", min(p_value, 1.0), share >= NEW and count_all >= 3,
            f"'{feature.name}': {words.share(share)} of {words.rows(here.present)} have levels {known}: "
            f"{', '.join(map(repr, few))}; {words.chance(min(p_value, 1.0))}",
            level="warning", value=share, usual=before / max(beside.present, 1), low=low, high=high,
            floor=NEW, details={"levels": few, "largest": name, "open": before > 0},
        )
    ]  # fmt: skip


def _vanished(beside: _Beside) -> list[Compared]:
    feature, here, levels = beside.feature, beside.window, beside.feature.levels
    if levels is None or len(levels.names) < 2:
        return []
    width = len(levels.names)
    usual, longer = (_part(feature.dependence.at(size), slice(0, width)) for size in (here.rows, beside.rows))
    gone = (here.counts[:width] == 0) & (beside.shares[:width] >= MISSING)
    if not gone.any():
        return []
    each = share_chances(
        here.counts[:width], here.present, beside.shares[:width], beside.present, usual, longer
    )
    order = np.argsort(np.where(gone, each, 2.0), kind="stable")[: int(gone.sum())]
    place = int(order[0])
    p_value, before = min(1.0, float(each[place]) * width), float(beside.shares[place])
    lost = [int(at) for at in order if at == place or each[at] * width <= _SURE]
    return [
        Compared(
            "quality", feature.name, "vanished_level", p_value, True,
            f"'{feature.name}': {_lost(levels, beside.shares, lost)} not come in {words.rows(here.present)}; "
            f"{words.chance(p_value)}",
            level="warning", value=0.0, usual=before, floor=MISSING,
            high=_wilson(0.0, here.present / float(usual.effect[place]))[1], low=0.0,
            details={"level": levels.names[place], "levels": [levels.names[at] for at in lost]},
        )
    ]  # fmt: skip


def _lost(levels: Levels, shares: Floats, lost: list[int]) -> str:
    """Levels that come no more, the most surprising first."""
    if len(lost) == 1:
        return (
            f"level '{levels.names[lost[0]]}', {words.share(float(shares[lost[0]]))} of the reference, does"
        )
    told = [f"'{levels.names[at]}' ({words.share(float(shares[at]))})" for at in lost[:_LISTED]]
    more = len(lost) - len(told)
    some, last = (told, f"{more} more") if more else (told[:-1], told[-1])
    return f"levels {', '.join(some)} and {last} of the reference do"


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """95 % of a share (Wilson 1927)."""
    z = _LIKELY**2
    centre = (share + z / 2 / rows) / (1 + z / rows)
    half = float(np.sqrt(z * share * (1 - share) / rows + z**2 / 4 / rows**2)) / (1 + z / rows)
    return max(0.0, centre - half), min(1.0, centre + half)
