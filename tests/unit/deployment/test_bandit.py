"""Splits that are adjusted: they sum to all, keep floors and the fixed share, and find the better arm."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.deployment.simulating import of_rights

from everloop.core.errors import InvalidSettings
from everloop.core.releases import BUCKETS, FIXED, Measure, Plan, Release, Seen, Sums
from everloop.deployment import bandit
from everloop.deployment.buckets import check, reallocate
from everloop.deployment.sequences import together


def a_release(measure="accuracy", floor=0.05, hold_out=0.2):
    plan = Plan(measures=(Measure(measure, 0.02),), bandit=True, floor=floor, hold_out=hold_out)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Release("r", "m", "prod", "ab", "2", "running", now, "ann", plan=plan)


def seen(sums, measure="accuracy"):
    """Half of what is known of each arm was seen by its fixed kind."""
    return [
        Seen(f"{name}{kind}", "1", 1, each.units, each.units, {}, {measure: each})
        for name, each in sums.items()
        for kind in ("", FIXED)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.floats(0, 1)), min_size=2, max_size=6),
    st.floats(0.0001, 0.08),
    st.floats(0.01, 0.4),
)
def test_every_split_sums_to_all_and_keeps_its_limits(known, floor, hold_out):
    sums = {f"arm {i}": of_rights(units, round(units * rate)) for i, (units, rate) in enumerate(known)}
    weights = bandit.weights(a_release(floor=floor, hold_out=hold_out), seen(sums), 1)
    assert sum(weights.values()) == BUCKETS
    assert {weights[f"{name}{FIXED}"] for name in sums} == {int(hold_out * BUCKETS / len(sums) + 1e-6)}
    assert min(weights[name] for name in sums) >= floor * BUCKETS - 1e-6


def test_the_better_arm_gets_nearly_all_that_is_free():
    sums = {"control": of_rights(2_000, 1_600), "red": of_rights(2_000, 1_800)}
    weights = bandit.weights(a_release(), seen(sums), 1)
    assert weights == {"control": 500, "red": 7_500, "control/fixed": 1_000, "red/fixed": 1_000}


def test_of_an_error_the_smaller_one_is_better():
    rng = np.random.default_rng(1)
    values = {name: rng.gamma(2, scale, 500) for name, scale in (("control", 1.0), ("red", 1.3))}
    sums = {
        name: Sums(500, 500.0, each.sum(), 500.0, (each**2).sum(), each.sum())
        for name, each in values.items()
    }
    weights = bandit.weights(a_release("mae"), seen(sums, "mae"), 1)
    assert weights["control"] > 7_000


def test_the_chance_to_be_best_is_that_of_the_posterior():
    """P(Beta(61, 41) > Beta(51, 51)), integrated numerically."""
    from scipy import integrate, stats

    ours, theirs = stats.beta(61, 41), stats.beta(51, 51)
    expected, _ = integrate.quad(lambda p: ours.pdf(p) * theirs.cdf(p), 0, 1)
    best = bandit.probably_best(
        {"a": of_rights(100, 60), "b": of_rights(100, 50)}, "accuracy", np.random.default_rng(1)
    )
    assert best["a"] == pytest.approx(expected, abs=3 * np.sqrt(0.25 / bandit.DRAWS))


def test_rows_of_one_unit_count_once():
    """Forty rows of each of fifty units: as uncertain as fifty tosses."""
    clusters = {
        name: Sums(50, 2_000.0, 40.0 * right, 80_000.0, 1_600.0 * right, 1_600.0 * right)
        for name, right in (("a", 30), ("b", 25))
    }
    single = {"a": of_rights(50, 30), "b": of_rights(50, 25)}
    chances = [
        bandit.probably_best(each, "accuracy", np.random.default_rng(1)) for each in (clusters, single)
    ]
    assert chances[0] == chances[1]


def test_the_same_seed_gives_the_same_split():
    sums = {"control": of_rights(200, 160), "red": of_rights(200, 165)}
    splits = [bandit.weights(a_release(), seen(sums), seed) for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]


def test_few_units_leave_the_split_even():
    sums = {"control": of_rights(2_000, 1_600), "red": of_rights(14, 14)}
    weights = bandit.weights(a_release(), seen(sums), 1)
    assert weights == {"control": 4_000, "red": 4_000, "control/fixed": 1_000, "red/fixed": 1_000}


def test_arms_begin_alike_and_change_hands_as_little_as_can_be():
    arms = bandit.start({"control": "1", "red": "2", "blue": "3"}, 0.05, 0.2)
    check(arms)
    assert {arm.name: arm.version for arm in arms if arm.name.endswith(FIXED)} == {
        "control/fixed": "1",
        "red/fixed": "2",
        "blue/fixed": "3",
    }
    known = {"control": of_rights(500, 400), "red": of_rights(500, 480), "blue": of_rights(500, 390)}
    after = reallocate(arms, bandit.weights(a_release(), seen(known), 1))
    fixed = [(a.ranges, b.ranges) for a, b in zip(arms, after, strict=True) if a.name.endswith(FIXED)]
    assert all(one == other for one, other in fixed)


def test_the_better_arm_is_found_and_the_fixed_share_stays_fair():
    """Thirty days of a test with arms of 70, 75 and 80 %: most requests end at the best, and the mean of the
    fixed arms is the true one."""
    rng = np.random.default_rng(1)
    rates = {"control": 0.70, "red": 0.75, "blue": 0.80}
    release, known, totals = a_release(), {}, []
    for _ in range(30):
        rows = [Seen(name, "1", 1, 0, 0, {}, {"accuracy": sums}) for name, sums in known.items()]
        weights = bandit.weights(release, rows, len(totals)) if known else None
        weights = weights or {
            arm.name: arm.weight for arm in bandit.start(dict.fromkeys(rates, "1"), 0.05, 0.2)
        }
        for name, weight in weights.items():
            units = rng.binomial(1_000, weight / BUCKETS)
            new = of_rights(units, rng.binomial(units, rates[name.removesuffix(FIXED)]))
            known[name] = together(known[name], new) if name in known else new
        totals.append(weights["blue"])
    assert totals[0] == pytest.approx(BUCKETS * 0.8 / 3, abs=2)
    assert np.mean(totals[-5:]) > 6_500
    for name, rate in rates.items():
        fixed = known[f"{name}{FIXED}"]
        assert fixed.mean == pytest.approx(rate, abs=3 * np.sqrt(0.25 / fixed.units))


@pytest.mark.parametrize(("floor", "hold_out"), [(0.0, 0.2), (0.05, 0.0), (0.4, 0.3)])
def test_limits_that_leave_nothing_to_adjust_are_refused(floor, hold_out):
    with pytest.raises(InvalidSettings, match="cannot share all"):
        bandit.start({"a": "1", "b": "2"}, floor, hold_out)
    with pytest.raises(InvalidSettings, match="cannot share all"):
        bandit.start({"a": "1"}, 0.05, 0.2)


def test_what_has_no_direction_cannot_be_followed():
    sums = {"control": of_rights(200, 160), "red": of_rights(200, 165)}
    with pytest.raises(InvalidSettings, match="better than another"):
        bandit.weights(a_release("confidence"), seen(sums, "confidence"), 1)
