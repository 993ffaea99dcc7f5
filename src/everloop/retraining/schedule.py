"""When a cron expression is due. Times are UTC."""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from everloop.core.errors import Invalid

from .triage import AHEAD

FIELDS = 5
LONGEST = timedelta(days=4 * 366)  # between two times of an expression such as 29 February


def check(expression: str) -> str:
    """Raises Invalid for what is no cron expression, or never comes."""
    try:
        if (fields := len(expression.split())) != FIELDS:
            raise CronSimError(f"it has {fields} fields, not {FIELDS}")
        next(CronSim(expression, datetime(2026, 1, 1)))  # noqa: DTZ001 (any moment will do, and has no zone)
    except (CronSimError, StopIteration) as error:
        raise Invalid(
            f"'{expression}' is no cron expression: {error or 'it never comes'}.",
            remedy='Give minute, hour, day of month, month, weekday: "0 3 * * 1" is Mondays at 3:00 UTC.',
        ) from error
    return expression


def last_due(expression: str, since: datetime, now: datetime) -> datetime | None:
    """The newest time that came after ``since``, up to ``now``: of several that were missed the last one
    counts. None where none came. A ``since`` in the future is of a clock that was wrong: it tells nothing."""
    since = now - LONGEST if since > now + AHEAD else max(since, now - LONGEST)
    found = None
    for moment in CronSim(expression, now + timedelta(microseconds=1), reverse=True):
        found = moment
        break
    return found if found is not None and since < found <= now else None


def next_due(expression: str, now: datetime) -> datetime:
    """The first time after now."""
    return next(CronSim(expression, now))
