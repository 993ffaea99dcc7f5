"""Times as they are written on the command line."""

from __future__ import annotations

from datetime import datetime

from everloop.core import moments


def moment(text: str | None, now: datetime) -> datetime | None:
    """A time (UTC where it names no zone), or how long ago: 30s, 15m, 6h, 7d."""
    return None if text is None else moments.read(text, now)
