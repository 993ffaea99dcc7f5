"""Moments that somebody names. Those at the ends of the calendar are refused: in another time zone, or a week
earlier, they would be none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from . import spans
from .errors import Invalid

FIRST, LAST = 1970, 9000  # years
LIKE = "Write it as 2026-03-01, 2026-03-01T12:00, 2h, yesterday or now."


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


def check_period(since: datetime | None, until: datetime | None) -> None:
    """Raises Invalid for a beginning or an end (None: open) that cannot be used, and for an end before the
    beginning."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None:
            checked(moment, name)
    if since is not None and until is not None and since > until:
        raise Invalid(
            f"since ({since.isoformat()}) is after until ({until.isoformat()}).",
            remedy="Give a since that comes first.",
        )


def read(text: str, now: datetime) -> datetime:
    """A moment as people write it: a time (in UTC where it names no zone), how long ago (``2h``, ``2 hours
    ago``), ``now``, or the beginning of ``today`` or ``yesterday`` in UTC. Raises Invalid."""
    plain = text.strip().lower()
    span = spans.short(plain.removesuffix(" ago"))
    if plain == "now":
        return now
    if plain in ("today", "yesterday"):
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=int(plain == "yesterday"))
    if spans.is_span(span):
        return checked(ago(now, seconds=spans.seconds(span)), f"'{text}'")
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(f"'{text}' is no time.", remedy=LIKE) from None
    return checked(found if found.tzinfo else found.replace(tzinfo=UTC), f"'{text}'")


def ago(now: datetime, **given: float) -> datetime:
    """So many ``days``, ``hours`` or ``minutes`` before. Raises Invalid where the calendar ends before."""
    try:
        return now - timedelta(**given)
    except (OverflowError, ValueError):
        ((unit, number),) = given.items()
        raise Invalid(f"{number:g} {unit} ago is no time.", remedy=f"Give fewer {unit}.") from None
