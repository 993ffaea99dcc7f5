"""How often a verdict is false, with a look after every batch: 10,000 simulated releases a case.

The releases are judged by the functions that the judge calls, for all of them at once; the last test holds
them against the judge itself. Limits are alpha and three binomial standard errors.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.unit.deployment.simulating import Draws, decided, most, seen_at_every_look, verdicts

from everloop.core.releases import CANDIDATE, CONTROL, Guardrail, Measure, Plan, Release, Seen, Sums
from everloop.deployment.judging import judge

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


def shares(plan, right=(0.9, 0.9), yes=(0.4, 0.4), failed=(0.01, 0.01), slow=(0.03, 0.03), seed=5):
    draws = Draws(seed, RELEASES, right, yes, {"failed": failed, "slow": slow})
    back, good = decided(plan, draws, SIZES, LAST)
    print(f"rolled back {np.mean(back >= 0):.4f}, promoted {np.mean(good >= 0):.4f}")
    return np.mean(back >= 0), np.mean(good >= 0)


@pytest.mark.parametrize("right", [0.9, 0.6])
def test_an_equal_candidate_is_rarely_rolled_back(right):
    back, good = shares(PLAN, (right, right))
    assert back <= most(PLAN.alpha, RELEASES)
    assert good >= 0.8 if right == 0.9 else good > 0.2  # and the test is no empty one: it is promoted


def test_an_equal_candidate_that_has_to_be_better_is_rarely_judged_at_all():
    back, good = shares(BETTER)
    assert 0.002 < back + good <= most(PLAN.alpha, RELEASES)


def test_events_at_the_limit_rarely_veto():
    """The slow ones are 1.5 times as many, which is put up with."""
    back, _ = shares(PLAN, failed=(0.1, 0.1), slow=(0.15, 0.1))
    assert 0.004 < back <= most(PLAN.alpha, RELEASES)


def test_a_harm_as_large_as_the_margin_is_rarely_promoted():
    back, good = shares(PLAN, right=(0.87, 0.9))
    assert good <= most(PLAN.alpha, RELEASES)
    assert back > 0.5


def test_a_shift_as_large_as_the_margin_is_rarely_promoted():
    _, good = shares(PLAN, yes=(0.45, 0.4))
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
