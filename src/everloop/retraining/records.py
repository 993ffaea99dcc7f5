"""Records of decisions, one after the other: what is the same found again, when what was put off is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core.loop import DecisionRecord, Trigger

from .triage import AHEAD, NO_BENEFIT

LOOK_AGAIN = timedelta(hours=1)  # at what was put off until something changes
MOST_TRIGGERS = 50  # that a record names


def joined(record: DecisionRecord, before: DecisionRecord | None) -> DecisionRecord:
    """The same found again in a row is the same record, told once; a retraining is always one of its own, and
    so is what a turn has refused."""
    if record.action == "retrain" or before is None or before.turn_id is not None:
        return record
    if (before.action, before.code) != (record.action, record.code):
        return record
    return replace(
        record,
        decision_id=before.decision_id,
        number=before.number,
        at=before.at if before.at <= record.at + AHEAD else record.at,
        triggers=with_triggers(before, record.triggers).triggers,
        times=before.times + 1,
        newest=record.at,
    )


def with_triggers(record: DecisionRecord, triggers: Sequence[Trigger]) -> DecisionRecord:
    """Those that it does not have yet come to it."""
    known = {each.key for each in record.triggers}
    more = (each for each in triggers if each.key not in known)
    return replace(record, triggers=(*record.triggers, *more)[-MOST_TRIGGERS:])


def rests(before: DecisionRecord | None, now: datetime, window: float) -> bool:
    """Whether more labels alone are not considered yet, as training would not help a moment ago: not for
    ``LOOK_AGAIN``, or a ``window`` (seconds) where that is shorter. ``before``: the newest record."""
    if before is None or before.code != NO_BENEFIT:
        return False
    return abs(now - (before.newest or before.at)) < min(LOOK_AGAIN, timedelta(seconds=window))


def is_due(before: DecisionRecord | None, now: datetime, *, released: bool = False) -> bool:
    """Whether triggers that wait are to be considered (again). ``before``: the newest record; ``released``: a
    release is on its way."""
    if before is None or before.action != "defer":
        return True  # they came while a retraining was under way
    if (before.newest or before.at) > now + AHEAD:
        return True  # a clock was wrong then
    if before.again_at is not None:
        return before.again_at <= now
    if before.code == "release_under_way":
        return not released
    return abs(now - (before.newest or before.at)) >= LOOK_AGAIN  # also of a clock that went back
