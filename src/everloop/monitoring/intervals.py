"""Intervals of shares."""

from __future__ import annotations

import math

_NORMAL_95 = 1.959964


def wilson(events: float, total: float, z: float = _NORMAL_95) -> tuple[float, float]:
    """Of the share of events (Wilson 1927): never outside 0 to 1, and honest for few; 0 to 1 for none."""
    if total <= 0:
        return 0.0, 1.0
    share, square = events / total, z * z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)
