"""Cron expressions: what is due, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from everloop.core.errors import Invalid
from everloop.retraining import schedule

MONDAYS = "0 3 * * 1"
MONDAY = datetime(2026, 3, 2, 3, tzinfo=UTC)


def test_the_last_of_those_that_were_missed_is_due() -> None:
    later = MONDAY + timedelta(days=20)
    assert schedule.last_due(MONDAYS, MONDAY - timedelta(days=90), later) == MONDAY + timedelta(days=14)


@pytest.mark.parametrize("after", [timedelta(0), timedelta(seconds=1), timedelta(days=6, hours=23)])
def test_it_is_due_once(after: timedelta) -> None:
    assert schedule.last_due(MONDAYS, MONDAY - timedelta(seconds=1), MONDAY + after) == MONDAY
    assert schedule.last_due(MONDAYS, MONDAY, MONDAY + after) is None


def test_the_next_one_is_after_now() -> None:
    assert schedule.next_due(MONDAYS, MONDAY) == MONDAY + timedelta(days=7)


@pytest.mark.parametrize("wrong", ["", "soon", "61 * * * *", "0 0 31 2 *", "* * * *", "* * * * * *"])
def test_what_is_none_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(Invalid, match="no cron expression") as refused:
        schedule.check(wrong)
    assert "0 3 * * 1" in refused.value.remedy
