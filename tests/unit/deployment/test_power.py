"""What is said of a plan before it begins, in numbers and words."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from everloop.core.releases import Arm, Guardrail, Measure, Plan, Range
from everloop.core.spans import words
from everloop.deployment import bandit
from everloop.deployment.expected import expect, smallest_rate
from everloop.deployment.power import outlook
from everloop.deployment.schedule import complete, plan_ahead

HOUR, DAY = 3_600.0, 86_400.0
PLAN = Plan(
    measures=(Measure("accuracy", 0.02),),
    guardrails=(Guardrail("failed"), Guardrail("crash")),
    steps=(500, 2_000, 5_000),
    dwell=HOUR,
    longest=7 * DAY,
    hourly=1_200,
    labelled=0.8,
    label_delay=DAY,
)
KNOWN = {"accuracy": 0.4}


def arms(**weights):
    edges = np.cumsum([0, *weights.values()]).tolist()
    ranges = pairwise(edges)
    return tuple(Arm(name, name, (Range(*edge),)) for name, edge in zip(weights, ranges, strict=True))


def test_steps_wait_for_their_time_and_for_labels():
    """Labels of a hundred units: 125 units at 60 an hour, and a day."""
    schedule = plan_ahead(PLAN, "canary")
    assert schedule.starts == pytest.approx((0, 125 / 60 * HOUR + DAY, 125 / 60 * HOUR + DAY + HOUR))
    assert schedule.ready == pytest.approx(schedule.starts[-1] + HOUR)
    assert schedule.units(schedule.starts[1]) == pytest.approx(125 + 24 * 60)
    assert schedule.units(schedule.ready) == pytest.approx(125 + 24 * 60 + 240 + 600)


def test_without_labels_steps_wait_for_units():
    schedule = plan_ahead(replace(PLAN, measures=(), least_units=3_000), "canary")
    assert schedule.starts == pytest.approx((0, 100 / 60 * HOUR, 100 / 60 * HOUR + HOUR))
    assert schedule.units(schedule.ready) == pytest.approx(3_000)


def test_the_smallest_arm_of_an_ab_test_is_looked_at():
    schedule = plan_ahead(PLAN, "ab", arms(control=5_000, red=4_000, blue=1_000))
    assert (schedule.shares, schedule.control) == ((0.1,), 5.0)
    fixed = bandit.start({"control": "1", "red": "2"}, 0.05, 0.2)
    schedule = plan_ahead(replace(PLAN, bandit=True), "ab", fixed)
    assert (schedule.shares, schedule.control) == ((0.1,), 1.0)


def test_the_words_tell_what_is_found_and_by_when():
    told = outlook(PLAN, "canary", KNOWN)
    assert told.can_finish
    first, events = told.words
    assert first.startswith(
        "At 1,200 units an hour, of which 80 % get a label within 1 day: a drop of accuracy by 0.02 is"
    )
    assert "found within 3.2 days with 80 % probability" in first
    assert "a candidate that is equal is promoted within 3 days" in first
    assert events.startswith("7 failed units of the candidate roll back at once, with none of the control;")


def test_the_smallest_harm_is_told_unless_the_margin_lets_it_pass():
    """A drop of less than the margin is no harm: it may be promoted before it is found."""
    smallest = "the smallest drop of accuracy that is found within 7 days is 0.01"
    assert smallest not in outlook(PLAN, "canary", KNOWN).words[0]
    better = replace(PLAN, measures=(Measure("accuracy", 0.02, "better"),))
    assert smallest in outlook(better, "canary", KNOWN).words[0]


def test_a_shift_that_is_found_is_told_beside_its_margin():
    shifts = replace(PLAN, measures=(Measure("share:yes", 0.1),), longest=14 * DAY, hourly=100_000)
    told = outlook(shifts, "canary").words[0]
    assert "any shift of the share of 'yes' beyond 0.1 is found within 14 days" in told
    few = outlook(replace(shifts, hourly=1_000, longest=DAY), "canary").words[0]
    assert "the smallest shift of share of 'yes' that is found within 1 day is 0.1" in few


def test_a_shadow_promotes_nothing():
    told = outlook(replace(PLAN, steps=()), "shadow", KNOWN)
    assert "a candidate that is equal is proven to be within" in told.words[0]
    assert "promoted" not in " ".join(told.words)


def test_a_test_without_steps_is_told_to_shorten_its_dwell():
    plan = replace(PLAN, steps=(), dwell=8 * DAY, measures=PLAN.measures[:1])
    told = outlook(plan, "ab", KNOWN, arms(control=5_000, red=5_000))
    assert "steps" not in told.why + told.remedy
    assert "it takes at least 8 days" in told.why
    assert "--dwell" in told.remedy


def test_more_traffic_finds_smaller_harm_sooner():
    slow, fast = (expect(replace(PLAN, hourly=hourly), "canary", (), KNOWN)[0] for hourly in (1_200, 12_000))
    assert fast.harm_found < slow.harm_found
    assert fast.smallest < slow.smallest / 2
    assert all(a[1] > b[1] for a, b in zip(slow.widths, slow.widths[1:], strict=False))


def test_nothing_is_promoted_before_the_last_step_has_run():
    plan = replace(PLAN, measures=(Measure("accuracy", 0.1),), dwell=DAY)
    foreseen = expect(plan, "canary", (), KNOWN)[0]
    assert foreseen.harm_found < foreseen.proven
    assert foreseen.proven == pytest.approx(plan_ahead(plan, "canary").ready)


def test_a_shadow_finds_what_two_arms_cannot():
    plan = replace(PLAN, steps=())
    pairs = expect(plan, "shadow", (), {"accuracy": 0.2})[0]
    assert pairs.smallest < expect(PLAN, "canary", (), KNOWN)[0].smallest / 2
    assert outlook(plan, "shadow", {"accuracy": 0.2}).can_finish


def test_more_arms_need_more_time():
    plan = replace(PLAN, steps=(), measures=(Measure("accuracy", 0.02, "better"),))
    two = expect(plan, "ab", arms(control=3_000, red=3_000, rest=4_000), KNOWN)[0]
    one = expect(plan, "ab", arms(control=3_000, red=3_000), KNOWN)[0]
    assert two.proven > one.proven


def test_what_has_no_known_spread_is_said_to_depend_on_it():
    plan = replace(PLAN, measures=(Measure("mae", 2.0),))
    assert "depends on its spread" in outlook(plan, "canary").words[0]
    assert "a rise of mean absolute error by 2" in outlook(plan, "canary", {"mae": 20.0}).words[0]


@pytest.mark.parametrize(
    ("changes", "strategy", "words", "remedy"),
    [
        ({"hourly": 12}, "canary", "7 days is too short a time to prove with 80 %", "more requests"),
        (
            {"measures": (Measure("accuracy", 0.001),)},
            "canary",
            "that the accuracy drops by less than 0.001",
            "Widen",
        ),
        ({"dwell": 3 * DAY}, "canary", "its steps take 9 days", "shorten"),
        ({"hourly": 0}, "canary", "no traffic", "units an hour"),
        ({"longest": 0}, "canary", "no end", "how long"),
        ({"longest": DAY}, "canary", "labels come after 1 day", "no labels"),
        ({"steps": ()}, "canary", "missing", "grow"),
        ({"steps": (500, 400)}, "canary", "500, 400", "grow"),
        ({"steps": (500, 6_000)}, "canary", "6,000", "up to 5,000"),
        ({"alpha": 0.6}, "canary", "alpha is 0.6", "between 0 and 0.5"),
        ({"labelled": 0.0}, "canary", "gets a label", "above 0"),
        ({"measures": (Measure("accuracy", 0.0),)}, "canary", "margin of accuracy is 0", "above 0"),
        ({"measures": (Measure("value", 1.0, "better"),)}, "canary", "better than another", "no_harm"),
        ({"guardrails": (Guardrail("slow"),)}, "canary", "'slow' has no limit", "milliseconds"),
        ({}, "ab", "nothing to compare", "'control'"),
        ({"measures": ()}, "ab", "no winner", "'control'"),
        ({}, "blue-green", "no control", "guardrails only"),
    ],
)
def test_a_plan_that_cannot_finish_is_told_why(changes, strategy, words, remedy):
    told = outlook(replace(PLAN, **changes), strategy, KNOWN)
    assert not told.can_finish
    assert words in told.why
    assert remedy in told.remedy
    assert told.words == ()


def test_plans_without_a_control_can_always_finish():
    plan = Plan(guardrails=(Guardrail("failed"),), dwell=HOUR, longest=DAY)
    assert outlook(plan, "rolling").can_finish


def test_the_smallest_rate_that_vetoes_falls_with_the_units():
    rates = [smallest_rate(units, 1.0, 0.5, 40, 0.8) for units in (300, 3_000, 30_000)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.015
    assert smallest_rate(3, 1.0, 0.5, 40, 0.8) is None


# -- a size that is agreed on --------------------------------------------------------------------------------


SIZED = replace(PLAN, label_delay=0.0, labelled=0.5, longest=60 * DAY, size=8_000)


def test_it_ends_with_the_units_that_were_agreed_on():
    """8,000 labelled ones are 16,000, at 600 an hour of an arm after the steps before."""
    told = outlook(SIZED, "canary", KNOWN)
    (line,) = [each for each in told.words if each.startswith("It ends with")]
    assert line.startswith("It ends with 8,000 units of an arm that have their labels, in about ")
    schedule = plan_ahead(SIZED, "canary")
    end = complete(SIZED, schedule, True)
    assert schedule.units(end) == pytest.approx(16_000)
    assert schedule.units(schedule.when(50)) == pytest.approx(50)
    smaller = outlook(replace(SIZED, size=7_000), "ab", KNOWN, arms(control=2_000, red=8_000))
    assert any("7,000 units of an arm" in each for each in smaller.words)
    split = plan_ahead(SIZED, "ab", arms(control=2_000, red=8_000))
    assert complete(SIZED, split, False) == pytest.approx(8_000 / (1_200 * 0.2) * HOUR)


def test_an_agreed_size_proves_sooner_and_too_small_a_one_is_refused():
    (sized,), (unsized,) = (
        expect(plan, "canary", deviations=KNOWN) for plan in (SIZED, replace(SIZED, size=0))
    )
    assert sized.proven < unsized.proven
    wrong = outlook(replace(SIZED, size=2_000), "canary", KNOWN)
    assert "2,000 units of an arm are too few to prove" in wrong.why
    assert "release size" in wrong.remedy


def test_an_agreed_size_ends_after_the_last_step_and_within_the_longest_time():
    quick = replace(SIZED, hourly=60_000, size=500, measures=(Measure("accuracy", 0.2),))
    told = outlook(quick, "canary", KNOWN).words
    ready = plan_ahead(quick, "canary").ready
    assert any(f"in about {words(ready)}, if nothing" in each for each in told)
    assert any(f"within {words(ready)} a rate of" in each for each in told)
    never = outlook(replace(SIZED, size=10**6), "canary", KNOWN)
    assert "1,000,000 units of an arm take " in never.why
    assert "agree on fewer" in never.remedy
