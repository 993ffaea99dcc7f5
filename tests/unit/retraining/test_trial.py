"""Who is judged again, and how seldom one that is no better gets through in all looks together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from everloop.core.decisions import BASELINE, Comparison, Evidence, GatePolicy, GateVerdict
from everloop.deployment import gate
from everloop.retraining import trial

WORLDS = 1_500
ROWS = 150  # labels that come between two looks
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


def test_one_that_is_better_gets_through():
    assert share_let_through(0.25, 4) > 0.8
