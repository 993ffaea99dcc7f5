"""Probabilities of the tests, held against scipy.stats and against simulation."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from everloop.monitoring import comparing, evidence, reference
from everloop.monitoring.chunks import Usual


@pytest.mark.parametrize("distance", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("rows", [30, 500])
def test_the_distance_of_few_rows_is_exact_in_the_tail(distance, rows):
    exact = stats.kstwo.sf(distance, rows)
    ours = evidence.of_distance(distance, rows)
    assert exact <= ours * (1 + 1e-9)
    if exact < 0.01:
        assert ours == pytest.approx(exact, rel=0.01)


def test_the_distance_of_many_rows_is_that_of_kolmogorov():
    assert evidence.of_distance(0.02, 10_000) == pytest.approx(stats.kstwo.sf(0.02, 10_000), rel=0.05)
    assert evidence.of_distance(0.0, 10) == 1.0


@pytest.mark.parametrize(("here", "there"), [(30, 1_000), (12, 1_000), (0, 1_500), (3, 0)])
def test_a_rare_count_is_tested_exactly(here, there):
    rows, before = 1_000, 100_000
    ours = float(evidence.of_rare(here, rows, there, before))
    exact = stats.binomtest(here, here + there, rows / (rows + before))
    side = "greater" if here / rows > there / before else "less"
    one = stats.binomtest(here, here + there, rows / (rows + before), alternative=side)
    assert ours == pytest.approx(min(1.0, 2 * one.pvalue), rel=1e-6)
    assert ours < 2 * exact.pvalue + 1e-12


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_skewness_makes_the_tail_of_means_right(share):
    """Of a share of 1,000 rows: the normal curve would be far too sure of itself."""
    rows = 1_000
    count = stats.binom.isf(1e-5, rows, share) + 1
    spread = np.sqrt(share * (1 - share) / rows)
    z = (count - 0.5 - rows * share) / rows / spread
    lean = (1 - 2 * share) / np.sqrt(share * (1 - share) * rows)
    exact = 2 * stats.binom.sf(count - 1, rows, share)
    assert exact / 3 < float(evidence.of_means(z, lean)) < 3 * exact
    if share < 0.1:
        assert float(evidence.of_means(z)) < exact / 3


def test_an_estimated_error_makes_the_tail_heavier():
    assert float(evidence.of_means(4.0, 0.0, 39.0)) == pytest.approx(2 * stats.t.sf(4, 39))
    assert float(evidence.of_means(-4.0)) == pytest.approx(2 * stats.norm.sf(4))


@pytest.mark.parametrize(("levels", "rows"), [(5, 1_000), (300, 1_000), (50, 200)])
def test_shares_are_not_rejected_too_often(levels, rows):
    rng, trials, there = np.random.default_rng(1), 4_000, 20_000
    shares = 1 / np.arange(1, levels + 1)
    shares /= shares.sum()
    chances = []
    for _ in range(trials):
        known = rng.multinomial(there, shares) / there
        chances.append(evidence.of_shares(rng.multinomial(rows, shares).astype(float), known, rows, there))
    for alpha in (0.05, 0.005):
        assert np.mean(np.asarray(chances) <= alpha) <= alpha + 3 * np.sqrt(alpha / trials)
    assert np.mean(np.asarray(chances) <= 0.2) > 0.1


@pytest.mark.parametrize("zeros", [0.0, 0.84, 0.98])
@pytest.mark.parametrize("rows", [10, 100, 1_000])
def test_components_that_count_are_rarely_far(zeros, rows):
    """Also of values that are mostly zero, whose components are anything but normal."""
    rng, trials = np.random.default_rng(3), 30_000
    values = np.where(rng.random(20_000) < zeros, 0.0, rng.normal(size=20_000))
    bins = reference.build(pa.table({"x": values})).features["x"].bins
    _, skewness, peaked = evidence.shape(bins.shares, bins.components)
    settled = evidence.settled(skewness, peaked, rows)
    means = rng.multinomial(rows, bins.shares, size=trials) @ bins.components
    lean = skewness / np.sqrt(rows)
    chances = evidence.of_means(means / np.sqrt(rows), lean)
    often = (chances <= 1e-4).mean(axis=0)
    print(zeros, rows, settled, often)
    assert (often[settled] <= 1e-4 + 5 * np.sqrt(1e-4 / trials)).all()
    if zeros == 0.98 and rows == 10:
        assert not settled[1:].any()
        assert (often > 1e-3).any()


@pytest.mark.parametrize("share", [0.002, 0.05, 0.15, 0.5, 0.97])
@pytest.mark.parametrize("rows", [3, 40, 300, 5_000])
@pytest.mark.parametrize("alpha", [1e-2, 1e-5])
def test_a_share_is_rejected_as_often_as_said(share, rows, alpha):
    """Over all counts that can be, against a reference that is known well."""
    counts = np.arange(rows + 1)
    usual = Usual(np.ones(rows + 1), np.full(rows + 1, np.inf), np.ones(rows + 1))
    chances = comparing.share_chances(counts, rows, np.full(rows + 1, share), 1e9, usual, usual)
    size = stats.binom.pmf(counts, rows, share)[chances <= alpha].sum()
    assert size <= 1.6 * alpha


def test_few_ranks_prove_little():
    """One row above all of nineteen: two in twenty."""
    assert evidence.least(1, 19) == pytest.approx(0.1)


def test_holm_rejects_as_he_says():
    p = np.asarray([0.001, 0.04, 0.012, 0.2])
    assert evidence.holm(p, np.ones(4), 0.05).tolist() == [True, False, True, False]
    assert evidence.holm(np.asarray([0.05]), np.ones(1), 0.05).tolist() == [True]
    assert evidence.holm(np.asarray([]), evidence.weights([]), 0.05).tolist() == []


def test_those_of_more_weight_need_less_evidence():
    p = np.asarray([0.03, 0.04])
    assert evidence.holm(p, np.ones(2), 0.05).tolist() == [False, False]
    assert evidence.holm(p, np.asarray([3.0, 1.0]), 0.05).tolist() == [True, True]
    assert evidence.holm(p, np.asarray([1.0, 9.0]), 0.05).tolist() == [True, True]
    assert evidence.holm(p, np.asarray([1.0, 2.0]), 0.05).tolist() == [False, False]
    assert evidence.weights([True, False, False, False, True]).tolist() == [1.5, 1, 1, 1, 1.5]
    assert evidence.weights([True, True, False]).tolist() == [1, 1, 1]
    assert evidence.weights([False, False]).tolist() == [1, 1]


@pytest.mark.parametrize("correlated", [0.0, 0.9])
def test_weights_keep_the_promise(correlated: float):
    """Ten tests of which nothing is true, three with more weight: any is rejected as often as said."""
    rng = np.random.default_rng(20)
    weights = evidence.weights([True] * 3 + [False] * 7)
    shared = rng.standard_normal((4_000, 1)) * np.sqrt(correlated)
    own = rng.standard_normal((4_000, 10)) * np.sqrt(1 - correlated)
    wrong = [evidence.holm(stats.norm.sf(row), weights, 0.05).any() for row in shared + own]
    assert np.mean(wrong) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4_000)
