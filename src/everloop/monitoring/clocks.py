"""Dates, and hours of the day, whose clock is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from everloop.core.monitoring import Result

from . import words
from .columns import Ints, Numbers
from .fits import Sample
from .texture import FeatureTexture, hours_of, hours_told

_LEAST = 300  # rows
_APART = 0.15
_NEAR = 0.05
_AHEAD = 300.0  # seconds
_TIGHT = 600.0
_OVER = 0.02  # of the rows


def find(name: str, sample: Sample, usual: FeatureTexture | None, times: Any) -> Iterator[Result]:
    """Dates ahead of the moment at which they were known; dates, or hours as numbers, with the day's pattern
    moved by whole hours."""
    held, kind = sample.held, sample.feature.kind
    if kind not in ("date", "number") or not isinstance(held, Numbers):
        return
    ahead = _ahead(held, times) if kind == "date" else None
    if ahead is not None:
        text = f"'{name}' lies {_span(ahead)} in the future, in nearly all rows alike: its clock is ahead."
        yield _told(name, text, {"seconds": ahead})
        return
    hours = _turned(hours_of(sample.values) if kind == "date" else hours_told(sample.values), usual)
    if hours is not None and (kind == "date" or _wrapped(hours, usual)):
        text = (
            f"'{name}': the pattern of the day came {abs(hours)} hours {'later' if hours > 0 else 'earlier'} "
            "than usual and is else the same: another time zone, or a wrong clock."
        )
        yield _told(name, text, {"hours": hours})


def _told(name: str, text: str, about: dict[str, Any]) -> Result:
    details = {"fault": "clock", **about}
    return Result("quality", name, "fault", True, text, "warning", details=details)


def _ahead(held: Numbers, times: Any) -> float | None:
    """Seconds, of a date that is written down when it is asked for: it lies at one distance from that."""
    if times is None:
        return None
    off = held.values - np.asarray(times, dtype=float)
    off = off[np.isfinite(off)]
    if off.size < _LEAST:
        return None
    low, middle, high = np.quantile(off, (0.05, 0.5, 0.95))
    return float(middle) if low > _AHEAD and high - low < _TIGHT else None


def _turned(now: Ints, usual: FeatureTexture | None) -> int | None:
    """By how many hours."""
    if usual is None or not usual.hours or not now.size or now.sum() < _LEAST:
        return None
    before = np.asarray(usual.hours) / max(sum(usual.hours), 1)
    seen = now / now.sum()
    off = [float(np.abs(np.roll(before, hours) - seen).sum()) / 2 for hours in range(24)]
    best = int(np.argmin(off))
    noise = 0.4 * float(np.sqrt(before / now.sum()).sum())
    if off[0] < max(_APART, 3 * noise) or off[best] > max(_NEAR, 2 * noise):
        return None
    return best if best <= 12 else best - 24


def _wrapped(hours: int, usual: FeatureTexture | None) -> bool:
    """Whether it went over midnight: numbers that only grew did not."""
    before = np.asarray(usual.hours if usual else ())
    over = before[24 - hours :] if hours > 0 else before[:-hours]
    return bool(over.sum() >= _OVER * before.sum())


def _span(seconds: float) -> str:
    if seconds < 7_200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3_600:.1f} hours" if seconds < 172_800 else words.number(seconds / 86_400) + " days"
