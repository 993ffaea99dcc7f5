"""A clock that jumps: what was decided last stays the last, and nothing is said again at every look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.stories.loop.town import MODEL, Town, work

from everloop.flows import health
from everloop.flows.loop import asking, noticing, showing

Open = Callable[..., Town]
FAR, NEAR = timedelta(days=90), timedelta(minutes=4)


def test_a_training_of_a_clock_that_was_wrong_holds_nothing_back(open_town: Open) -> None:
    town = open_town(on=("labels",), schedule="0 0 * * *", cooldown="3h")
    town.clock.at += FAR
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    asking.ask(town.project, MODEL)
    work(town.project)
    town.clock.at -= FAR
    wrong = town.decisions()[-1]
    assert wrong.code == "cooldown"
    town.live(6)
    [where] = showing.standings(town.project, MODEL, counted=True)
    assert where.leeway
    assert (where.leeway.rests_until, where.leeway.trained) == (None, 0)
    assert where.last
    assert where.last.at <= town.clock.at
    assert where.last.code == "no_benefit"
    since = [one for one in town.decisions() if one.number > wrong.number]
    assert {one.code for one in since} == {"no_benefit", "too_few_rows"}
    assert any("schedule" in {each.kind for each in one.triggers} for one in since)
    told = {each.check: each.message for each in where.last.evidence}
    assert "dated in the future, 2026-05-30" in told["cooldown"]
    [said] = [each for each in health.loops(town.project) if each.name == f"loop of {MODEL}"]
    assert said.ok is False
    assert "dated in the future" in said.message


def test_what_is_put_off_is_said_once_after_the_clock_went_forward_and_back(open_town: Open) -> None:
    town = open_town(on=("labels",))
    town.day_of()
    town.clock.at += NEAR
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    town.clock.at -= NEAR
    asking.ask(town.project, MODEL)
    work(town.project)
    before = town.decisions()
    assert before[-1].code == "cooldown"
    for _ in range(5):
        town.clock.at += timedelta(seconds=30)
        work(town.project)
    assert town.decisions() == before


def test_a_schedule_that_was_seen_an_hour_early_is_not_due_for_the_day_before(open_town: Open) -> None:
    """The champion was made after that time of the day before."""
    town = open_town(on=(), schedule="30 23 * * *")
    town.clock.at += timedelta(hours=23)
    for ahead, due in ((1, ["schedule/2026-03-01T23:30:00+00:00"]), (0, []), (1, [])):
        town.clock.at += timedelta(hours=ahead)
        found = noticing.news(town.project).triggers.get(MODEL, [])
        assert [each.key for each in found] == due
        work(town.project)
        town.clock.at -= timedelta(hours=ahead)
