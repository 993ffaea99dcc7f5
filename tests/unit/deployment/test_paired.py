"""The intervals hold what they promise. Simulations with fixed seeds; limits are three standard errors."""

import numpy as np
import pytest

from everloop.deployment.measures import METRICS, Answers
from everloop.deployment.paired import compare, pair, summarise

TRIALS = 500


def logistic(score):
    yes = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - yes, yes])


def draw(rng, rows, noise_champion, noise_challenger, offset=-0.7):
    """Labels that follow a logistic law, and two models that know its score with noise."""
    score = 1.5 * rng.normal(size=rows) + offset
    truth = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
    models = [logistic(score + noise * rng.normal(size=rows)) for noise in (noise_champion, noise_challenger)]
    return [Answers(truth, given, positive=1) for given in models]


def misses(metric, rows, noises, difference, seed, confidence=0.95):
    """How often the interval lies wholly above and wholly below the true difference."""
    rng, above, below = np.random.default_rng(seed), 0, 0
    for _ in range(TRIALS):
        low, high = pair(METRICS[metric], *draw(rng, rows, *noises)).interval(confidence)
        above, below = above + (low > difference), below + (high < difference)
    return above / TRIALS, below / TRIALS


@pytest.mark.parametrize("rows", [100, 400])
@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc", "f1"])
def test_a_challenger_that_is_no_better_rarely_wins(metric, rows):
    above, below = misses(metric, rows, (0.8, 0.8), 0.0, seed=rows)
    either = (above + below) / 2  # the two models are exchangeable: both sides tell of the same rate
    assert either <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / (2 * TRIALS))
    assert either >= 0.005  # and the interval is not safe by being uselessly wide, as an unpaired one is


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy", "roc_auc", "f1", "balanced_accuracy"])
def test_intervals_cover_the_true_difference(metric):
    truth = pair(METRICS[metric], *draw(np.random.default_rng(9), 400_000, 1.5, 0.3)).improvement
    above, below = misses(metric, 250, (1.5, 0.3), truth, seed=5)
    assert 0.95 - 3 * np.sqrt(0.05 * 0.95 / TRIALS) <= 1 - above - below <= 0.99


def test_small_gains_with_rare_large_losses_do_not_look_like_a_win():
    """98.5% of rows gain a little, the others lose much, and in the mean nothing is gained. Student's t is
    fooled in more than 4% of cases here; the bound is to hold 2.5%."""
    rng, fooled, student = np.random.default_rng(11), 0, 0
    for _ in range(1500):
        bad = rng.random(600) < 0.015
        gains = np.where(bad, -1.0, 0.015 / 0.985) + 0.05 * rng.normal(size=600)
        fooled += summarise(0.0, 0.0, gains).interval(0.95)[0] > 0
        student += gains.mean() > 1.964 * gains.std(ddof=1) / np.sqrt(600)
    assert student / 1500 > 0.04
    assert fooled / 1500 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 1500)


@pytest.mark.parametrize(("wins", "losses"), [(3, 0), (4, 0), (6, 1)])
def test_a_handful_of_disagreements_proves_nothing(wins, losses):
    """One-sided p is 0.125, 0.0625 and 0.0625 by the exact sign test, 0.02 by Student's t for the second."""
    gains = np.zeros(1000)
    gains[:wins], gains[wins : wins + losses] = 1, -1
    assert summarise(0.5, 0.5, gains).interval(0.95)[0] < 0


def test_more_disagreements_do():
    gains = np.zeros(1000)
    gains[:12] = 1
    assert summarise(0.5, 0.5, gains).interval(0.95)[0] > 0


@pytest.mark.parametrize("skew", [-1, 0, 1])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_p_value_and_interval_agree(skew, margin):
    gains = np.random.default_rng(1).normal(size=200) - 0.3
    gains = gains + skew * gains**2 / 3
    p = summarise(0.0, 0.0, gains).p_worse(margin)
    assert 0 < p < 1
    assert summarise(0.0, 0.0, gains).interval(1 - 2 * p)[1] == pytest.approx(-margin, abs=1e-6)


def test_rows_that_improve_alike_leave_no_doubt():
    paired = summarise(2.0, 1.0, np.full(50, 1.0) + 1e-15 * np.arange(50))
    assert paired.interval(0.95) == (paired.improvement, paired.improvement)
    assert paired.p_worse(0.0) == 1.0
    assert summarise(1.0, 2.0, np.full(50, -1.0)).p_worse(0.5) == 0.0


@pytest.mark.parametrize(("metric", "sign"), [("mae", -1), ("r2", 1)])
def test_improvement_is_positive_where_the_challenger_is_better(metric, sign):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=100)
    bad, good = Answers(truth, truth + 2 * rng.normal(size=100)), Answers(truth, truth + rng.normal(size=100))
    found = compare(METRICS[metric], pair(METRICS[metric], bad, good), 0.9, "a=b")
    assert found.improvement == pytest.approx(sign * (found.challenger - found.champion))
    assert 0 < found.low < found.improvement < found.high
    assert (found.name, found.rows, found.confidence, found.metric) == ("a=b", 100, 0.9, metric)
