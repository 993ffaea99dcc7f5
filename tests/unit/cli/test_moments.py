"""Times as they are written on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from everloop.cli.moments import moment
from everloop.core.errors import Invalid

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("2 hours ago", NOW - timedelta(hours=2)),
        ("1 day", NOW - timedelta(days=1)),
        ("now", NOW),
        ("today", datetime(2026, 3, 1, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 2, 28, tzinfo=UTC)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T13:00+01:00", datetime(2026, 2, 1, 12, tzinfo=UTC)),
        (None, None),
    ],
)
def test_a_time_or_a_span_ago(text: str | None, found: datetime | None) -> None:
    assert moment(text, NOW) == found


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2 moons ago", "30", "s", "99999999d", "9999-12-31T23:59:59-23:00"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        moment(text, NOW)
    assert refused.value.remedy
