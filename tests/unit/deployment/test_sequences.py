"""Confidence sequences: the numbers, against another library and against sums worked out by rows."""

import math

import numpy as np
import pytest
import ville
from tests.unit.deployment.simulating import of_clusters, of_rights, of_values

from everloop.core.releases import Sums
from everloop.deployment.sequences import TUNED, between, mean_error, reach, reach_of, together, within


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("n", [100, 1_000, 5_000, 100_000])
def test_bounds_are_those_of_another_library(alpha, n):
    """It solves the one-sided boundary numerically; ours is the paper's closed form, never inside of it."""
    rho = 1 / ((-2 * math.log(2 * alpha) + math.log(-2 * math.log(2 * alpha) + 1)) / TUNED)
    theirs = float(ville.normal_mixture(n, alpha, rho, one_sided=True)) / math.sqrt(n)
    assert theirs <= reach(n, alpha) <= 1.02 * theirs


def test_the_two_ends_are_those_of_the_two_sided_sequence_of_another_library():
    rng = np.random.default_rng(1)
    values = rng.gamma(2, 3, 5_000)
    theirs = ville.AsymptoticCS(alpha=0.1, t_opt=TUNED).fit(values)
    low, high = within(one(of_values(values[None, :]))).bounds(0.05, 0.05)
    assert low == pytest.approx(theirs.lower_[-1], rel=2e-3)
    assert high == pytest.approx(theirs.upper_[-1], rel=2e-3)


def test_bounds_are_closest_about_the_size_they_are_tuned_for():
    n = np.arange(500, 60_000, 100)
    assert 4_000 < n[np.argmin(reach(n, 0.05))] < 7_000
    assert reach(5_000, 0.05) < reach(5_000, 0.01) < reach(5_000, 0.001)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_the_boundary_for_agreed_units_is_crossed_as_often_as_alpha_says(alpha):
    """Brownian motions to twice the time agreed on, in 4,000 steps; between steps a bridge may cross too."""
    rng, many, steps = np.random.default_rng(1), 20_000, 4_000
    end = 2.0
    furthest = float(reach_of(1.0, alpha))
    inside, place = np.ones(many), np.zeros(many)
    for number in range(steps):
        before, place = place, place + rng.normal(0, math.sqrt(end / steps), many)
        edges = [furthest * max(1.0, end * k / steps) for k in (number, number + 1)]
        room = [np.maximum(edge - w, 0) for edge, w in zip(edges, (before, place), strict=True)]
        inside *= 1 - np.exp(-2 * room[0] * room[1] * steps / end)
    crossed = 1 - inside.mean()
    rest = (inside * np.exp(-2 * furthest * np.maximum(furthest * end - place, 0))).mean()  # a line for ever
    assert crossed + rest == pytest.approx(alpha, abs=3 * math.sqrt(alpha / many))
    assert reach_of(0.25, alpha) == reach_of(4.0, alpha) == pytest.approx(2 * furthest)


def test_agreed_units_need_less_than_units_without_end():
    assert 1.96 < reach_of(1.0, 0.05) < 2.1 < 0.8 * reach(5_000, 0.05)
    assert reach_of(0.02, 0.05) > reach(5_000, 0.05)  # little is known so early
    assert np.isfinite(reach_of(np.array([0.0, 1e-9]), 1e-6)).all()


def test_the_error_of_clusters_is_that_of_their_residuals():
    rng = np.random.default_rng(2)
    rows = 1 + rng.poisson(3, 400)
    totals = rows * rng.normal(5, 1, 400) + rng.normal(0, 1, 400)
    mean, error = mean_error(one(of_clusters(rows[None, :], totals[None, :])))
    residuals = totals - rows * totals.sum() / rows.sum()
    expected = math.sqrt(400 / 399 * (residuals**2).sum()) / rows.sum()
    assert (float(mean), float(error)) == pytest.approx((totals.sum() / rows.sum(), expected))


def test_rows_of_one_unit_are_no_more_than_one_unit():
    """Each row ten times over in its unit: the same units, the same error."""
    single, tenfold = of_rights(200, 150), Sums(200, 2_000.0, 1_500.0, 20_000.0, 15_000.0, 15_000.0)
    assert mean_error(single)[1] == pytest.approx(float(mean_error(tenfold)[1]))


def test_the_difference_of_two_arms_is_as_uncertain_as_both():
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(1, 1, 300), rng.normal(0, 2, 500)
    estimate = between(one(of_values(ours[None, :])), one(of_values(theirs[None, :])))
    expected = math.sqrt(ours.var(ddof=1) / 300 + theirs.var(ddof=1) / 500)
    assert estimate.difference == pytest.approx(ours.mean() - theirs.mean())
    assert estimate.error == pytest.approx(expected)
    assert (estimate.units, estimate.least) == (800, 300)


def test_an_arm_without_a_mistake_is_not_taken_to_be_certain():
    faultless = of_rights(120, 120)
    assert between(faultless, faultless).error == 0
    low, high = between(faultless, faultless, bounded=True).bounds(0.05, 0.05)
    assert low < -0.1
    assert high > 0.1


def test_padding_is_forgotten_with_more_units():
    few, many = (
        between(of_rights(n, 0.9 * n), of_rights(n, 0.9 * n), bounded=True).error
        / between(of_rights(n, 0.9 * n), of_rights(n, 0.9 * n)).error
        for n in (100, 10_000)
    )
    assert few > 1.1
    assert many < 1.005


def test_padding_hardly_widens_what_rests_on_many_rows_a_unit():
    """A thousand units of 25 rows that do not depend on each other, nine of ten right."""
    units, rows, spread = 1_000, 25, 25 * 0.9 * 0.1
    squares = units * ((0.9 * rows) ** 2 + spread)
    many = Sums(units, units * rows, 0.9 * units * rows, units * rows**2, squares, 0.9 * units * rows**2)
    assert 1.02 < between(many, many, bounded=True).error / between(many, many).error < 1.1


def test_bounds_hold_at_the_pace_of_units_and_of_rows():
    few, many = (Sums(300, rows, 0.0, rows, rows, 0.0) for rows in (300.0, 90_000.0))
    for arm in (few, many):
        estimate = between(arm, arm)
        widest = max(reach(600, 0.01), reach(2 * arm.rows, 0.01))
        assert estimate.bounds(0.01, 0.01)[1] == pytest.approx(float(estimate.error * widest))
    assert reach(600, 0.01) > reach(180_000, 0.01) > reach(10_000, 0.01)


def test_nothing_is_known_from_one_unit():
    assert between(of_rights(1, 1), of_rights(1, 0)).error == np.inf
    assert between(Sums(), Sums(), bounded=True).least == 0


def test_arrays_are_judged_as_their_elements():
    rights = np.array([80, 90, 99])
    many = between(of_rights(np.full(3, 100), rights), of_rights(np.full(3, 100), rights - 5), bounded=True)
    for i, right in enumerate(rights):
        single = between(of_rights(100, right), of_rights(100, right - 5), bounded=True)
        assert np.array(single.bounds(0.01, 0.02)) == pytest.approx(
            np.array([end[i] for end in many.bounds(0.01, 0.02)])
        )


def test_sums_of_two_sets_are_those_of_both():
    rng = np.random.default_rng(4)
    values = rng.normal(size=100)
    parts = [one(of_values(part[None, :])) for part in (values[:30], values[30:])]
    whole = one(of_values(values[None, :]))
    for name in Sums.__dataclass_fields__:
        assert getattr(together(*parts), name) == pytest.approx(getattr(whole, name))


def one(sums):
    return Sums(*(getattr(sums, name)[0].item() for name in Sums.__dataclass_fields__))
