"""The check of units against weights: its numbers, its false alarms, and what it finds."""

import numpy as np
import pytest
import ville
from scipy import stats
from tests.unit.deployment.simulating import most

from everloop.deployment.mismatch import ALPHA, CONCENTRATION, NEEDED, chi_square_p, evidence


@pytest.mark.parametrize(("ours", "theirs"), [(40, 60), (480, 520), (9_000, 10_000)])
def test_of_two_arms_it_is_that_of_another_library(ours, theirs):
    tosses = np.array([1] * ours + [0] * theirs)
    prior = (CONCENTRATION / 2, CONCENTRATION / 2)
    expected = ville.BernoulliTest(0.5, prior=prior).fit(tosses).log_e_values_[-1]
    assert np.log(evidence([ours, theirs], [1, 1])) == pytest.approx(expected, rel=1e-9)


def test_of_three_arms_it_is_the_dirichlet_multinomial():
    counts, shares = np.array([55, 30, 15]), np.array([0.5, 0.3, 0.2])
    mixed = stats.dirichlet_multinomial(CONCENTRATION * shares, 100).pmf(counts)
    plain = stats.multinomial(100, shares).pmf(counts)
    assert evidence(counts, [5_000, 3_000, 2_000]) == pytest.approx(mixed / plain)


def test_the_p_value_is_that_of_pearsons_test():
    counts, expected = [510, 480, 240], np.array([500, 500, 250]) * 1230 / 1250
    assert chi_square_p(counts, [2, 2, 1]) == pytest.approx(stats.chisquare(counts, expected).pvalue)


def test_no_units_are_no_mismatch():
    assert evidence([0, 0], [1, 1]) == pytest.approx(1)
    assert chi_square_p([0, 0], [1, 1]) == 1


@pytest.mark.parametrize("weights", [(1, 1), (1, 9), (5, 3, 2)])
def test_false_alarms_are_as_rare_as_stated(weights):
    """20,000 tests, looked at a hundred times each. At a hundred times the level more of them can be seen."""
    trials, shares = 20_000, np.array(weights) / sum(weights)
    rng = np.random.default_rng(1)
    counts = np.zeros((trials, len(weights)))
    largest = np.zeros(trials)
    for _ in range(100):
        counts += rng.multinomial(50, shares, trials)
        largest = np.maximum(largest, evidence(counts, weights))
    print(f"alarms {np.mean(largest >= NEEDED):.5f}, at 0.05 {np.mean(largest >= 20):.4f}")
    assert np.mean(largest >= NEEDED) <= most(ALPHA, trials)
    assert 0.001 < np.mean(largest >= 20) <= most(0.05, trials)


def test_a_tenth_of_the_units_that_is_lost_is_found_within_twelve_thousand():
    rng = np.random.default_rng(2)
    lost = rng.binomial(12_000, 0.9 / 1.9, 1_000)
    found = evidence(np.stack([lost, 12_000 - lost], axis=1), (1, 1)) >= NEEDED
    assert found.mean() > 0.8
