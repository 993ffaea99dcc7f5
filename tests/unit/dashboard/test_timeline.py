"""Where things stand on the lines of a model's loop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from everloop.core.loop import DecisionRecord
from everloop.dashboard import timeline
from everloop.flows.loop.course import Course, Reign, Score

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def decided(day: float, **changes: Any) -> DecisionRecord:
    at = START + day * DAY
    made = DecisionRecord(
        f"dec_{day:g}", "iris", 1, at, "refuse", "no_benefit", "It would not help.", "", (), (), "ann"
    )
    return replace(made, **changes)


def score(day: float, value: float, version: str = "1.0.0", *, fired: bool = False) -> Score:
    until = START + day * DAY
    return Score(version, until - DAY, until, value, value - 0.02, value + 0.02, fired)


def course(*decisions: DecisionRecord, scores: tuple[Score, ...] = (), **more: object) -> Course:
    reigns = (Reign("1.0.0", START, START + 9.9 * DAY), Reign("1.0.1", START + 9.9 * DAY, START + 10 * DAY))
    made = Course("iris", START, START + 10 * DAY, decisions, reigns, "log_loss", scores=scores)
    return replace(made, **more)  # type: ignore[arg-type]


def test_decisions_stand_on_the_line_of_what_was_decided_where_they_were() -> None:
    promoted = decided(5, action="retrain", outcome="promoted")
    often = decided(2, times=4, newest=START + 4 * DAY)
    drawn = timeline.draw(course(often, promoted, decided(10, action="defer")))
    lanes = dict(drawn.lanes)
    assert [(one.begin, one.end) for one in lanes["refused"]] == [(20.0, 40.0)]
    assert "4 times until 6 Mar 2026 00:00" in lanes["refused"][0].words
    assert [(one.begin, one.kind) for one in lanes["retrained"]] == [(50.0, "good")]
    assert "retrain (promoted). It would not help." in lanes["retrained"][0].words
    assert [(one.begin, one.decision_id) for one in lanes["deferred"]] == [(100.0, "dec_10")]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("promoted", "good"), ("kept", "not"), ("held", "not"), ("rolled_back", "bad"), ("failed", "bad"),
     ("refused", ""), ("", "")],
)  # fmt: skip
def test_colours_say_what_came_of_it(outcome: str, kind: str) -> None:
    assert timeline.kind_of(decided(1, action="retrain", outcome=outcome)) == kind


def test_a_champion_that_was_short_has_no_name_on_its_bar() -> None:
    first, second = timeline.draw(course(decided(1))).reigns
    assert (first.begin, first.width, first.label) == (0.0, 99.0, "1.0.0")
    assert (second.kind, second.label) == ("other", "")
    assert "iris@1.0.1 was champion from 11 Mar 2026" in second.words


def test_better_is_not_joined_with_another_version_and_larger_is_higher() -> None:
    scores = (score(1, 0.3), score(2, 0.5, fired=True), score(3, 0.2, "1.0.1"))
    drawn = timeline.draw(course(decided(1), scores=scores))
    low, high, other = drawn.dots
    assert drawn.scored == "log loss, from labels"
    assert (low.x, high.x, other.x) == (10.0, 20.0, 30.0)
    assert high.y < low.y < other.y
    assert (low.before, high.before, other.before) == (None, (low.x, low.y), None)
    assert [each.fired for each in drawn.dots] == [False, True, False]
    assert [words for _, words in drawn.levels] == ["0.52", "0.35", "0.18"]


def test_without_scores_there_is_no_line_of_them() -> None:
    drawn = timeline.draw(course(decided(1), metric=""))
    assert (drawn.scored, drawn.dots, drawn.levels) == ("", (), ())
    flat = replace(score(1, 0.3), low=0.3, high=0.3)
    drawn = timeline.draw(course(decided(1), scores=(flat,), estimated=True))
    assert drawn.scored == "log loss, estimated"
    assert 0 < drawn.dots[0].y < drawn.height


def test_the_axis_has_days_or_hours() -> None:
    assert timeline.draw(course(decided(1))).ticks[:2] == ((0.0, "2 Mar 2026"), (25.0, "4 Mar 2026"))
    day = replace(course(decided(0.5)), until=START + DAY)
    assert timeline.draw(day).ticks[1] == (25.0, "2 Mar 06:00")
