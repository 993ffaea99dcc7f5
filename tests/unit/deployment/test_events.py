"""Evidence from events: the numbers against direct integration and another library."""

import numpy as np
import pytest
import ville
from scipy import integrate, stats

from everloop.deployment.events import evidence, in_a_row, limit_of


@pytest.mark.parametrize(
    ("hits", "misses", "limit"), [(0, 0, 0.5), (10, 0, 0.5), (7, 3, 0.5), (3, 9, 0.6), (4, 496, 0.002)]
)
def test_it_is_the_average_likelihood_ratio(hits, misses, limit):
    weight = stats.beta(0.5, 0.5)
    ratio = stats.binom(hits + misses, limit).pmf(hits)
    whole, _ = integrate.quad(
        lambda theta: weight.pdf(theta) * stats.binom(hits + misses, theta).pmf(hits), limit, 1, limit=200
    )
    assert evidence(hits, misses, limit) == pytest.approx(whole / weight.sf(limit) / ratio, rel=1e-6)


def test_above_the_limit_it_is_that_of_another_library():
    """Far above the limit the part of the density that is cut off does not count: theirs is not cut off."""
    tosses = np.array([1] * 80 + [0] * 20)
    theirs = ville.BernoulliTest(0.5, prior=(0.5, 0.5)).fit(tosses).e_values_[-1]
    assert evidence(80, 20, 0.5) == pytest.approx(2 * theirs, rel=1e-6)


@pytest.mark.parametrize("checks", range(1, 19))
def test_ten_failures_in_the_first_ten_veto_beside_as_many_other_checks(checks):
    assert evidence(10, 0, 0.5) >= checks / 0.05


def test_fewer_events_than_the_control_are_no_evidence():
    assert evidence(2, 40, 0.5) < 0.1
    assert evidence(0, 5_000, 0.5) == 0.0


def test_large_counts_are_numbers():
    values = evidence(np.array([10**6, 10**6, 500_500]), np.array([0, 10**6, 499_500]), 0.5)
    assert np.isfinite(values).all()
    assert values[0] > 1e100
    assert values[1] < 1
    assert evidence(10**4, 10**8, 0.0001) < 1


@pytest.mark.parametrize("limit", [0.5, 2 / 3, 0.9])
def test_so_many_in_a_row_are_the_fewest_that_veto(limit):
    row = in_a_row(limit, 60)
    assert evidence(row, 0, limit) >= 60 > evidence(row - 1, 0, limit)


def test_nothing_in_a_row_vetoes_what_may_always_happen():
    assert in_a_row(1 - 1e-9, 60) is None


def test_the_limit_is_the_share_of_events_where_rates_are_in_that_ratio():
    assert limit_of(500, 500, 1.0) == 0.5
    assert limit_of(500, 500, 2.0) == pytest.approx(2 / 3)
    assert limit_of(100, 900, 1.0) == pytest.approx(0.1)
