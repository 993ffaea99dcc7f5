"""Rates of groups by hand, and a fair model is stopped seldom. Simulations with fixed seeds."""

import numpy as np
import pytest

from everloop.core.decisions import Fairness
from everloop.core.errors import InvalidSettings
from everloop.deployment.fairness import check
from everloop.deployment.measures import Answers

TRIALS = 500
AT_MOST = 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)


def told(selected, truth, positive=1):
    selected = np.asarray(selected, dtype=float)
    return Answers(np.asarray(truth), np.column_stack([1 - selected, selected]), positive)


def cells(group, *counts):
    """Rows of a group: so many true positives, false negatives, false positives, true negatives."""
    selected, truth = np.repeat([1, 0, 1, 0], counts), np.repeat([1, 1, 0, 0], counts)
    return np.repeat(group, sum(counts)), selected, truth


def two_groups(first=(300, 100, 100, 500), second=(100, 300, 50, 550)):
    groups, selected, truth = (
        np.concatenate(part) for part in zip(cells("f", *first), cells("m", *second), strict=True)
    )
    return groups, told(selected, truth)


# f: 400 of 1,000 selected, 300 of 400 true found, 100 of 600 false, 800 right; m: 150, 100 of 400, 50, 650
@pytest.mark.parametrize(
    ("metric", "f", "m", "rows"),
    [
        ("selection_rate", 0.4, 0.15, 1000),
        ("true_positive_rate", 0.75, 0.25, 400),
        ("false_positive_rate", 100 / 600, 50 / 600, 600),
        ("accuracy", 0.8, 0.65, 1000),
    ],
)
def test_rates_are_those_that_one_counts_by_hand(metric, f, m, rows):
    groups, answers = two_groups()
    difference = check(Fairness("sex", metric, max_difference=0.01), groups, answers, 0.95)
    assert difference.value == pytest.approx(f - m)
    ratio = check(Fairness("sex", metric, min_ratio=0.95), groups, answers, 0.95)
    assert ratio.value == pytest.approx(m / f)
    name = metric.replace("_", " ")
    words = f"{name} by sex: {f:.3f} of f ({rows:,} rows) against {m:.3f} of m ({rows:,} rows)"
    assert words in difference.message
    assert words in ratio.message
    assert (difference.fired, difference.threshold) == (True, 0.01)
    assert (ratio.fired, ratio.threshold) == (True, 0.95)


def test_what_is_allowed_is_allowed():
    groups, answers = two_groups()
    verdict = check(Fairness("sex", max_difference=0.3), groups, answers, 0.95)
    assert not verdict.fired
    assert verdict.message.endswith("0.250 apart: 0.3 at most is allowed")
    assert not check(Fairness("sex", min_ratio=0.3), groups, answers, 0.95).fired


def test_a_difference_that_may_be_chance_does_not_stop_it():
    groups, answers = two_groups((6, 14, 4, 16), (3, 17, 2, 18))
    verdict = check(Fairness("sex", max_difference=0.05), groups, answers, 0.95)
    assert not verdict.fired
    assert verdict.message.endswith("0.125 apart, which may be chance: 0.05 at most is allowed")


def test_small_groups_are_named_and_not_judged():
    groups, answers = two_groups()
    groups = np.where(np.arange(len(groups)) < 29, "x", groups)
    verdict = check(Fairness("sex", max_difference=0.3), groups, answers, 0.95)
    assert verdict.message.endswith("; fewer than 30 rows, not judged: x")
    many = np.where(np.arange(len(groups)) < 100, np.arange(len(groups)).astype(str), "rest")
    alone = check(Fairness("sex", max_difference=0.3), many, answers, 0.95)
    assert (alone.fired, alone.value) == (False, None)
    assert "is not compared: 1 group of sex with enough rows" in alone.message
    assert alone.message.endswith(" and 95 more")


def test_the_rows_that_count_are_counted_for_a_small_group():
    groups, answers = two_groups((20, 9, 400, 400))
    verdict = check(Fairness("sex", "true_positive_rate", 0.1), groups, answers, 0.95)
    assert "fewer than 30 rows, not judged: f" in verdict.message


def test_a_missing_value_is_a_group():
    groups, answers = two_groups()
    verdict = check(Fairness("sex", max_difference=0.1), np.where(groups == "m", None, groups), answers, 0.95)
    assert verdict.fired
    assert "0.150 of (missing) (1,000 rows)" in verdict.message


def test_more_pairs_that_are_proven_are_counted():
    half, every = (50, 50, 450, 450), (500, 0, 500, 0)
    parts = [cells("a", *half), cells("b", *half), cells("c", *every)]
    groups, selected, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
    verdict = check(Fairness("where", "accuracy", max_difference=0.3), groups, told(selected, truth), 0.95)
    assert not verdict.fired
    chosen = check(Fairness("where", max_difference=0.3), groups, told(selected, truth), 0.95)
    assert chosen.fired
    assert "1.000 of c (1,000 rows) against 0.500 of" in chosen.message
    assert "0.500 apart (and 1 more pair), shown to be outside" in chosen.message


def test_without_a_positive_class_only_accuracy_can_be_compared():
    groups, answers = two_groups()
    unknown = Answers(answers.truth, answers.given, None)
    assert check(Fairness("sex", "accuracy", max_difference=0.1), groups, unknown, 0.95).fired
    with pytest.raises(InvalidSettings, match="which class is the positive one"):
        check(Fairness("sex", max_difference=0.1), groups, unknown, 0.95)


def stopped(rates, sizes, rule, seed):
    rng, fired = np.random.default_rng(seed), 0
    groups = np.repeat([f"g{g}" for g in range(len(sizes))], sizes)
    probability = np.repeat(rates, sizes)
    for _ in range(TRIALS):
        selected = rng.random(len(probability)) < probability
        fired += check(rule, groups, told(selected, np.ones(len(selected), int)), 0.95).fired
    return fired / TRIALS


@pytest.mark.parametrize(
    ("rates", "sizes", "rule"),
    [
        ([0.3, 0.3], [100, 100], Fairness("g", max_difference=0.001)),
        ([0.3] * 6, [200] * 6, Fairness("g", max_difference=0.001)),
        ([0.02, 0.12], [50, 50], Fairness("g", max_difference=0.1)),
        ([0.9, 1.0], [30, 300], Fairness("g", max_difference=0.1)),
        ([0.3, 0.4, 0.4, 0.3], [300] * 4, Fairness("g", max_difference=0.1)),
        ([0.4, 0.5], [100, 100], Fairness("g", min_ratio=0.8)),
        ([0.04, 0.05], [60, 60], Fairness("g", min_ratio=0.8)),
        ([0.8, 1.0], [30, 300], Fairness("g", min_ratio=0.8)),
    ],
)
def test_a_model_that_keeps_the_limit_is_stopped_in_five_of_a_hundred_at_most(rates, sizes, rule):
    assert stopped(rates, sizes, rule, seed=len(rates)) <= AT_MOST


def test_a_model_that_does_not_is_stopped():
    assert stopped([0.3, 0.5], [600, 600], Fairness("g", max_difference=0.1), seed=1) > 0.9
    assert stopped([0.3, 0.5], [500, 500], Fairness("g", min_ratio=0.8), seed=2) > 0.9
