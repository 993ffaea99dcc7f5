"""What the gate asks besides the comparison: its limits, its words, and how often it is wrong."""

import dataclasses

import numpy as np
import pytest

from everloop.core.decisions import Evidence, GatePolicy, GateVerdict
from everloop.core.documents import dump, load
from everloop.deployment import constraints, gate
from everloop.deployment.measures import METRICS, Answers

POLICY = GatePolicy(frozen="flights@golden")
LOSS = METRICS["log_loss"]
TRIALS = 500


def pairs(rng, rows, noises):
    score = 1.5 * rng.normal(size=rows)
    truth = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
    for noise in noises:
        yes = 1 / (1 + np.exp(-(score + noise * rng.normal(size=rows))))
        yield Answers(truth, np.column_stack([1 - yes, yes]), 1)


def frozen(old, new, policy=POLICY, left_out=""):
    return constraints.check_frozen(policy, LOSS, old, new, "champion 1.2.0", left_out)


def test_an_equally_good_challenger_is_stopped_in_five_of_a_hundred_at_most():
    rng = np.random.default_rng(0)
    fired = np.mean([frozen(*pairs(rng, 200, (0.8, 0.8))).fired for _ in range(TRIALS)])
    assert fired <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)
    assert fired > 0.01


def test_a_worse_one_is_stopped_and_the_sentence_says_where():
    old, new = pairs(np.random.default_rng(1), 2000, (0.3, 1.5))
    worse = frozen(old, new, left_out="left out: 12 rows without a label")
    assert worse.fired
    assert worse.value < worse.threshold == 0
    assert worse.message.startswith("on flights@golden log loss 0.")
    assert "of champion 1.2.0: worse by 0." in worse.message
    assert worse.message.endswith("shown to be worse (left out: 12 rows without a label)")


def test_the_margin_is_what_is_put_up_with():
    old, new = pairs(np.random.default_rng(1), 2000, (0.3, 1.5))
    loss = -frozen(old, new).value
    within = dataclasses.replace(POLICY, frozen_margin=2 * loss)
    assert not frozen(old, new, within).fired
    beyond = dataclasses.replace(POLICY, frozen_margin=loss / 4)
    assert frozen(old, new, beyond).message.endswith(f"shown to be worse by more than {loss / 4:g}")


def test_too_few_rows_and_rows_without_a_value_are_said_and_stop_nothing():
    old, new = pairs(np.random.default_rng(2), 29, (0.1, 3.0))
    few = frozen(old, new, left_out="left out: 900 rows that a model was trained on")
    assert (few.fired, few.value) == (False, None)
    assert few.message == (
        "not judged on flights@golden: 29 rows are left and 30 are asked for "
        "(left out: 900 rows that a model was trained on)"
    )
    one = Answers(np.zeros(50, int), np.full((50, 2), 0.5), 1)
    unknown = constraints.check_frozen(POLICY, METRICS["roc_auc"], one, one, "champion 1.2.0")
    assert "not judged on flights@golden: ROC AUC has no value" in unknown.message


def test_the_median_of_the_runs_is_compared():
    slow, quick = np.full(100, 0.010), np.r_[np.full(90, 0.001), np.full(10, 0.002)]
    timing = constraints.timed([quick, slow, quick], compiled=True)
    assert (timing.seconds, timing.rows, timing.runs) == (0.002, 300, 3)
    assert not constraints.check_latency(timing, 0.002).fired
    over = constraints.check_latency(timing, 0.0015)
    assert (over.fired, over.value, over.threshold) == (True, 0.002, 0.0015)
    assert over.message == (
        "one row takes 2 ms (compiled; 95% of 300 answers, median of 3 runs), 1.5 ms are allowed"
    )
    old = constraints.timed([slow / 10], compiled=False)
    assert not constraints.check_latency_ratio(timing, old, 2.0, "champion 1.2.0").fired
    slower = constraints.check_latency_ratio(timing, old, 1.5, "champion 1.2.0")
    assert (slower.fired, slower.value) == (True, 2.0)
    assert slower.message.endswith("2 times the 1 ms of champion 1.2.0: 1.5 times are allowed")


def test_size_is_in_bytes():
    assert not constraints.check_size(1000, 1000).fired
    over = constraints.check_size(1001, 1000)
    assert over == Evidence("size", True, "its file has 1,001 bytes, 1,000 are allowed", 1001.0, 1000.0)


GOOD = GateVerdict(True, "better by 0.1")
FINE, BAD, WORSE = (Evidence(name, fired, name) for name, fired in (("a", False), ("b", True), ("c", True)))


@pytest.mark.parametrize(
    ("checks", "promote", "reason"),
    [
        ([], True, "better by 0.1"),
        ([FINE], True, "better by 0.1"),
        ([FINE, BAD], False, "better by 0.1, but b"),
        ([BAD, FINE, WORSE], False, "better by 0.1, but b (and 1 more check against it)"),
    ],
)
def test_the_first_check_against_it_is_the_reason(checks, promote, reason):
    verdict = gate.constrained(GOOD, checks)
    assert (verdict.promote, verdict.reason, verdict.checks) == (promote, reason, tuple(checks))
    assert load(GateVerdict, dump(verdict)) == verdict


def test_one_that_is_not_better_keeps_its_reason():
    verdict = gate.constrained(GateVerdict(False, "no gain"), [BAD])
    assert (verdict.promote, verdict.reason, verdict.checks) == (False, "no gain", (BAD,))


def test_a_verdict_of_a_release_before_there_were_checks_is_read():
    before = {name: value for name, value in dump(GOOD).items() if name != "checks"}
    assert load(GateVerdict, before) == GOOD
