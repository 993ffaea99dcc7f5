"""Moments that somebody names. Those at the ends of the calendar are refused: in another time zone, or a week
earlier, they would be none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .errors import Invalid

FIRST, LAST = 1970, 9000  # years


def checked(moment: datetime, name: str) -> datetime:
    """The moment in UTC. Raises Invalid, with its name, without a time zone or where nothing can be then."""
    if not FIRST <= moment.year <= LAST:
        raise Invalid(
            f"{name} is no time that can be used: {moment.isoformat()}.",
            remedy=f"Give one in the years {FIRST} to {LAST}.",
        )
    if moment.tzinfo is None:
        raise Invalid(f"{name} has no time zone: {moment.isoformat()}.", remedy="Write a zone, or Z for UTC.")
    return moment.astimezone(UTC)


def ago(now: datetime, **given: float) -> datetime:
    """So many ``days``, ``hours`` or ``minutes`` before. Raises Invalid where the calendar ends before."""
    try:
        return now - timedelta(**given)
    except (OverflowError, ValueError):
        ((unit, number),) = given.items()
        raise Invalid(f"{number:g} {unit} ago is no time.", remedy=f"Give fewer {unit}.") from None
