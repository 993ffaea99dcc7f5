"""What is decided before anything is trained: each reason by itself, and which comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from everloop.core.loop import Trigger, TriggerKind
from everloop.retraining.triage import Before, Facts, Rows, Rules, Ruling, Sign, Wait, consider

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = Facts(now=NOW, champion="1.2.0", rows=Rows(new=600, waiting=20, unlabelled=80))
RULES = Rules()
FEED = (Sign("fee", "'fee' is about 100 times as large as before.", "alert_1"),)
WORSE = (Sign("log_loss", "Log loss is 0.9, usually 0.3.", "alert_1"),)
MOVED = (Sign("age", "'age' moved.", "alert_1"),)
BETTER_BEFORE = Before("1.1.0", "log_loss", 0.4, 0.3, 0.5, 500)


def because(*kinds: TriggerKind) -> list[Trigger]:
    return [Trigger(kind, f"{kind}/1", NOW, f"{kind} said so") for kind in kinds]


def ruled(facts: Facts, *kinds: TriggerKind, forced: bool = False) -> Ruling:
    return consider(RULES, facts, because(*(kinds or ("labels",))), forced=forced)


REASONS = [
    (replace(WELL, champion=None), "retrain", "no_model"),
    (replace(WELL, broken=FEED), "refuse", "broken_feed"),
    (replace(WELL, before=BETTER_BEFORE), "refuse", "release_problem"),
    (replace(WELL, release="rel_1"), "defer", "release_under_way"),
    (replace(WELL, retrained=(NOW - timedelta(hours=3),)), "defer", "cooldown"),
    (replace(WELL, retrained=tuple(NOW - timedelta(days=2 + n) for n in range(8))), "defer", "budget"),
    (replace(WELL, rows=Rows(new=49, waiting=3)), "defer", "too_few_rows"),
    (replace(WELL, rows=Rows()), "refuse", "nothing_new"),
    (replace(WELL, worse=WORSE), "retrain", "changed_world"),
    (WELL, "retrain", "new_data"),
]


@pytest.mark.parametrize(("facts", "action", "code"), REASONS, ids=[code for _, _, code in REASONS])
def test_each_reason_by_itself(facts: Facts, action: str, code: str) -> None:
    found = ruled(facts)
    assert (found.action, found.code) == (action, code)
    assert found.reason
    assert bool(found.changes) == (action != "retrain")
    assert len(found.evidence) == 9  # whatever decided, all was looked at


def test_the_first_of_several_reasons_decides() -> None:
    """In the order of the list: all that stand below one are there, too."""
    all_at_once = replace(
        WELL,
        broken=FEED,
        before=BETTER_BEFORE,
        release="rel_1",
        retrained=tuple(NOW - timedelta(hours=n) for n in range(8)),
        rows=Rows(),
    )
    codes = []
    for field, cured in (
        ("broken", ()),
        ("before", None),
        ("release", None),
        ("retrained", ()),
        ("rows", WELL.rows),
    ):
        codes.append(ruled(all_at_once).code)
        all_at_once = replace(all_at_once, **{field: cured})
    assert codes == ["broken_feed", "release_problem", "release_under_way", "cooldown", "nothing_new"]
    assert ruled(all_at_once).action == "retrain"


def test_drift_alone_is_no_reason_and_with_harm_it_is_one() -> None:
    moved = replace(WELL, moved=MOVED)
    assert (ruled(moved, "drift").action, ruled(moved, "drift").code) == ("refuse", "no_harm")
    assert ruled(replace(moved, harm="Log loss is expected to be 0.1 worse."), "drift").action == "retrain"
    assert ruled(replace(moved, estimated=WORSE), "drift").action == "retrain"
    assert ruled(moved, "drift", "labels").action == "retrain"


def test_drift_among_other_reasons_is_not_denied() -> None:
    def told(*kinds: TriggerKind) -> str:
        looked = ruled(replace(WELL, moved=MOVED), *kinds).evidence
        return next(each.message for each in looked if each.check == "harm")

    assert told("drift", "labels", "data") == "Drift was not the only reason to look."
    assert told("labels", "data") == "No drift was the reason to look."


def test_going_back_needs_proof_and_names_the_version() -> None:
    found = ruled(replace(WELL, before=BETTER_BEFORE))
    assert found.roll_back == "1.1.0"
    unsure = replace(BETTER_BEFORE, low=-0.01)
    assert ruled(replace(WELL, before=unsure)).roll_back is None
    assert ruled(replace(WELL, before=unsure)).action == "retrain"


def test_forced_it_trains_whatever_speaks_against_it_and_still_says_what_does() -> None:
    found = ruled(replace(WELL, broken=FEED, release="rel_1", rows=Rows()), forced=True)
    assert (found.action, found.code) == ("retrain", "forced")
    fired = {each.check for each in found.evidence if each.fired}
    assert fired == {"forced", "feed", "release", "rows"}
    assert found.reason == "Retraining was forced: nothing else was held against it."


def test_forced_it_says_which_rows_it_leaves_out() -> None:
    found = ruled(replace(WELL, broken=FEED, rows=Rows(left_out=2_038)), forced=True)
    said = "nothing else was held against it. 2,038 rows were left out, as their feed is broken."
    assert found.reason.endswith(said)


def test_what_is_put_off_says_until_when() -> None:
    last = NOW - timedelta(hours=3)
    assert ruled(replace(WELL, retrained=(last,))).again_at == last + timedelta(days=1)
    past = tuple(NOW - timedelta(days=2 + n) for n in range(8))
    assert ruled(replace(WELL, retrained=past)).again_at == min(past) + timedelta(days=30)


def test_clocks_that_differ_by_minutes_do_not_shorten_the_cooldown() -> None:
    found = ruled(replace(WELL, retrained=(NOW + timedelta(minutes=5),)))
    assert found.code == "cooldown"
    assert found.again_at == NOW + timedelta(minutes=5, hours=24)


def test_what_is_dated_in_the_future_holds_nothing_back_and_is_told() -> None:
    wrong = tuple(NOW + timedelta(days=300 + day) for day in range(9))
    found = ruled(replace(WELL, retrained=wrong))
    assert found.action == "retrain"
    told = {each.check: each for each in found.evidence}
    assert told["cooldown"].message == (
        "The loop has not trained it before. The last training is dated in the future, 2027-01-03 12:00 UTC: "
        "a clock was wrong, and it does not count."
    )
    assert told["budget"].value == 0
    last = NOW - timedelta(hours=3)
    found = ruled(replace(WELL, retrained=(*wrong, last)))
    assert (found.code, found.again_at) == ("cooldown", last + timedelta(days=1))
    assert found.reason.startswith("The loop trained it 3 hours ago, and the cooldown is 1 day. The last")


def test_the_wait_for_the_next_candidate_names_its_end_and_what_decided() -> None:
    wait = Wait(NOW - timedelta(hours=1), NOW + timedelta(days=4), "The model was trained an hour ago.")
    found = ruled(replace(WELL, wait=wait))
    assert (found.action, found.code, found.reason) == ("refuse", "no_benefit", wait.message)
    assert "From 2026-03-05 12:00 UTC on" in found.changes
    assert [each.check for each in found.evidence if each.fired] == ["wait"]
    assert ruled(replace(WELL, wait=wait), forced=True).action == "retrain"
    over = replace(wait, until=NOW)
    assert ruled(replace(WELL, wait=over)).action == "retrain"


def test_what_no_count_tells_is_a_sentence_of_its_own() -> None:
    looked = ruled(replace(WELL, untold="data.csv was written anew"), "data").evidence
    [said] = [each.message for each in looked if each.check == "rows"]
    assert said.startswith("data.csv was written anew. 600 labelled rows are new to the model")


def test_what_no_count_tells_is_enough() -> None:
    assert ruled(replace(WELL, rows=Rows(), untold="data.csv was written anew."), "data").action == "retrain"
