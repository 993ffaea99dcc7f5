"""One value that many rows have and few had: it stands in for missing ones, or for all beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from everloop.core.monitoring import Level, Result

from . import evidence, fits, words
from .columns import Coded, Floats, Numbers
from .fits import Sample
from .texture import FeatureTexture, runs

_LEAST = 0.02  # of the rows
_FEWEST = 10  # rows
_TIMES = 5.0  # as often as usual
_CHANCE = 1e-6
_MANY = 0.1
_MANY_ROWS = 200
_RARE = 0.02  # of the reference's rows
_LIKE = 0.3
_BEYOND = 100.0  # widths of the usual range
_ALONE = 4.0  # times as often as the next value that is more frequent than usual
STANDS_IN = frozenset(
    (
        *(0.0, -1.0, -9.0, 99.0, -99.0, 999.0, -999.0, 9999.0, -9999.0, 99999.0, -99999.0),
        *(32767.0, -32768.0, 65535.0, 2147483647.0, -2147483648.0, 999999.0, -999999.0, 1e9, 1e10),
    )
)
DATES = frozenset(
    (0.0, -2_208_988_800.0, 946_684_800.0, -62_135_596_800.0, 253_402_214_400.0, 4_102_444_800.0)
)
"""1970, 1900, 2000, 1, 9999 and 2100, their first days, or last."""
WORDS = frozenset(
    (
        *("", "null", "none", "nan", "n/a", "#n/a", "na", "nil", "undefined", "unknown", "missing", "?"),
        *("default", "-", "--", "-1", "999", "9999", "test", "todo", "tbd", "not available", "1970-01-01"),
    )
)


@dataclass(frozen=True)
class _Spike:
    value: float
    share: float
    usual: float
    chance: float


def find(name: str, sample: Sample, usual: FeatureTexture | None) -> Iterator[Result]:
    held = sample.held
    if sample.feature.kind == "text" and isinstance(held, Numbers):
        yield from _empty(name, sample, held)
    elif isinstance(held, Coded):
        yield from _word(name, sample, held)
    elif sample.feature.bins is not None:
        yield from _number(name, sample, usual)


def stands_in(sample: Sample, value: object) -> bool:
    """Whether a value is known to stand in for missing ones."""
    return value in (DATES if sample.feature.kind == "date" else STANDS_IN)


def _number(name: str, sample: Sample, usual: FeatureTexture | None) -> Iterator[Result]:
    spike = _alone(sample, usual)
    if spike is None:
        return
    feature, rest = sample.feature, sample.values[sample.values != spike.value]
    shown = words.number(spike.value, feature.kind, feature.type)
    if rest.size and _clipped(sample, spike):
        text = (
            f"'{name}' is clipped at {shown}: {words.share(spike.share)} of the rows are exactly there; "
            "usually they go on beyond."
        )
        yield _result(name, "clipped", text, spike.value, spike.share, spike.usual, most="warning")
        return
    known = stands_in(sample, spike.value) or _beyond(sample, spike.value)
    outside = _outside(sample, spike.value)
    never = feature.rows >= _MANY_ROWS and fits.decimals(feature) is None
    if spike.usual >= _RARE or not (known or never):
        return  # a number that is a code may well have a new value
    if never or (known and outside) or _as_usual(sample, rest):
        if never and not known and (run := _in_a_row(sample, spike.value)):
            text = f"'{name}' is stuck at {shown} in {words.rows(run)} in a row; usually it varies."
            yield _result(name, "stuck", text, spike.value, spike.share, spike.usual)
            return
        before = "none" if spike.usual == 0 else f"at most {words.share(spike.usual)}"
        text = (
            f"'{name}' is {shown} in {words.share(spike.share)} of the rows, usually in {before}: a default "
            "that stands in for missing values."
        )
        yield _result(name, "default value", text, spike.value, spike.share, spike.usual)


def _alone(sample: Sample, usual: FeatureTexture | None) -> _Spike | None:
    """The value that is much more frequent than it was, where no other is: values may well come in bunches,
    as those of one hour do. The texture tells by how much in the reference."""
    if sample.values.size < _FEWEST or sample.feature.bins is None:
        return None
    each, counts = np.unique(sample.values, return_counts=True)
    order = np.unique(np.concatenate([np.argsort(-counts)[:20], [0, each.size - 1]]))
    made = (_spike(sample, float(each[place]), int(counts[place]), usual) for place in order)
    spikes = sorted((one for one in made if one is not None), key=lambda one: one.usual - one.share)
    for one in spikes:
        if stands_in(sample, one.value) and _outside(sample, one.value) and _frequent(one):
            return one
    if not spikes or not _frequent(spikes[0]):
        return None
    excess = spikes[0].share - spikes[0].usual
    others = max((one.share - one.usual for one in spikes[1:]), default=0.0)
    bunched = usual.excess if usual is not None else 0.0
    return spikes[0] if excess >= _ALONE * others and excess >= 2 * bunched else None


def _in_a_row(sample: Sample, value: float) -> int:
    """The rows of a value that come in one run, where nearly all do; else 0."""
    held = sample.held
    if not isinstance(held, Numbers):
        return 0
    _, lengths = runs((held.values == value).astype(np.int64) - 1)
    most = int(lengths.max(initial=0))
    return most if most >= 0.8 * lengths.sum() else 0


def _frequent(spike: _Spike) -> bool:
    return spike.share >= max(_LEAST, _TIMES * spike.usual) and spike.chance <= _CHANCE


def _outside(sample: Sample, value: float) -> bool:
    feature = sample.feature
    return not float(feature.minimum or 0.0) <= value <= float(feature.maximum or 0.0)


def _beyond(sample: Sample, value: float) -> bool:
    """So far from the usual range that no code and no measurement would be."""
    feature = sample.feature
    low, high = float(feature.minimum or 0.0), float(feature.maximum or 0.0)
    room = _BEYOND * (high - low)
    return room > 0 and not low - room <= value <= high + room


def _spike(sample: Sample, value: float, count: int, usual: FeatureTexture | None) -> _Spike | None:
    bins, rows = sample.feature.bins, sample.values.size
    if bins is None or count < _FEWEST:
        return None
    place = int(bins.locate(np.asarray([value]))[0])
    sure = usual is not None or (stands_in(sample, value) and _outside(sample, value))
    free = rows if sure else sample.free
    chance = evidence.of_rare(count * free / rows, free, bins.counts[place], bins.total)
    return _Spike(value, count / rows, float(bins.shares[place]), float(chance) * bins.counts.size)


def _as_usual(sample: Sample, rest: Floats) -> bool:
    off = fits.distance(sample.feature, rest)
    near = 2 * fits.limit(fits.free_rows(sample.feature, rest.size))
    return off <= _LIKE / 2 or off <= near <= _LIKE


def _clipped(sample: Sample, spike: _Spike) -> bool:
    """All the rest lies on one side, and as many rows lay beyond as are now at the value."""
    values, bins = sample.values, sample.feature.bins
    if bins is None or spike.value not in (values.min(), values.max()):
        return False
    if spike.value == values.max():
        beyond = 1 - fits.share_below(sample.feature, spike.value)
    else:
        beyond = fits.share_below(sample.feature, float(np.nextafter(spike.value, -np.inf)))
    more = spike.share - spike.usual
    return beyond >= _LEAST and abs(beyond - more) <= max(0.5 * beyond, 0.05)


def _word(name: str, sample: Sample, held: Coded) -> Iterator[Result]:
    levels, rows = sample.feature.levels, held.codes[held.codes >= 0]
    if levels is None or rows.size < _FEWEST:
        return
    counts = np.bincount(rows, minlength=len(held.levels))
    places, _ = levels.located(held)
    for code, level in enumerate(held.levels):
        if level.strip().casefold() not in WORDS or counts[code] < _FEWEST:
            continue
        listed = level in levels.places
        usual = float(levels.shares[places[code]]) if listed else 0.0
        share = int(counts[code]) / rows.size
        free = fits.free_rows(sample.feature, rows.size) if usual else rows.size
        chance = evidence.of_rare(share * free, free, usual * levels.total, levels.total)
        if share >= _LEAST and share >= _TIMES * usual and chance <= _CHANCE:
            text = (
                f"'{name}' is '{level}' in {words.share(share)} of the rows, usually in "
                f"{words.share(usual)}: a default that stands in for missing values."
            )
            yield _result(name, "default value", text, level, share, usual)


def _empty(name: str, sample: Sample, held: Numbers) -> Iterator[Result]:
    rows = int(np.isfinite(held.values).sum())
    if rows < _FEWEST:
        return
    usual = sample.feature.empty / max(sample.feature.rows - sample.feature.missing, 1)
    share = held.empty / rows
    if share >= _LEAST and share >= _TIMES * usual:
        text = (
            f"'{name}' is an empty text in {words.share(share)} of the rows, usually in {words.share(usual)}."
        )
        yield _result(name, "default value", text, "", share, usual)


def _result(
    name: str, kind: str, text: str, at: object, share: float, usual: float, most: Level = "critical"
) -> Result:
    level = most if share >= _MANY else "warning"
    return Result(
        "quality", name, "fault", True, text, level,
        value=share, usual=usual, details={"fault": kind, "stands_at": at},
    )  # fmt: skip
