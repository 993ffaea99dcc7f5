"""Both ends of a sequence hold at every look after the burn-in: 10,000 releases, a look at every batch."""

import numpy as np
import pytest
from tests.unit.deployment.simulating import add, growing, most, of_clusters, of_rights, of_values

from everloop.core.releases import Sums
from everloop.deployment.sequences import between, within

RELEASES = 10_000
BURN_IN = 100


def misses(estimates, alpha, truth=0.0, size=0):
    """How often an end was ever on the wrong side: the lower and the upper one."""
    wrong = None
    for estimate in estimates:
        low, high = estimate.bounds(alpha, alpha, size)
        judged = estimate.least >= BURN_IN
        now = np.array([judged & (low > truth), judged & (high < truth)])
        wrong = now if wrong is None else wrong | now
    shares = wrong.mean(axis=1)
    print(f"alpha {alpha}: low wrong {shares[0]:.4f}, high wrong {shares[1]:.4f}")
    return shares


def holds(estimates, alpha, truth=0.0, trials=RELEASES, size=0):
    assert max(misses(estimates, alpha, truth, size)) <= most(alpha, trials)


def rights(rng, units, share):
    return of_rights(np.full(RELEASES, units), rng.binomial(units, share, RELEASES))


@pytest.mark.parametrize("alpha", [0.025, 0.005])
@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ((0.5, 0.5), (25, 25)),
        ((0.9, 0.9), (25, 25)),
        ((0.99, 0.99), (25, 25)),
        ((0.999, 0.999), (25, 25)),
        ((0.85, 0.95), (25, 25)),
        ((0.95, 0.95), (5, 45)),  # of unequal size
    ],
)
def test_right_and_wrong_answers(alpha, shares, sizes):
    rng = np.random.default_rng(1)
    arms = growing(200, lambda: tuple(rights(rng, n, p) for n, p in zip(sizes, shares, strict=True)))
    holds((between(*both, bounded=True) for both in arms), alpha, shares[0] - shares[1])


@pytest.mark.parametrize("alpha", [0.05, 0.005])
@pytest.mark.parametrize("batches", [100, 200, 400], ids=["as agreed", "twice as many", "four times"])
def test_with_units_that_were_agreed_on(alpha, batches):
    """Also where more come than the 2,500 that were agreed on."""
    rng = np.random.default_rng(7)
    arms = growing(batches, lambda: (rights(rng, 25, 0.9), rights(rng, 25, 0.9)))
    holds((between(*both, bounded=True) for both in arms), alpha, size=2_500)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.lognormal(0, 1.5, size),
        lambda rng, size: np.where(rng.random(size) < 0.02, -100.0, 5.0),  # a rare loss among small gains
    ],
    ids=["lognormal", "losses"],
)
def test_skewed_values(draw):
    rng = np.random.default_rng(2)
    arms = growing(60, lambda: tuple(of_values(draw(rng, (RELEASES, 25))) for _ in "ab"))
    holds((between(*both) for both in arms), 0.005)


def test_units_whose_rows_are_all_right_or_all_wrong():
    """Fifty rows a unit, of which one in fifty is all wrong."""
    rng = np.random.default_rng(3)

    def batch(units=10, rows=50):
        good = rng.binomial(units, 0.98, RELEASES) * rows * 1.0
        many = np.full(RELEASES, units)
        return Sums(many, many * rows, good, many * rows**2, good * rows, good * rows)

    holds((between(*both, bounded=True) for both in growing(100, lambda: (batch(), batch()))), 0.005)


@pytest.mark.parametrize("spread", [1, 50], ids=["very different", "nearly alike"])
def test_units_that_come_again(spread):
    """Three hundred users, each with a taste of its own, some of whom come at each look."""
    rng, trials, users = np.random.default_rng(4), 1_000, (1_000, 300)
    tastes = [rng.beta(0.9 * spread, 0.1 * spread, users) for _ in "ab"]
    eager = [rng.beta(1, 3, users) for _ in "ab"]
    rows, totals = ([np.zeros(users) for _ in "ab"] for _ in "ab")

    def look():
        for arm in (0, 1):
            come = rng.random(users) < eager[arm]
            rows[arm] += come
            totals[arm] += come & (rng.random(users) < tastes[arm])
        return (of_clusters(rows[arm], totals[arm]) for arm in (0, 1))

    holds((between(*look(), bounded=True) for _ in range(60)), 0.025, trials=trials)


@pytest.mark.parametrize(("gain", "loss"), [(0.02, 0.02), (0.0, 0.01)])
def test_differences_on_the_same_rows(gain, loss):
    """A shadow that is right where the champion is wrong in ``gain`` of the rows, and wrong in ``loss``."""
    rng, many = np.random.default_rng(5), np.full(RELEASES, 25)

    def batch():
        up, down, _ = rng.multinomial(25, [gain, loss, 1 - gain - loss], RELEASES).T.astype(float)
        return Sums(many, many * 1.0, up - down, many * 1.0, up + down, up - down)

    def looks(sums):
        for _ in range(200):
            yield within(sums, bounded=True)
            sums = add(sums, batch())

    holds(looks(batch()), 0.005, gain - loss)


def test_a_fixed_sample_interval_would_not_hold():
    """What the sequence is for: 1.96 standard errors, looked at every time, miss many times too often."""
    rng = np.random.default_rng(6)
    wrong = np.zeros(RELEASES, dtype=bool)
    for both in growing(100, lambda: (rights(rng, 25, 0.9), rights(rng, 25, 0.9))):
        estimate = between(*both, bounded=True)
        wrong |= (estimate.least >= BURN_IN) & (np.abs(estimate.difference) > 1.96 * estimate.error)
    assert wrong.mean() > 0.2
