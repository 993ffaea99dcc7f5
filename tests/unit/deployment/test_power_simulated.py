"""What a plan foresees comes true, and what looking at every batch costs. 4,000 simulated releases each."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from tests.unit.deployment.simulating import Draws, decided

from everloop.core.releases import Guardrail, Measure, Plan
from everloop.deployment.expected import expect, smallest_rate
from everloop.deployment.levels import share

RELEASES, HOUR, BATCH = 4_000, 3_600.0, 100
ONE = Plan(
    measures=(Measure("accuracy", 0.03),),
    steps=(5_000,),
    longest=100 * HOUR,
    hourly=2 * BATCH,  # so that each hour brings a batch to each arm
    power=0.8,
)


def looks(plan, right, hours=100, rates=None):
    draws = Draws(1, RELEASES, right, (0.5, 0.5), rates or {})
    return decided(plan, draws, [BATCH] * hours, 0)


def by(found, hour):
    return np.mean((found >= 0) & (found < hour))


@pytest.mark.parametrize("goal", ["no_harm", "better"])
def test_what_is_foreseen_comes_true(goal):
    """With the power that was asked for or a little more, as earlier looks find something too."""
    plan = replace(ONE, measures=(Measure("accuracy", 0.03, goal),))
    foreseen = expect(plan, "canary", (), {"accuracy": 0.3})[0]
    harmed, _ = looks(plan, (0.87, 0.9))
    _, promoted = looks(plan, (0.9, 0.9) if goal == "no_harm" else (0.93, 0.9))
    found, proven = (
        by(harmed, round(foreseen.harm_found / HOUR)),
        by(promoted, round(foreseen.proven / HOUR)),
    )
    print(f"{goal}: found {found:.3f}, proven {proven:.3f} of 0.8 foreseen")
    assert 0.78 < found < 0.95
    assert 0.78 < proven < 0.95


def test_the_smallest_harm_is_found_by_the_end():
    plan = replace(ONE, measures=(Measure("accuracy", 0.03, "better"),))
    foreseen = expect(plan, "canary", (), {"accuracy": 0.3})[0]
    harmed, _ = looks(plan, (0.9 - foreseen.smallest, 0.9))
    assert 0.78 < by(harmed, 100) < 0.95


def test_the_price_of_looking_at_every_batch():
    """Against one look at the end of the size that a fixed-sample test of the same level and power needs."""
    alpha, harm = share(ONE).harm, 0.03
    normal, variance = NormalDist(), 0.9 * 0.1 + 0.87 * 0.13
    fixed = variance * ((normal.inv_cdf(1 - alpha) + normal.inv_cdf(0.8)) / harm) ** 2
    harmed, _ = looks(ONE, (0.9 - harm, 0.9))
    hours = np.where(harmed < 0, 100, harmed + 1)
    median, eighty = (np.quantile(hours, q) * BATCH / fixed for q in (0.5, 0.8))
    print(f"fixed sample {fixed:.0f} an arm; ratio of sizes: median {median:.2f}, for power 0.8 {eighty:.2f}")
    assert median < 1.6
    assert eighty < 2.5
    disaster, _ = looks(ONE, (0.7, 0.9), hours=20)
    assert np.quantile(disaster + 1, 0.9) * BATCH < fixed / 3  # and large harm is found much sooner


def test_the_smallest_rate_of_events_vetoes():
    plan = replace(ONE, measures=(), guardrails=(Guardrail("failed"),))
    rate = smallest_rate(40 * BATCH, 1.0, 0.5, 1 / share(plan).harm, 0.8)
    vetoed, _ = looks(replace(plan, least_units=10**9), (0.9, 0.9), 40, {"failed": (rate, 0.01)})
    print(f"rate {rate:.4f} against 0.01: vetoed {np.mean(vetoed >= 0):.3f}")
    assert 0.76 < np.mean(vetoed >= 0) < 0.95
