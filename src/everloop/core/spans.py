"""Spans of time as people write them: ``30s``, ``15m``, ``6h``, ``7d``, ``2w``."""

from __future__ import annotations

import re

from .errors import Invalid

PATTERN = r"^[0-9]+(\.[0-9]{1,3})?[smhdw]$"
LIKE = "Write it as 30s, 15m, 6h, 7d or 2w."
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_LONGEST = 100 * 365.25 * 86_400.0
_WORDS = (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0), ("second", 1.0))


def is_span(text: str) -> bool:
    return re.fullmatch(PATTERN, text) is not None


def short(text: str) -> str:
    """``2 hours`` as ``2h``; anything else as it is."""
    return re.sub(r"^([0-9.]+) ?(second|minute|hour|day|week)s?$", lambda of: of[1] + of[2][0], text)


def seconds(text: str) -> float:
    """Raises Invalid."""
    if not is_span(text):
        raise Invalid(f"'{text}' is no span of time.", remedy=LIKE)
    found = float(text[:-1]) * _SECONDS[text[-1]]
    if found > _LONGEST:
        raise Invalid(f"'{text}' is more than a century.", remedy="Give a shorter span of time.")
    return found


def words(of: float) -> str:
    """``2 days``, ``1.5 hours``: in the largest unit that there is one of."""
    for name, unit in _WORDS:
        if of >= unit or unit == 1.0:
            many = f"{of / unit:.1f}".removesuffix(".0")
            return f"{many} {name}{'' if many == '1' else 's'}"
    raise AssertionError("seconds are always there")
