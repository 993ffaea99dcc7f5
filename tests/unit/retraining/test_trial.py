"""Who is judged again, and how seldom one that is no better gets through in all looks together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from everloop.core.decisions import BASELINE, Comparison, Evidence, GatePolicy, GateVerdict
from everloop.core.loop import DecisionRecord
from everloop.deployment import gate
from everloop.retraining import trial

WORLDS = 1_500
ROWS = 150  # labels that come between two looks
LATER = datetime(2026, 3, 6, 1, tzinfo=UTC)
RECORD = DecisionRecord(
    "dec_1", "churn", 1, LATER, "retrain", "asked", "asked for", "", (), (), "ann",
    stage="ended", outcome="kept", said="no gain is shown", version="1.0.1",
)  # fmt: skip
FINDING = Evidence("latency", True, "It is too slow.")


def undecided(low=-0.01, high=0.02):
    found = Comparison("log_loss", 0.5, 0.49, 0.01, low, high, 500, 0.95)
    return GateVerdict(False, "no gain is shown", found, against="1.0.0")


@pytest.mark.parametrize(
    ("verdict", "deserved"),
    [
        (undecided(), True),
        (undecided(high=-0.001), False),  # it is worse
        (replace(undecided(), promote=True), False),
        (replace(undecided(), against=None), False),
        (replace(undecided(), against=BASELINE), False),  # there is no champion, or no fair comparison
        (replace(undecided(), comparison=None), False),
        (replace(undecided(), worse_slices=("plan=basic",)), False),
        (replace(undecided(), checks=(FINDING,)), False),
        (replace(undecided(), checks=(replace(FINDING, fired=False),)), True),
    ],
)
def test_only_what_more_labels_may_decide_is_judged_again(verdict, deserved):
    assert trial.deserved(verdict, 0.0) is deserved


def test_a_margin_has_to_be_within_reach():
    assert trial.deserved(undecided(), 0.019)
    assert not trial.deserved(undecided(), 0.02)


def share_let_through(better, seed):
    """Of candidates whose squared errors are less by ``better`` of the champion's, in three looks."""
    policy = trial.policy(GatePolicy())
    draw = np.random.default_rng(seed)
    found = 0
    for _ in range(WORLDS):
        truth = draw.normal(size=ROWS * trial.LOOKS)
        shared = draw.normal(size=len(truth))
        champion, challenger = (
            truth + scale * (0.8 * shared + 0.6 * draw.normal(size=len(truth)))
            for scale in (1.0, np.sqrt(1 - better))
        )
        found += any(
            gate.judge(
                policy, task="regression", classes=(), positive=None, truth=truth[:rows],
                champion=champion[:rows], challenger=challenger[:rows], baseline=None, slices={},
            ).promote
            for rows in ROWS * np.arange(1, trial.LOOKS + 1)
        )  # fmt: skip
    return found / WORLDS


def test_all_looks_together_let_no_more_through_that_are_no_better_than_the_gate_does_at_once():
    alone = (1 - GatePolicy().confidence) / 2
    assert share_let_through(0.0, 3) <= alone + 2 * np.sqrt(alone * (1 - alone) / WORLDS)


def test_harm_takes_no_more_proof_than_at_the_gate():
    """A slice is worse with 97.5 %: less than the 98.3 % that a look asks of a gain."""
    loss = np.full(400, 9.0)  # squared errors of the champion
    more = np.where(np.arange(400) < 100, 0.45 + np.tile([2.0, -2.0], 200), -1.5 + np.tile([0.4, -0.4], 200))
    given = [np.sqrt(loss), np.sqrt(loss + more)]
    plan = np.repeat(["basic", "pro", "pro", "pro"], 100)
    for policy in (GatePolicy(slices=("plan",)), trial.policy(GatePolicy(slices=("plan",)))):
        verdict = gate.judge(
            policy, task="regression", classes=(), positive=None, truth=np.zeros(400), champion=given[0],
            challenger=given[1], baseline=None, slices={"plan": plan},
        )  # fmt: skip
        assert verdict.comparison.low > 0
        assert verdict.worse_slices == ("plan=basic",)
    assert verdict.comparison.confidence == pytest.approx(1 - 0.05 / 3)


def test_one_that_is_better_gets_through():
    assert share_let_through(0.25, 4) > 0.8


def test_a_record_says_how_often_it_is_judged_again_and_what_would_change_it():
    record = trial.began(RECORD, LATER)
    assert (record.stage, record.again_at) == ("trial", LATER)
    assert "churn@1.0.1 is judged again 3 times at most, each time by 100 new labels" in record.changes
    record = trial.looked(record, GateVerdict(False, "no gain"), 200, LATER)
    assert "churn@1.0.1 is judged again 2 times at most" in record.changes
    record = trial.waits(record, "37 unseen rows are too few", LATER)
    assert record.looks == 1
    assert record.changes.endswith(" Too early: 37 unseen rows are too few.")
    record = trial.looked(record, GateVerdict(False, "no gain"), 200, LATER)
    assert "churn@1.0.1 is judged again once more, by 100 new labels" in record.changes
    record = trial.looked(record, GateVerdict(False, "no gain"), 200, LATER)
    assert record.changes == ""


def test_nothing_is_said_to_change_one_that_is_better_or_over():
    record = trial.began(RECORD, LATER)
    assert trial.looked(record, GateVerdict(True, "better"), 200, LATER).changes == ""
    assert trial.ended(record, "churn@2.0.0 is champion now").changes == ""


def test_what_came_of_it_is_told():
    assert trial.result(RECORD) == ""
    assert trial.result(trial.ended(RECORD, "rejected")) == "not judged again: rejected"
    over = replace(RECORD, looks=trial.LOOKS, last_look=undecided())
    assert trial.result(over) == "nor do later labels show it better, looked at 3 times"
    then_another_champion = replace(over, last_look=replace(undecided(), promote=True))
    assert trial.result(then_another_champion) == ""


@pytest.mark.parametrize(("came", "early"), [(200, True), (201, True), (299, True), (300, False)])
def test_a_look_takes_a_hundred_labels_that_are_new(came, early):
    record = trial.looked(RECORD, GateVerdict(False, "no gain"), 200, LATER)
    assert bool(trial.too_early(record, came)) is early
    unasked = trial.looked(record, GateVerdict(False, "It cannot be compared"), None, LATER)
    assert bool(trial.too_early(unasked, came)) is early
    assert not trial.too_early(RECORD, came)


def test_how_many_labels_are_new_is_told():
    record = trial.looked(RECORD, GateVerdict(False, "no gain"), 200, LATER)
    assert trial.too_early(record, 237) == "37 of 100 labels have come since the last look"
    assert (
        trial.too_early(record, 180) == "0 of 100 labels have come since the last look"
    )  # some were removed
