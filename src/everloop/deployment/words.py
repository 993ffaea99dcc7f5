"""Numbers and lengths of time as a reader says them."""

from __future__ import annotations

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def number(value: float) -> str:
    """Four figures at most: 0.8421, 12.5, 1,204."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def percent(part: float, whole: float = 1.0) -> str:
    """2.5 %; a share of nothing is 0 %."""
    return f"{100 * part / whole if whole else 0.0:.3g} %"


def span(seconds: float) -> str:
    """45 seconds, 90 minutes, 36 hours, 7 days: the largest unit of which there are two or more."""
    for size, name in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return _counted(seconds / size, name)
    return _counted(seconds, "second")


def listed(parts: list[str]) -> str:
    """one; one and two; one, two and three."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _counted(value: float, name: str) -> str:
    shown = f"{value:.2g}" if value < 10 else f"{value:,.0f}"
    return f"{shown} {name}{'' if shown == '1' else 's'}"
