"""The calibration error by hand, and what is said to be shown is shown."""

import numpy as np
import pytest

from everloop.deployment import calibration
from everloop.deployment.measures import Answers

TRIALS = 400
AT_MOST = 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)


def answers(truth, probability):
    return Answers(np.asarray(truth), np.column_stack([1 - probability, probability]), positive=1)


def draw(rng, rows, sharper=0.0, noise=0.0):
    """Labels that follow a law; a model that says it, with its log-odds ``1 + sharper`` times too far."""
    score = 1.5 * rng.normal(size=rows)
    truth = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
    said = score * (1 + sharper) + noise * rng.normal(size=rows)
    return answers(truth, 1 / (1 + np.exp(-said)))


def true_error(sharper):
    score = 1.5 * np.random.default_rng(99).normal(size=400_000)
    return float(np.abs(1 / (1 + np.exp(-score)) - 1 / (1 + np.exp(-score * (1 + sharper)))).mean())


def test_the_error_is_that_of_ten_bins_of_equal_size():
    probability = np.repeat(np.arange(10) / 10 + 0.05, 10)
    hits = np.concatenate([np.arange(10) < round(10 * share) for share in np.arange(10) / 10 + 0.1])
    assert calibration.error(answers(hits, probability)) == pytest.approx(0.05)
    assert calibration.error(answers(np.repeat([0, 1], 50), np.repeat([0.0, 1.0], 50))) == 0
    assert calibration.error(answers(np.zeros(100, int), np.ones(100))) == 1


def test_with_more_classes_it_is_the_probability_of_the_class_decided_for():
    given = np.tile([0.7, 0.2, 0.1], (100, 1))
    truth = np.repeat([0, 1, 2], [60, 30, 10])
    assert calibration.error(Answers(truth, given)) == pytest.approx(0.1)
    other = np.where(truth[:, None] == 0, [0.1, 0.2, 0.7], given)
    assert calibration.error(Answers(truth, other)) == pytest.approx(0.7)


def test_rows_of_one_probability_stay_together_however_they_are_ordered():
    truth = np.repeat([0, 1], 500)
    assert calibration.error(answers(truth, np.full(1000, 0.5))) == pytest.approx(0)
    mixed = np.random.default_rng(0).permutation(truth)
    assert calibration.error(answers(mixed, np.full(1000, 0.6))) == pytest.approx(0.1)


def test_the_shown_error_of_a_clear_case_is_the_error():
    answered = draw(np.random.default_rng(0), 50_000, sharper=1.0)
    assert calibration.rows(answered).mean() == pytest.approx(true_error(1.0), abs=0.005)
    assert calibration.error(answered) == pytest.approx(true_error(1.0), abs=0.005)


@pytest.mark.parametrize("rows", [300, 2000])
def test_a_calibrated_model_fails_in_five_of_a_hundred_whatever_is_allowed(rows):
    rng = np.random.default_rng(rows)
    fired = [calibration.check_error(draw(rng, rows), 1e-6, 0.95).fired for _ in range(TRIALS)]
    assert np.mean(fired) <= AT_MOST
    assert np.mean(fired) > 0.01, "the bound is no looser than it must be"


def test_a_model_that_is_as_far_off_as_allowed_fails_seldom_and_one_twice_as_far_often():
    rng, allowed = np.random.default_rng(1), true_error(1.0)
    at_limit = [calibration.check_error(draw(rng, 1000, 1.0), allowed, 0.95).fired for _ in range(TRIALS)]
    beyond = [calibration.check_error(draw(rng, 1000, 1.0), allowed / 2, 0.95).fired for _ in range(TRIALS)]
    assert np.mean(at_limit) <= AT_MOST
    assert np.mean(beyond) > 0.7


def test_a_challenger_as_well_calibrated_as_the_champion_fails_in_five_of_a_hundred():
    rng, fired, caught = np.random.default_rng(2), 0, 0
    for _ in range(TRIALS):
        score = 1.5 * rng.normal(size=1000)
        truth = (rng.random(1000) < 1 / (1 + np.exp(-score))).astype(np.int64)
        noisy = [score + 0.3 * rng.normal(size=1000) for _ in range(2)]
        old, new = (answers(truth, 1 / (1 + np.exp(-said))) for said in noisy)
        far = answers(truth, 1 / (1 + np.exp(-2 * noisy[1])))
        fired += calibration.check_change(old, new, 0.0, 0.95, "champion 1.0.0").fired
        caught += calibration.check_change(old, far, 0.0, 0.95, "champion 1.0.0").fired
    assert fired / TRIALS <= AT_MOST
    assert caught / TRIALS > 0.9


def test_the_words_say_what_is_shown_and_what_may_be_chance():
    far = draw(np.random.default_rng(3), 4000, sharper=1.0)
    shown = calibration.check_error(far, 0.05, 0.95)
    assert (shown.fired, shown.threshold, shown.value) == (True, 0.05, calibration.error(far))
    assert "on 4,000 rows, surely above 0.0" in shown.message
    assert shown.message.endswith(": 0.05 is allowed")
    chance = calibration.check_error(draw(np.random.default_rng(3), 60), 0.01, 0.95)
    assert (chance.fired, chance.message.endswith("so much more may be chance")) == (False, True)
    assert calibration.check_error(far, 0.5, 0.95).message.endswith("on 4,000 rows, 0.5 is allowed")
    assert calibration.check_error(far, 0.0001, 0.95).message.endswith(": 0.0001 is allowed")
    assert calibration.check_change(far, far, 0.0004, 0.95, "it").message.endswith(", 0.0004 more is allowed")
    assert "12 unseen rows, 30 are asked for" in calibration.unjudged(12, 30).message
