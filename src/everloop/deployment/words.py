"""Numbers as a reader says them."""

from __future__ import annotations


def number(value: float) -> str:
    """Four figures at most: 0.8421, 12.5, 1,204."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def percent(part: float, whole: float = 1.0) -> str:
    """2.5 %; a share of nothing is 0 %."""
    return f"{100 * part / whole if whole else 0.0:.3g} %"


def listed(parts: list[str]) -> str:
    """one; one and two; one, two and three."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
