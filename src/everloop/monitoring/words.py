"""Numbers in sentences."""

from __future__ import annotations

from datetime import UTC, datetime

from everloop.core import spans

from .columns import Kind


def number(value: float | None, kind: Kind = "number", type_name: str = "") -> str:
    """A few significant digits; a date as a day or a moment, a duration as a span."""
    if value is None:
        return "none"
    if kind == "date":
        if type_name.startswith("duration"):
            return f"{'-' if value < 0 else ''}{spans.words(abs(value))}"
        if type_name.startswith(("time32", "time64")):
            minutes, seconds = divmod(round(value), 60)
            return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
        try:
            moment = datetime.fromtimestamp(value, tz=UTC)
        except (OverflowError, ValueError, OSError):
            return f"{value:.4g}"
        return f"{moment:%Y-%m-%d %H:%M}" if value % 86_400 else f"{moment:%Y-%m-%d}"
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e9 else f"{value:.3g}"


def spread(value: float, kind: Kind = "number") -> str:
    """A standard deviation: of dates as a span of time."""
    return spans.words(value) if kind == "date" else number(value)


def share(value: float) -> str:
    """A percentage, with more digits where it is small."""
    percent = 100 * value
    if percent and percent < 0.1:
        return f"{percent:.2g} %"
    return f"{percent:.1f} %" if percent < 99.95 or value == 1 else f"{percent:.2f} %"


def points(value: float) -> str:
    return f"{100 * value:+.1f} points"


def chance(value: float) -> str:
    """Of a probability."""
    return f"p {value:.1g}" if value >= 1e-12 else "p under 1e-12"


def rows(count: float) -> str:
    return f"{count:,.0f} {'row' if count == 1 else 'rows'}"
