"""The rules of a verdict, one by one. How often they are wrong is simulated elsewhere."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.deployment.simulating import of_rights

from everloop.core.documents import dump, load
from everloop.core.errors import InvalidSettings
from everloop.core.releases import (
    CANDIDATE,
    CHAMPION,
    CONTROL,
    Guardrail,
    Interval,
    Measure,
    Plan,
    Release,
    Seen,
)
from everloop.deployment.compared import MEASURES, find_measure
from everloop.deployment.intervals import PAIRED
from everloop.deployment.judging import judge
from everloop.deployment.levels import share
from everloop.deployment.measures import METRICS
from everloop.deployment.sequences import Sums

HOUR, DAY = 3_600.0, 86_400.0
PLAN = Plan(
    measures=(Measure("accuracy", 0.02),),
    guardrails=(Guardrail("failed"), Guardrail("slow", 1.5, above=200), Guardrail("crash")),
    steps=(100, 1_000, 5_000),
    dwell=HOUR,
    longest=7 * DAY,
    least_units=1_000,
)
LAST = 2


def a_release(plan=PLAN, strategy="canary", step=LAST):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Release("r", "m", "prod", strategy, "2", "running", now, "ann", against="1", plan=plan, step=step)


def arm(name, units, right=None, events=None, weight=500, version=None, measure="accuracy"):
    sums = {} if right is None else {measure: of_rights(units, right * units)}
    version = version or ("1" if name == CONTROL else "2")
    return Seen(name, version, weight, units, units, events or {}, sums)


def pair(units, ours, theirs, ours_events=None, theirs_events=None):
    return [arm(CANDIDATE, units, ours, ours_events), arm(CONTROL, units, theirs, theirs_events)]


def said(seen, plan=PLAN, elapsed=2 * HOUR, step_elapsed=2 * HOUR, **more):
    baselines = more.pop("baselines", None)
    return judge(a_release(plan, **more), seen, elapsed, step_elapsed, baselines)


# -- guardrails ----------------------------------------------------------------------------------------------


def test_ten_failures_in_ten_requests_roll_back_at_once_and_without_labels():
    seen = [arm(CANDIDATE, 10, events={"failed": 10}), arm(CONTROL, 10)]
    judged = said(seen, step=0, elapsed=5, step_elapsed=5)
    assert judged.verdict == "roll_back"
    assert "10 of 10 units (100 %) of the canary failed; 0 of 10 units (0 %) of the control" in judged.reason
    check = next(each for each in judged.checks if each.name == "failed")
    assert (check.vetoes, check.needed) == (True, 3 / 0.05)  # accuracy, failed and slow share alpha


def test_failures_that_the_control_has_too_do_not_veto():
    events = {"failed": 300}
    assert said(pair(3_000, 0.9, 0.9, events, events), step=0).verdict == "advance"


def test_a_guardrail_says_how_slow_is_slow_and_what_is_put_up_with():
    judged = said(pair(2_000, 0.9, 0.9, {"slow": 600}, {"slow": 100}))
    assert judged.verdict == "roll_back"
    assert "600 of 2,000 units (30 %) of the canary were slow (over 200 ms)" in judged.reason
    assert "1.5 times whose rate was put up with" in judged.reason


@pytest.mark.parametrize(
    ("ours", "theirs", "vetoes"), [(0, 0, False), (1, 0, False), (2, 0, True), (2, 2, False), (3, 2, True)]
)
def test_two_crashes_roll_back_unless_the_control_crashes_as_often(ours, theirs, vetoes):
    judged = said(pair(50, 0.9, 0.9, {"crash": ours}, {"crash": theirs}), step=0)
    assert (judged.verdict == "roll_back") == vetoes
    assert ("a serving process crashed" in judged.reason) == vetoes


STATED = replace(PLAN, measures=(), steps=(), least_units=0)  # failed and slow share alpha: 40 veto


@pytest.mark.parametrize("strategy", ["blue-green", "rolling"])
@pytest.mark.parametrize(
    ("units", "failed", "rate", "vetoes"),
    [
        (1, 1, 0.01, False),
        (2, 2, 0.01, False),
        (2, 1, 0.0001, False),
        (3, 3, 0.01, True),
        (10, 10, 0.01, True),
    ],
)
def test_a_failure_or_two_are_no_proof_against_a_stated_rate(strategy, units, failed, rate, vetoes):
    seen = [arm(CANDIDATE, units, events={"failed": failed})]
    judged = said(seen, STATED, strategy=strategy, elapsed=5, step_elapsed=5, baselines={"failed": rate})
    assert (judged.verdict == "roll_back") == vetoes
    check = next(each for each in judged.checks if each.name == "failed")
    assert check.evidence >= check.needed  # the numbers alone would say so
    assert "of the 40 that veto once it is 3 units" in check.message


def test_what_is_slow_says_what_to_do_if_that_is_fast_enough():
    remedy = "set release.slow_above to the milliseconds that are, or release.slow: null"
    slow, fine = (said(pair(2_000, 0.9, 0.9, {"slow": n}, {"slow": 100})) for n in (600, 100))
    assert slow.verdict == "roll_back"
    assert remedy in slow.reason
    assert all(remedy not in each.message for each in fine.checks)


def test_large_evidence_is_told_in_a_word():
    judged = said(pair(20_000, 0.9, 0.9, {"failed": 9_000}))
    check = next(each for each in judged.checks if each.name == "failed")
    assert check.evidence > 1e300
    assert "Evidence over a million of the 60 that veto" in check.message


def test_a_guardrail_rolls_back_even_when_the_split_is_broken():
    seen = [arm(CANDIDATE, 3_000, 0.9, {"failed": 900}), arm(CONTROL, 1_000, 0.9)]
    assert said(seen).verdict == "roll_back"


def test_a_broken_split_is_never_promoted():
    seen = [arm(CANDIDATE, 60_000, 0.93), arm(CONTROL, 50_000, 0.9)]
    judged = said(seen)
    assert judged.verdict == "inconclusive"
    assert "canary 60,000, control 50,000, where 1 : 1 was due" in judged.reason


# -- measures ------------------------------------------------------------------------------------------------


def test_an_equal_candidate_is_promoted_after_the_last_step():
    judged = said(pair(50_000, 0.9, 0.9))
    assert judged.verdict == "promote"
    assert judged.winner is None
    (interval,) = judged.intervals
    assert interval.low < 0 < interval.high
    assert (interval.proven, interval.units, interval.margin) == ("no_harm", 100_000, 0.02)
    assert "accuracy 0.900 against 0.900, a difference of +0.000" in judged.reason


def test_a_worse_candidate_is_rolled_back_at_any_step():
    for step in (0, 1, 2):
        judged = said(pair(5_000, 0.85, 0.9), step=step)
        assert judged.verdict == "roll_back"
        assert "accuracy 0.850 against 0.900" in judged.reason


def test_a_harm_that_is_smaller_than_the_margin_is_put_up_with():
    judged = said(pair(400_000, 0.892, 0.9))
    assert judged.intervals[0].high < 0
    assert judged.intervals[0].proven == "no_harm"
    assert judged.verdict == "promote"


def test_before_the_burn_in_nothing_is_judged():
    judged = said(pair(99, 0.1, 0.9), step=0)
    assert judged.verdict == "hold"
    assert judged.intervals == ()
    assert "99 of the 100 units" in judged.reason
    assert said(pair(100, 0.1, 0.9), step=0).verdict == "roll_back"


def test_to_be_better_asks_for_more_than_no_harm():
    better = replace(PLAN, measures=(Measure("accuracy", 0.02, "better"),))
    assert said(pair(50_000, 0.9, 0.9), better).verdict == "hold"
    judged = said(pair(50_000, 0.92, 0.9), better)
    assert (judged.verdict, judged.intervals[0].proven) == ("promote", "better")


def test_of_an_error_less_is_better():
    plan = replace(PLAN, measures=(Measure("brier", 0.02),))
    worse, better = (
        [arm(CANDIDATE, 20_000, ours, measure="brier"), arm(CONTROL, 20_000, 0.2, measure="brier")]
        for ours in (0.25, 0.15)
    )
    assert said(worse, plan).verdict == "roll_back"
    judged = said(better, plan)
    assert judged.verdict == "promote"
    assert judged.intervals[0].difference == pytest.approx(0.05)
    assert judged.intervals[0].low > 0
    assert "(+0.039 to" in judged.reason
    assert "+ is better" in judged.reason


@pytest.mark.parametrize(
    ("ours", "verdict", "proven"),
    [
        (0.5, "promote", "no_harm"),
        (0.56, "hold", "open"),
        (0.65, "roll_back", "harm"),
        (0.35, "roll_back", "harm"),
    ],
)
def test_without_a_direction_any_change_is_harm(ours, verdict, proven):
    plan = replace(PLAN, measures=(Measure("share:yes", 0.05),))
    seen = [arm(CANDIDATE, 20_000, ours, measure="share:yes"), arm(CONTROL, 20_000, 0.5, measure="share:yes")]
    judged = said(seen, plan)
    assert (judged.verdict, judged.intervals[0].proven) == (verdict, proven)


def test_every_measure_has_to_be_proven():
    plan = replace(PLAN, measures=(Measure("accuracy", 0.02), Measure("share:yes", 0.02)))

    def seen(yes):
        return [
            replace(each, sums={**each.sums, "share:yes": of_rights(each.units, each.units * part)})
            for each, part in zip(pair(50_000, 0.9, 0.9), (yes, 0.5), strict=True)
        ]

    assert said(seen(0.5), plan).verdict == "promote"
    judged = said(seen(0.52), plan)
    assert judged.verdict == "hold"
    assert "Share of 'yes' 0.520 against 0.500" in judged.reason
    assert "that it shifts by less than 0.02 is still to be proven" in judged.reason


def test_values_that_are_all_alike_prove_nothing():
    plan = replace(PLAN, measures=(Measure("net_value", 1.0),))
    seen = [arm(name, 5_000, 1, measure="net_value") for name in (CANDIDATE, CONTROL)]
    assert said(seen, plan).verdict == "hold"


def test_a_name_that_is_no_measure_is_refused():
    plan = replace(PLAN, measures=(Measure("acuracy", 0.02),))
    with pytest.raises(InvalidSettings, match="accuracy"):
        said(pair(500, 0.9, 0.9), plan)


# -- steps and time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "step_elapsed", "verdict", "words"),
    [
        (0, HOUR - 1, "hold", "Step 1 of 3 (1 % of the requests) has run 60 minutes of 1 hour"),
        (0, HOUR, "advance", "on to 10 %"),
        (1, HOUR, "advance", "on to 50 %"),
        (2, HOUR - 1, "hold", "Step 3 of 3"),
        (2, HOUR, "promote", "Proven"),
    ],
)
def test_each_step_runs_its_time(step, step_elapsed, verdict, words):
    judged = said(pair(50_000, 0.9, 0.9), step=step, step_elapsed=step_elapsed)
    assert judged.verdict == verdict
    assert words in judged.reason


def test_the_last_step_waits_for_its_units():
    no_measures = replace(PLAN, measures=())
    seen = [arm(CANDIDATE, 999), arm(CONTROL, 1_050)]
    assert said(seen, no_measures, step=1).verdict == "advance"
    judged = said(seen, no_measures)
    assert judged.verdict == "hold"
    assert "Canary has 999 of the 1,000 units" in judged.reason
    assert said([arm(CANDIDATE, 1_000), seen[1]], no_measures).verdict == "promote"


def test_what_is_open_at_the_end_is_not_promoted():
    judged = said(pair(2_000, 0.9, 0.9), elapsed=7 * DAY)
    assert judged.verdict == "inconclusive"
    assert judged.reason.startswith("After 7 days")
    assert "that it drops by less than 0.02 is still to be proven" in judged.reason
    assert said(pair(2_000, 0.9, 0.9), elapsed=7 * DAY, step=0).verdict == "inconclusive"


def test_what_is_proven_at_the_last_moment_is_promoted():
    assert said(pair(50_000, 0.9, 0.9), elapsed=7 * DAY).verdict == "promote"


def test_nobody_seen_is_no_error():
    judged = said([], step=0, elapsed=1, step_elapsed=1)
    assert judged.verdict == "hold"
    assert said([], elapsed=7 * DAY).verdict == "inconclusive"
    for strategy in ("ab", "shadow", "rolling"):
        assert said([], strategy=strategy, step=0).verdict == "hold"


# -- other strategies ----------------------------------------------------------------------------------------


def test_without_a_control_events_are_held_against_what_was_stated():
    plan = Plan(guardrails=(Guardrail("failed"),), dwell=HOUR, longest=DAY)
    usual = [arm(CHAMPION, 5_000, events={"failed": 40}, version="2")]
    assert said(usual, plan, strategy="blue-green").verdict == "promote"
    judged = said(usual, plan, strategy="rolling", baselines={"failed": 0.001})
    assert judged.verdict == "roll_back"
    assert "up to 0.1 % was stated" in judged.reason
    with pytest.raises(InvalidSettings, match="above 0"):
        said(usual, plan, strategy="rolling", baselines={"failed": 0.0})


def test_a_shadow_is_judged_by_differences_on_the_same_rows():
    """A thousand rows are few for two arms, and many for pairs that hardly ever differ."""
    n, better, worse = 1_000, 14, 2
    d = better - worse
    pairs = Seen(PAIRED, "2", 0, n, n, {}, {"accuracy": Sums(n, n, d, n, better + worse, d)})
    seen = [arm(CANDIDATE, n, 0.912, weight=0), arm(CHAMPION, n, 0.9, weight=10_000, version="1"), pairs]
    plan = replace(PLAN, measures=(Measure("accuracy", 0.01),), steps=(), least_units=0)
    judged = said(seen, plan, strategy="shadow", step=0)
    assert judged.verdict == "promote"
    assert judged.intervals[0].difference == pytest.approx(0.012)
    assert (judged.intervals[0].candidate, judged.intervals[0].control) == (0.912, 0.9)
    assert not any(check.name == "mismatch" for check in judged.checks)
    failing = [replace(seen[0], events={"failed": 12}), *seen[1:]]
    assert said(failing, plan, strategy="shadow", step=0).verdict == "roll_back"
    both = [replace(each, events={"failed": 12}) for each in failing]
    assert said(both, plan, strategy="shadow", step=0).verdict == "promote"


def ab(red, blue, units=40_000, control=0.8):
    return [
        arm(CONTROL, units, control, weight=4_000),
        arm("red", units, red, weight=4_000, version="2"),
        arm("blue", units, blue, weight=4_000, version="3"),
    ]


AB = replace(PLAN, steps=(), guardrails=(Guardrail("failed"),))


@pytest.mark.parametrize(
    ("red", "blue", "verdict", "winner"),
    [
        (0.85, 0.8, "promote", "red"),
        (0.85, 0.87, "promote", "blue"),
        (0.85, 0.7, "promote", "red"),  # an arm that is worse loses, and the other one goes on
        (0.8, 0.8, "hold", None),
        (0.8, 0.7, "hold", None),
        (0.7, 0.7, "roll_back", None),
    ],
)
def test_the_best_arm_that_is_proven_better_wins(red, blue, verdict, winner):
    judged = said(ab(red, blue), AB, strategy="ab", step=0)
    assert (judged.verdict, judged.winner) == (verdict, winner)
    if winner:
        assert judged.reason.startswith(f"{winner} is proven better than the control")


def test_more_arms_share_alpha():
    two, three = (share(AB, arms, must_be_better=True) for arms in (1, 2))
    assert two.harm == pytest.approx(0.05 / 3)
    assert three.harm == pytest.approx(two.harm / 2)
    assert three.better == pytest.approx(two.better / 2)


def test_where_any_change_is_harm_each_end_may_roll_back():
    levels = share(PLAN)
    assert levels.sides(Measure("share:yes", 0.1)) == (levels.harm / 2, levels.harm / 2)
    assert levels.sides(PLAN.measures[0]) == (0.05, levels.harm)


def test_an_arm_that_fails_ends_an_ab_test():
    seen = ab(0.85, 0.8)
    seen[2] = replace(seen[2], events={"failed": 200})
    judged = said(seen, AB, strategy="ab", step=0)
    assert judged.verdict == "roll_back"
    assert "200 of 40,000 units (0.5 %) of the blue failed" in judged.reason


def test_of_a_split_that_is_adjusted_only_the_fixed_arms_are_judged():
    plan = replace(AB, bandit=True)
    seen = [
        *(replace(each, arm=f"{each.arm}/fixed", weight=500) for each in ab(0.8, 0.85)),
        arm(CONTROL, 1_000, 0.8, weight=500, version="1"),
        arm("red", 90_000, 0.99, weight=7_500, version="2"),
        arm("blue", 1_000, 0.1, weight=500, version="3"),
    ]
    judged = said(seen, plan, strategy="ab", step=0)
    assert (judged.verdict, judged.winner) == ("promote", "blue")
    assert {each.arm for each in judged.intervals} == {"red/fixed", "blue/fixed"}


def test_an_ab_test_without_a_measure_never_has_a_winner():
    judged = said(ab(0.8, 0.8), replace(AB, measures=()), strategy="ab", step=0)
    assert judged.verdict == "hold"
    assert "no winner" in judged.reason


# -- what is written down ------------------------------------------------------------------------------------


def test_numbers_of_a_judgement_can_be_stored():
    judged = said(pair(5_000, 0.88, 0.9, {"failed": 3}, {"failed": 1}))
    for each in judged.intervals:
        assert load(Interval, dump(each)) == each
        assert type(each.low) is float
    assert all(type(check.evidence) is float and type(check.vetoes) is bool for check in judged.checks)


def test_the_gate_and_a_release_agree_which_way_is_better():
    for name, what in MEASURES.items():
        if name in METRICS:
            assert METRICS[name].sign == what.sign
    assert find_measure("share:no").sign == 0


# -- a size that is agreed on --------------------------------------------------------------------------------


def test_with_all_units_that_were_agreed_on_what_is_not_proven_is_inconclusive():
    plan = replace(PLAN, size=2_000, measures=(Measure("accuracy", 0.005),))
    judged = said(pair(1_999, 0.9, 0.9), plan)
    assert judged.verdict == "hold"
    judged = said(pair(2_000, 0.9, 0.9), plan)
    assert judged.verdict == "inconclusive"
    assert judged.reason.startswith(
        "With the 2,000 units of an arm that were agreed on what is not proven is"
    )
    assert said(pair(2_000, 0.9, 0.9), plan, step=1).verdict == "advance"  # it is the last step's
    assert said(pair(2_000, 0.9, 0.9), plan, step_elapsed=1.0).verdict == "hold"  # not before its time
    assert said(pair(2_000, 0.95, 0.9), plan).verdict == "promote"
    unlabelled = [
        arm(CANDIDATE, 2_000, 0.9),
        replace(arm(CONTROL, 2_000), sums=arm(CONTROL, 1_500, 0.9).sums),
    ]
    assert said(unlabelled, plan).verdict == "hold"  # 500 labels are missing


def test_an_agreed_size_narrows_the_interval_at_its_end_and_widens_it_before():
    def width(units, size):
        (found,) = said(pair(units, 0.9, 0.9), replace(PLAN, size=size)).intervals
        return found.high - found.low

    assert width(2_000, 2_000) < 0.8 * width(2_000, 0)
    assert width(200, 2_000) > width(200, 0)
