"""Numbers as a reader says them."""

from __future__ import annotations

import math

_SMALL = 20


def number(value: float, figures: int = 4) -> str:
    """Four figures at most: 0.8421, 12.5, 1,204."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.{figures}g}"


def evidence(value: float) -> str:
    """An e-value: beyond a million its size tells nothing more."""
    return "over a million" if value > 1e6 else number(value)


def ratio(weights: list[int]) -> str:
    """1 : 1; shares where no small numbers say it."""
    divisor = math.gcd(*weights) or 1
    parts = [weight // divisor for weight in weights]
    if max(parts) <= _SMALL:
        return " : ".join(map(str, parts))
    return " : ".join(percent(weight, sum(weights)) for weight in weights)


def percent(part: float, whole: float = 1.0) -> str:
    """2.5 %; a share of nothing is 0 %."""
    return f"{100 * part / whole if whole else 0.0:.3g} %"


def listed(parts: list[str]) -> str:
    """one; one and two; one, two and three."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
