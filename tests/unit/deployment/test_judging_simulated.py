"""How often a verdict is false, with a look after every batch: 10,000 simulated releases a case.

The releases are judged by the functions that the judge calls, for all of them at once; the last test holds
them against the judge itself. Limits are alpha and three binomial standard errors.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.unit.deployment.simulating import Draws, decided, most, of_rights, seen_at_every_look, verdicts

from everloop.core.releases import CANDIDATE, CONTROL, Guardrail, Measure, Plan, Release, Seen, Sums
from everloop.deployment.intervals import speaks_against, speaks_for
from everloop.deployment.judging import judge
from everloop.deployment.levels import share
from everloop.deployment.sequences import between

RELEASES = 10_000
SIZES = [25] * 40 + [100] * 60  # units of each arm a batch, on a first step and a last one
LAST = 40
PLAN = Plan(
    measures=(Measure("accuracy", 0.03), Measure("share:yes", 0.05)),
    guardrails=(Guardrail("failed"), Guardrail("slow", 1.5, above=100)),
    steps=(500, 2_000),
    alpha=0.05,
    burn_in=100,
    least_units=1_000,
)
BETTER = replace(PLAN, measures=(replace(PLAN.measures[0], goal="better"), PLAN.measures[1]))


def verdict_shares(plan, right=(0.9, 0.9), yes=(0.4, 0.4), failed=(0.01, 0.01), slow=(0.03, 0.03), seed=5):
    draws = Draws(seed, RELEASES, right, yes, {"failed": failed, "slow": slow})
    back, good = decided(plan, draws, SIZES, LAST)
    print(f"rolled back {np.mean(back >= 0):.4f}, promoted {np.mean(good >= 0):.4f}")
    return np.mean(back >= 0), np.mean(good >= 0)


@pytest.mark.parametrize("right", [0.9, 0.6])
def test_an_equal_candidate_is_rarely_rolled_back(right):
    back, good = verdict_shares(PLAN, (right, right))
    assert back <= most(PLAN.alpha, RELEASES)
    assert good >= 0.8 if right == 0.9 else good > 0.2  # and the test is no empty one: it is promoted


def test_an_equal_candidate_that_has_to_be_better_is_rarely_judged_at_all():
    back, good = verdict_shares(BETTER)
    assert 0.002 < back + good <= most(PLAN.alpha, RELEASES)


def test_events_at_the_limit_rarely_veto():
    """The slow ones are 1.5 times as many, which is put up with."""
    back, _ = verdict_shares(PLAN, failed=(0.1, 0.1), slow=(0.15, 0.1))
    assert 0.004 < back <= most(PLAN.alpha, RELEASES)


def test_a_harm_as_large_as_the_margin_is_rarely_promoted():
    back, good = verdict_shares(PLAN, right=(0.87, 0.9))
    assert good <= most(PLAN.alpha, RELEASES)
    assert back > 0.5


def test_a_shift_as_large_as_the_margin_is_rarely_promoted():
    _, good = verdict_shares(PLAN, yes=(0.45, 0.4))
    assert good <= most(PLAN.alpha, RELEASES)


def test_the_same_releases_get_the_same_verdicts_from_the_judge():
    """Some equal, some worse, some that fail more often: every verdict occurs."""
    many = 60
    right = (np.repeat([0.9, 0.75, 0.9], many // 3), np.full(many, 0.9))
    failed = (np.repeat([0.01, 0.01, 0.2], many // 3), np.full(many, 0.01))
    rates = {"failed": failed, "slow": (0.03, 0.03)}
    draws = Draws(3, many, right, (0.4, 0.4), rates)
    found = set()
    for number, (units, sums, events) in enumerate(seen_at_every_look(draws, SIZES)):
        if number % 7:
            continue
        back, good = verdicts(PLAN, units, sums, events, number >= LAST)
        for i in range(many):
            said = judge(a_release(step=int(number >= LAST)), one(i, units, sums, events), 1.0, 1.0)
            found.add(said.verdict)
            assert (said.verdict == "roll_back", said.verdict == "promote") == (back[i], good[i])
    assert found == {"hold", "advance", "promote", "roll_back"}


def a_release(step):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Release("r", "m", "prod", "canary", "2", "running", now, "ann", against="1", step=step, plan=PLAN)


def one(i, units, sums, events):
    """What the judge sees of one of many releases."""
    return [
        Seen(
            name,
            str(arm),
            500,
            int(units[arm][i]),
            int(units[arm][i]),
            {event: int(both[arm][i]) for event, both in events.items()},
            {
                measure: Sums(*(getattr(both[arm], each)[i].item() for each in Sums.__dataclass_fields__))
                for measure, both in sums.items()
            },
        )
        for arm, name in enumerate((CANDIDATE, CONTROL))
    ]


def test_of_several_equal_arms_one_is_rarely_taken():
    """Two arms beside a control, all alike: an arm is taken for better, or all are taken for worse, no more
    often than alpha says."""
    plan, many = replace(PLAN, guardrails=(), measures=PLAN.measures[:1]), 10_000
    levels = share(plan, arms=2, must_be_better=True).sides(plan.measures[0], must_be_better=True)
    rng = np.random.default_rng(1)
    units, right = np.zeros((3, many)), np.zeros((3, many))
    better, worse = (np.zeros((2, many), dtype=bool) for _ in "ab")
    for _ in range(100):
        new = rng.binomial(50, 1 / 3, (3, many))
        units, right = units + new, right + rng.binomial(new, 0.9)
        for arm in (1, 2):
            sums = (of_rights(units[each], right[each]) for each in (arm, 0))
            estimate = between(*sums, bounded=True)
            low, high = estimate.bounds(*levels)
            judged = estimate.least >= plan.burn_in
            better[arm - 1] |= judged & speaks_for(low, high, 0.03, 1, "better")
            worse[arm - 1] |= judged & speaks_against(low, high, 0.03, 1)
    wrong = better.any(axis=0) | worse.any(axis=0)
    print(f"taken for better {better.any(axis=0).mean():.4f}, for worse {worse.any(axis=0).mean():.4f}")
    assert 0.005 < wrong.mean() <= most(plan.alpha, many)
