"""A feature in another unit: the window is the reference times a factor, or with an offset, that is known.

Honest change moves a feature, spreads it, and lets positive ones grow by a factor. So a conversion is claimed
only where none of these explains the window as well, or where it took nearly all values out of their usual
range; or where values that are written to some decimals are so again once it is undone, and were not before.
What is left over: a weight with a wide spread that is 2.2 times as large cannot be told from one that grew,
and is not called another unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import fits
from .columns import Floats
from .fits import Sample
from .texture import decimals_of

_FAR = 5.0  # a spread does not grow by so much
_FARTHEST = 20.0  # a factor that no unit is known of
_APART = 0.1  # from the reference, and from what honest change would have made
_GROWN = 0.95  # from the reference: farther than four standard deviations
_CLOSE = 0.02  # of a step: factors are not written to all digits
_FIT = 0.12
_LEAST = 20  # independent rows
_FARTHER = 10.0  # standard deviations; honest change does not go so far
_OFFSET = 0.8  # … where the offset has to fit as well


@dataclass(frozen=True)
class Conversion:
    """``now = factor · usual + offset``."""

    factor: float
    offset: float
    words: str

    def undone(self, values: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return (values - self.offset) / self.factor

    @property
    def far(self) -> bool:
        return not 1 / _FAR < abs(self.factor) < _FAR


def _both(factor: float, one: str, other: str, offset: float = 0.0) -> list[Conversion]:
    back = Conversion(1 / factor, -offset / factor, f"{other} became {one}")
    return [Conversion(factor, offset, f"{one} became {other}"), back]


KNOWN: tuple[Conversion, ...] = tuple(
    conversion
    for pair in (
        _both(1.8, "°C", "°F", 32.0),
        _both(1.0, "°C", "K", 273.15),
        _both(1.8, "K", "°F", -459.67),
        _both(1.609344, "miles", "kilometres"),
        _both(1.852, "knots", "km/h"),
        _both(2.20462262, "kilograms", "pounds"),
        _both(2.54, "inches", "centimetres"),
        _both(3.2808399, "metres", "feet"),
        _both(3.6, "m/s", "km/h"),
        _both(3.78541178, "gallons", "litres"),
        _both(2.23693629, "m/s", "mph"),
        _both(7.0, "weeks", "days"),
        _both(12.0, "years or feet", "months or inches"),
        _both(24.0, "days", "hours"),
        _both(28.3495231, "ounces", "grams"),
        _both(57.2957795, "radians", "degrees"),
        _both(60.0, "minutes or hours", "seconds or minutes"),
        _both(1024.0, "a unit", "its kibi-part"),
        _both(3600.0, "hours", "seconds"),
        _both(86400.0, "days", "seconds"),
    )
    for conversion in pair
)
_TENS = {
    **{10.0**power: f"× 10^{power}" for power in (*range(-9, 0), *range(1, 10))},
    100.0: "× 100, as of shares in percent or of money in cents",
    0.01: "÷ 100, as of percent in shares or of cents in whole units",
    1000.0: "× 1000, as of kilograms in grams",
    0.001: "÷ 1000, as of grams in kilograms",
}
_ALL = (
    *KNOWN,
    *(Conversion(factor, 0.0, words) for factor, words in _TENS.items()),
    Conversion(-1.0, 0.0, "the sign was turned"),
)


def find(sample: Sample) -> Conversion | None:
    """The conversion that the values went through, None where none is sure."""
    feature, values = sample.feature, sample.values
    if feature.bins is None or sample.free < _LEAST or np.unique(values[:1000]).size < 5:
        return None
    near = min(fits.limit(sample.free), _FIT)
    raw = fits.distance(feature, values)
    if raw < max(_APART, 2 * near):
        return None
    for kind in (_named(sample), _unnamed(sample)):
        fitting = [(fits.distance(feature, each.undone(values)), each) for each in kind]
        best = min(fitting, key=lambda each: each[0], default=(1.0, None))[1]
        if best is not None and fits.distance(feature, best.undone(values)) <= near:
            return best if _sure(sample, best, raw, near) else None
    return None


def _sure(sample: Sample, conversion: Conversion, raw: float, near: float) -> bool:
    """Honest change does not explain it."""
    feature, values = sample.feature, sample.values
    moved = abs(float(np.median(values)) - float(fits.quantiles(feature, np.asarray([0.5]))[0]))
    if _written_so(sample, conversion) or moved > _FARTHER * feature.scale:
        return True
    far = conversion.far
    if raw < (_OFFSET if conversion.offset else _GROWN) and not (far and _around_zero(sample)):
        return False
    honest = min(fits.distance(feature, each) for each in _honest(sample, far))
    return honest >= max(_APART, 2 * near)


def _written_so(sample: Sample, conversion: Conversion) -> bool:
    """Values are off the decimals they are usually written to, and are back on them once it is undone."""
    usual = fits.decimals(sample.feature)
    if usual is None:
        return False
    now, undone = decimals_of(sample.values), decimals_of(conversion.undone(sample.values), _CLOSE)
    return (now is None or now > usual) and undone is not None and undone <= usual


def _around_zero(sample: Sample) -> bool:
    """Then a factor only spreads it."""
    lower, upper = fits.quantiles(sample.feature, np.asarray([0.25, 0.75]))
    return bool(lower < -0.1 * sample.feature.scale and upper > 0.1 * sample.feature.scale)


def _named(sample: Sample) -> Iterator[Conversion]:
    """Those that bring the quartiles near the usual ones."""
    lower, middle, upper = np.quantile(sample.values, (0.25, 0.5, 0.75))
    usual = fits.quantiles(sample.feature, np.asarray([0.25, 0.5, 0.75]))
    width = max(float(usual[2] - usual[0]), 1e-300)
    for each in _ALL:
        ends = np.sort(each.undone(np.asarray([lower, middle, upper])))
        with np.errstate(over="ignore", invalid="ignore"):
            near = np.abs(ends - usual).max() <= width
        if near:
            yield each


def _unnamed(sample: Sample) -> Iterator[Conversion]:
    """The factor that the quartiles tell, where it is so large that no spread grows to it."""
    lower, upper = np.quantile(sample.values, (0.25, 0.75))
    usual = fits.quantiles(sample.feature, np.asarray([0.25, 0.75]))
    free = float(upper - lower) / max(float(usual[1] - usual[0]), 1e-300)
    if free and not 1 / _FARTHEST < free < _FARTHEST:
        yield Conversion(free, 0.0, f"× {free:.3g}" if free > 1 else f"÷ {1 / free:.3g}")


def _honest(sample: Sample, far: bool) -> Iterator[Floats]:
    """What the values would be without the change that honest drift would have made: they moved, or spread
    about their mean or their middle."""
    values = sample.values
    usual = fits.quantiles(sample.feature, np.asarray([0.25, 0.5, 0.75]))
    lower, middle, upper = np.quantile(values, (0.25, 0.5, 0.75))
    yield values - middle + usual[1]
    mean = float(values.mean())
    yield values - mean + sample.feature.centre
    if not far and upper > lower:
        stretch = float(usual[2] - usual[0]) / float(upper - lower)
        yield (values - middle) * stretch + middle
        yield (values - mean) * stretch + mean
