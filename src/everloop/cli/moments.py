"""Times as they are written on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from everloop.core import spans
from everloop.core.errors import Invalid
from everloop.core.moments import ago, checked


def moment(text: str | None, now: datetime) -> datetime | None:
    """A time (UTC where it names no zone), or a span of time ago: 30s, 15m, 6h, 7d."""
    if text is None:
        return None
    span = text.removesuffix(" ago")
    if spans.is_span(span):
        return checked(ago(now, seconds=spans.seconds(span)), f"'{text}'")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"'{text}' is no time.", remedy="Write 2026-03-01, 2026-03-01T12:00 or 7d.") from None
    return checked(found if found.tzinfo else found.replace(tzinfo=UTC), f"'{text}'")
