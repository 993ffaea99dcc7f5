"""What the loop says of itself in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from everloop.core.decisions import Evidence
from everloop.core.loop import DecisionRecord, Trigger
from everloop.dashboard import loop as pages
from everloop.flows.loop import telling
from everloop.flows.loop.showing import Leeway, Standing, Work
from everloop.retraining.triage import Rows, Rules

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DECIDED = DecisionRecord(
    "dec_1", "iris", 1, NOW, "retrain", "changed_world", "It got worse.", "", (), (), "ann", stage="train"
)
IDLE = Standing("iris", "1.0.0", None, (), (), None)
TAKEN = Work(
    "job_1", "running", NOW - HOUR, "worker-7", NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)
)


def test_nothing_is_under_way() -> None:
    assert telling.waits(IDLE, NOW) == []
    refused = replace(DECIDED, action="refuse", stage="ended", outcome="refused")
    assert telling.waits(replace(IDLE, last=refused), NOW) == []


def test_people_are_waited_for() -> None:
    asked = replace(DECIDED, stage="approval")
    told = telling.waits(replace(IDLE, under_way=(asked,), last=asked), NOW)
    assert told == ["dec_1 waits for approval before it trains"]


def test_who_works_and_who_may_have_died() -> None:
    free = replace(TAKEN, status="queued", owner=None, heard_at=None, held_until=None)
    assert telling.job(free, NOW) == "job_1 waits for a worker since 2026-03-02 11:00 UTC"
    alive = telling.job(TAKEN, NOW)
    assert alive == "worker-7 works on job_1, heard of last at 2026-03-02 11:59 UTC"
    assert "may have died" in telling.job(TAKEN, NOW + HOUR)


@pytest.mark.parametrize(
    ("again", "said"),
    [(NOW + HOUR, "considered again at 2026-03-02 13:00 UTC"), (None, "again when that has changed")],
)
def test_what_was_put_off(again: datetime | None, said: str) -> None:
    put_off = replace(DECIDED, action="defer", stage="ended", outcome="deferred", again_at=again)
    trigger = Trigger("labels", "labels/1", NOW, "500 labelled rows are new")
    [told] = telling.waits(replace(IDLE, waiting=(trigger,), last=put_off), NOW)
    assert said in told
    assert telling.waits(replace(IDLE, last=put_off), NOW) == []  # nothing waits for it any more


def test_what_was_put_off_has_been_considered() -> None:
    first, then = (Trigger("schedule", f"schedule/{n}", NOW, "It was due") for n in (1, 2))
    put_off = replace(DECIDED, action="defer", stage="ended", outcome="deferred", triggers=(first,))
    here = replace(IDLE, waiting=(first, then), last=put_off)
    assert telling.unconsidered(here) == [then]
    assert telling.unconsidered(replace(here, last=None)) == [first, then]


def test_a_failure_that_passes() -> None:
    failed = replace(DECIDED, said="The disk is full.", again_at=NOW + HOUR)
    told = telling.waits(replace(IDLE, under_way=(failed,)), NOW)
    assert told == ["dec_1 trains; The disk is full", "it is tried again at 2026-03-02 13:00 UTC"]


def test_what_a_release_says_again_is_said_once() -> None:
    done = replace(DECIDED, stage="ended", outcome="promoted", version="1.0.1", said="dec_1: It got worse.")
    assert telling.outcome(done) == "iris@1.0.1 promoted"
    assert telling.outcome(replace(done, said="Better.")) == "iris@1.0.1 promoted: Better."


def test_when_it_was_decided_and_found_again() -> None:
    assert telling.when(DECIDED) == "2026-03-02 12:00 UTC"
    again = replace(DECIDED, times=3, newest=NOW + HOUR)
    assert telling.when(again) == "2026-03-02 12:00 UTC, found again at 2026-03-02 13:00 UTC"


def test_what_decided_is_marked_and_what_speaks_against_it() -> None:
    looked = (Evidence("rows", False, "600 are new."), Evidence("benefit", False, "Nothing shows it."))
    refused = replace(DECIDED, action="refuse", reason="Nothing shows it.", evidence=looked)
    assert [telling.speaks(refused, each) for each in looked] == [False, True]
    assert telling.speaks(DECIDED, Evidence("gate", True, "It is worse."))
    shown = [
        pages.render_decision(replace(refused, reason=why), None, "n") for why in ("Nothing shows it.", "")
    ]
    assert [page.count(">decided</span>") for page in shown] == [1, 0]


def test_what_the_rules_leave() -> None:
    told = telling.leeway(Leeway(NOW, 2, 8, 30 * 86_400.0, Rows(1_200, 30, 4, 5, 6), 50))
    assert told["cooldown"] == "until 2026-03-02 12:00 UTC"
    assert told["budget"] == "2 of 8 trainings in 30 days are used"
    for words in (
        "1,200 with complete labels, of 50",
        "30 more wait",
        "4 have no label",
        "5 are left out, as their feed",
        "6 are left out, as the model's own",
    ):
        assert words in told["new rows"]
    assert telling.leeway(Leeway(None, 0, 8, 86_400.0, Rows(), 50))["cooldown"] == "none now"
    used = telling.leeway(Leeway(None, 2, 2, 7200.0, Rows(), 50, NOW))["budget"]
    assert used == f"2 of 2 trainings in 2 hours are used, the next from {telling.moment(NOW)} on"


def test_cooldown_and_budget_by_the_clock() -> None:
    rules = Rules(cooldown=3_600.0, budget=2, period=86_400.0)
    past = [NOW - timedelta(hours=30), NOW - timedelta(minutes=20), NOW - timedelta(hours=5)]
    assert rules.rests_until(past, NOW) == NOW + timedelta(minutes=40)
    assert rules.rests_until(past, NOW + HOUR) is None
    assert rules.rests_until([], NOW) is None
    assert rules.lately(past, NOW) == [past[2], past[1]]
