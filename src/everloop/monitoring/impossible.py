"""Values that a feature cannot take: what the reference is made of rules them out.

Whole numbers do not turn into fractions, what was from 0 to 6 does not come as 600, what was never negative
is not so in every row, and a closed list does not get new names all over a window. Honest change moves what
there is. No distributions are compared for this, so it also shows in few rows, and where rows depend on each
other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from everloop.core.monitoring import Level, Result

from . import fits, units, words
from .columns import Coded, Floats, Ints
from .fits import Sample
from .levels import key_of
from .texture import FeatureTexture, runs

_LEAST_REFERENCE = 200  # rows
_FEWEST = 3  # rows
_SOME = 0.05  # of the rows
_MOST = 0.5  # of the values that are not 0, which stays 0 in any unit
_NEARLY, _NEARLY_ALL = 0.95, 0.8
_NEAR = 0.2  # of the least that was not 0
_FAR, _FARTHER = 4.0, 6.0  # widths of the usual range beyond it; of what wanders with the seasons
_MOVED, _MOVED_FAR = 3.0, 4.0  # standard deviations
_OPEN, _CLOSED = 0.1, 0.005  # of the rows have a level of their own: the next ones will, too
_MANY = 0.25  # of the rows
_OFTEN = 8  # apart from each other in time


def find(name: str, sample: Sample, usual: FeatureTexture | None) -> Iterator[Result]:
    """``usual``: None where it is not known; then numbers are not judged."""
    feature = sample.feature
    if feature.rows - feature.missing < _LEAST_REFERENCE or feature.constant:
        return
    if isinstance(sample.held, Coded):
        yield from _new_names(name, sample, sample.held)
    elif feature.kind == "number":
        values = sample.values[sample.values != 0]
        if values.size < _FEWEST:
            return
        if usual is not None:
            if usual.whole:
                yield from _fractions(name, sample, values)
            yield from _far(name, sample, values, _FAR if usual.steady else _FARTHER)
            yield from _turned(name, sample, values, usual)
            if usual.pair:
                yield from _third(name, sample, usual.pair)
            if usual.least:
                yield from _small(name, sample, values, usual.least)


def _fractions(name: str, sample: Sample, values: Floats) -> Iterator[Result]:
    odd = values[np.abs(values - np.rint(values)) > 1e-6]
    share = odd.size / sample.values.size
    if odd.size >= _FEWEST and (odd.size >= _MOST * values.size or share >= _SOME):
        text = (
            f"'{name}' was always a whole number and is a fraction in {words.share(share)} of the rows, such "
            f"as {words.number(float(odd[-1]))}: another unit, or another column's values."
        )
        yield _result(name, "fractions", text, share)


def _far(name: str, sample: Sample, values: Floats, widths: float) -> Iterator[Result]:
    """Nearly all of them many times the usual range away."""
    low, high = float(sample.feature.minimum or 0.0), float(sample.feature.maximum or 0.0)
    room = widths * (high - low)
    odd = values[(values < low - room) | (values > high + room)]
    if odd.size >= _FEWEST and odd.size >= _NEARLY_ALL * values.size:
        share = odd.size / sample.values.size
        text = (
            f"'{name}' was between {words.number(low)} and {words.number(high)} and is "
            f"{words.number(float(odd[-1]))} and the like in {words.share(share)} of the rows: another unit, "
            "or another column's values."
        )
        yield _result(name, "out of range", text, share)


def _small(name: str, sample: Sample, values: Floats, least: float) -> Iterator[Result]:
    """Nearer to 0 than anything but 0 was."""
    if (np.abs(values) < _NEAR * least).mean() >= _NEARLY:
        share = values.size / sample.values.size
        text = (
            f"'{name}' was 0 or at least {words.number(least)} from it, and is "
            f"{words.number(float(values[-1]))} and the like in {words.share(share)} of the rows: another "
            "unit, or another column's values."
        )
        yield _result(name, "out of range", text, share)


def _third(name: str, sample: Sample, pair: tuple[float, float]) -> Iterator[Result]:
    """Of a feature that is one of two numbers."""
    odd = sample.values[(sample.values != pair[0]) & (sample.values != pair[1])]
    share = odd.size / sample.values.size
    if share >= _MANY:
        text = (
            f"'{name}' was {words.number(pair[0])} or {words.number(pair[1])}, and is "
            f"{words.number(float(odd[-1]))} and the like in {words.share(share)} of the rows: another "
            "column's values."
        )
        yield _result(name, "out of range", text, share)


def _turned(name: str, sample: Sample, values: Floats, usual: FeatureTexture) -> Iterator[Result]:
    """Where the reference begins at 0, or counts from 1, or all of it lies far from its mirror image."""
    feature = sample.feature
    low, high = float(feature.minimum or 0.0), float(feature.maximum or 0.0)
    if low < 0 or (values < 0).mean() < _NEARLY or ((-values >= low) & (-values <= high)).mean() < _NEARLY:
        return
    moved = float(fits.quantiles(feature, np.asarray([0.5]))[0]) - float(np.median(values))
    counts = low == 0 or (usual.whole and low == 1)
    if counts or (usual.steady and moved >= _MOVED * feature.scale):
        share = float((sample.values < 0).mean())
        text = (
            f"'{name}' was never negative and is so in {words.share(share)} of the rows, within the usual "
            "range once the sign is turned."
        )
        yield _result(name, "sign turned", text, share)


def degrees(name: str, sample: Sample, usual: FeatureTexture | None) -> Iterator[Result]:
    """Temperatures of another scale: none is in the usual range, and nearly all are once it is undone."""
    feature, values = sample.feature, sample.values
    if feature.kind != "number" or values.size < _FEWEST or usual is None or not usual.steady:
        return
    low, high = float(feature.minimum or 0.0), float(feature.maximum or 0.0)
    moved = abs(float(np.median(values)) - float(fits.quantiles(feature, np.asarray([0.5]))[0]))
    if ((values < low) | (values > high)).mean() < _NEARLY or moved < _MOVED_FAR * feature.scale:
        return
    for each in units.KNOWN:
        undone = each.undone(values)
        if each.offset and ((undone >= low) & (undone <= high)).mean() >= _NEARLY:
            text = (
                f"'{name}' is nowhere in its usual range, and {each.words} explains it: undone, it is there."
            )
            yield _result(name, "unit change", text, 1.0)
            return


def _new_names(name: str, sample: Sample, held: Coded) -> Iterator[Result]:
    """Levels that are new, again and again over the window, where the reference has a closed list."""
    levels = sample.feature.levels
    if levels is None or not levels.knows_new or levels.singles > _OPEN * levels.total:
        return
    closed = levels.singles <= _CLOSED * levels.total
    new = np.array([levels.is_new(key_of(level)) for level in held.levels], dtype=bool)
    if not new.any():
        return
    is_new: Ints = np.where(held.codes >= 0, np.append(new, False)[held.codes], False).astype(np.int64)
    share, times = float(is_new.mean()), len(runs(is_new - 1)[0])
    largest = float(np.bincount(held.codes[is_new > 0]).max(initial=0)) / is_new.size
    if share >= _NEARLY or (closed and largest >= _MANY and times >= _OFTEN):
        first = held.levels[int(held.codes[np.flatnonzero(is_new)[-1]])]
        text = (
            f"'{name}' has levels never seen in the reference in {words.share(share)} of the rows, such as "
            f"'{first}', over the whole window."
        )
        yield _result(name, "new levels", text, share)


def _result(name: str, kind: str, text: str, share: float, level: Level = "critical") -> Result:
    details = {"fault": kind}
    return Result("quality", name, "fault", True, text, level, value=share, usual=0.0, details=details)
