"""Evidence from events rarely misleads, whatever the rates are. 10,000 releases, a look at every batch."""

import numpy as np
import pytest
from tests.unit.deployment.simulating import evidence_of_each, most

from everloop.deployment.checks import LEAST
from everloop.deployment.events import evidence, limit_of

RELEASES, LOOKS, BATCH, ALPHA = 10_000, 50, 40, 0.05


class Split:
    """Units that fall to candidate and control at random, as their weights are, and have an event at these
    rates."""

    def __init__(self, seed, rates, weights=(1, 1)):
        self.rng, self.rates, self.weights = np.random.default_rng(seed), rates, weights

    def hits(self):
        whole = BATCH * sum(self.weights)
        share = self.weights[0] / sum(self.weights)
        self.units = self.rng.binomial(whole, share, RELEASES)
        self.rest = whole - self.units
        return self.rng.binomial(self.units, self.rates[0])

    def misses(self):
        return self.rng.binomial(self.rest, self.rates[1])


def ever(hits_of, misses_of, limit):
    """In which share of the releases the evidence ever reached 1 / alpha, and at which look."""
    hits, misses = (np.zeros(RELEASES, dtype=int) for _ in "ab")
    first = np.full(RELEASES, LOOKS)
    for look in range(LOOKS):
        hits, misses = hits + hits_of(), misses + misses_of()
        reached = evidence_of_each(hits, misses, limit) >= 1 / ALPHA
        first = np.where(reached & (first == LOOKS), look, first)
    print(f"vetoed {np.mean(first < LOOKS):.4f}")
    return np.mean(first < LOOKS), first


@pytest.mark.parametrize("rate", [0.0001, 0.001, 0.01, 0.3])
@pytest.mark.parametrize(("weights", "ratio"), [((1, 1), 1.0), ((1, 9), 1.0), ((1, 1), 2.0)])
def test_a_rate_that_is_put_up_with_rarely_vetoes(rate, weights, ratio):
    split = Split(1, (rate * ratio, rate), weights)
    wrong, _ = ever(split.hits, split.misses, limit_of(*weights, ratio))
    assert wrong <= most(ALPHA, RELEASES)


@pytest.mark.parametrize("rate", [0.0001, 0.01, 0.3])
def test_a_rate_as_stated_rarely_vetoes(rate):
    rng = np.random.default_rng(2)
    happened = None

    def hits():
        nonlocal happened
        happened = rng.binomial(BATCH, rate, RELEASES)
        return happened

    wrong, _ = ever(hits, lambda: BATCH - happened, rate)
    assert wrong <= most(ALPHA, RELEASES)


@pytest.mark.parametrize("rate", [0.0001, 0.001, 0.01, 0.03])
@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_at_the_stated_rate_few_releases_end_and_none_for_its_first_failures(rate, alpha):
    """A look at every unit, until 60 have failed: evidence grows only where one fails."""
    units = np.random.default_rng(8).geometric(rate, (RELEASES, 60)).cumsum(axis=1)
    reached = np.array(
        [evidence_of_each(np.full(RELEASES, n), units[:, n - 1] - n, rate) >= 1 / alpha for n in range(1, 61)]
    )
    wrong, anyhow = (reached[first:].any(axis=0).mean() for first in (LEAST - 1, 0))
    print(f"from {LEAST} units on {wrong:.4f}, from the first one on {anyhow:.4f}")
    assert wrong <= alpha / 2
    assert wrong < anyhow


def test_rates_may_change_with_the_hours():
    """Failures come in storms that meet both arms alike."""
    rng, split = np.random.default_rng(3), Split(3, None)

    def hits():
        storm = rng.choice([0.001, 0.5], p=[0.9, 0.1], size=RELEASES)
        split.rates = (storm, storm)
        return split.hits()

    wrong, _ = ever(hits, split.misses, 0.5)
    assert 0.002 < wrong <= most(ALPHA, RELEASES)


def test_a_bad_client_counts_once():
    """Two in a hundred clients fail, each with fifty requests. Counted by request they would often veto."""
    rng = np.random.default_rng(4)
    clients, once, _ = 20, None, None
    arms = [rng.binomial(clients, 0.02, (LOOKS, RELEASES)) for _ in "ab"]
    looks = iter(range(LOOKS)), iter(range(LOOKS))
    once, _ = ever(lambda: arms[0][next(looks[0])], lambda: arms[1][next(looks[1])], 0.5)
    looks = iter(range(LOOKS)), iter(range(LOOKS))
    by_request, _ = ever(lambda: 50 * arms[0][next(looks[0])], lambda: 50 * arms[1][next(looks[1])], 0.5)
    assert once <= most(ALPHA, RELEASES)
    assert by_request > 0.4


def test_a_disaster_is_found_at_the_first_look():
    rng = np.random.default_rng(5)
    found, first = ever(
        lambda: rng.binomial(BATCH, 0.9, RELEASES), lambda: rng.binomial(BATCH, 0.01, RELEASES), 0.5
    )
    assert found == 1
    assert first.max() == 0


def test_twice_the_rate_is_found():
    rng = np.random.default_rng(6)
    found, _ = ever(
        lambda: rng.binomial(BATCH, 0.08, RELEASES), lambda: rng.binomial(BATCH, 0.04, RELEASES), 0.5
    )
    assert found > 0.9
    assert evidence(160, 80, 0.5) > 20  # as many as are expected
