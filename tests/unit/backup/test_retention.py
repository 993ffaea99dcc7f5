"""Which backups the policy keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from everloop.flows.backup.retention import choose
from everloop.settings.schema import Keep

NEWEST = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)  # a Sunday


def every(step: timedelta, many: int) -> list[tuple[str, datetime]]:
    return [(f"b{number}", NEWEST - number * step) for number in range(many)]


def keep(last: int = 1, daily: int = 0, weekly: int = 0, monthly: int = 0) -> Keep:
    return Keep(last=last, daily=daily, weekly=weekly, monthly=monthly)


def test_the_newest_ones_stay() -> None:
    assert choose(every(timedelta(hours=6), 5), keep(last=2)) == {"b0": "last", "b1": "last"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (keep(daily=3), {"b0", "b1", "b5"}),  # 1 March 00:30, 28 February 18:30, 27 February 18:30
        (keep(weekly=2), {"b0", "b25"}),  # the week of 23 February, that before it ends on 22 February
        (keep(monthly=2), {"b0", "b1"}),  # March, February
        (keep(last=3, daily=2), {"b0", "b1", "b2"}),
    ],
    ids=["daily", "weekly", "monthly", "both"],
)
def test_the_newest_of_each_period_stays(policy: Keep, expected: set[str]) -> None:
    assert set(choose(every(timedelta(hours=6), 60), policy)) == expected


def test_days_without_a_backup_do_not_count() -> None:
    backups = [("old", NEWEST - timedelta(days=90)), ("new", NEWEST)]
    assert set(choose(backups, keep(daily=2))) == {"old", "new"}


def test_days_are_those_of_utc() -> None:
    zone = datetime.fromisoformat("2026-03-01T00:30+02:00")  # 28 February in UTC
    backups = [("a", zone), ("b", datetime(2026, 2, 28, 10, tzinfo=UTC))]
    assert set(choose(backups, keep(daily=7))) == {"a"}


def test_without_backups_nothing_is_chosen() -> None:
    assert choose([], keep(daily=7)) == {}
