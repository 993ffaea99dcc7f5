"""The classical calculator, against what R prints for the same questions, and against simulation."""

import numpy as np
import pytest
from scipy import stats

from everloop.core.errors import InvalidSettings
from everloop.deployment.samplesize import (
    power_of_means,
    power_of_proportions,
    size_of_means,
    size_of_proportions,
)


def test_proportions_are_those_of_r():
    """power.prop.test(n = 50, p1 = .50, p2 = .75); power.prop.test(p1 = .50, p2 = .75, power = .90)."""
    assert power_of_proportions(50, 0.5, 0.75) == pytest.approx(0.7401659, abs=1e-6)
    assert size_of_proportions(0.5, 0.75, power=0.9) == 77  # 76.7


def test_means_are_those_of_r():
    """power.t.test(n = 20, delta = 1, sd = 1); power.t.test(power = .90, delta = 1)."""
    assert power_of_means(20, 1, 1) == pytest.approx(0.8689528, abs=1e-6)
    assert size_of_means(1, 1, power=0.9) == 23  # 22.02


def test_a_simulated_test_has_that_power():
    rng = np.random.default_rng(1)
    size = size_of_means(0.4, 1)
    ours, theirs = rng.normal(0.4, 1, (4_000, size)), rng.normal(0, 1, (4_000, size))
    found = stats.ttest_ind(ours, theirs, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_sizes_are_the_smallest_that_suffice():
    size = size_of_proportions(0.10, 0.11)
    assert power_of_proportions(size, 0.10, 0.11) >= 0.8 > power_of_proportions(size - 1, 0.10, 0.11)


def test_several_variants_share_alpha():
    assert size_of_proportions(0.1, 0.12, variants=3) == size_of_proportions(0.1, 0.12, alpha=0.05 / 3)
    assert size_of_means(0.1, 1, variants=2) > size_of_means(0.1, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: size_of_proportions(0.1, 0.1), "cannot be compared"),
        (lambda: size_of_proportions(0.0, 0.1), "between 0 and 1"),
        (lambda: size_of_means(0, 1), "can be found"),
        (lambda: size_of_means(1, 0), "can be found"),
        (lambda: size_of_means(1, 1, power=1), "power of 1"),
        (lambda: size_of_means(1e-9, 1), "large enough"),
        (lambda: power_of_means(10, 1, 1, alpha=0), "alpha is 0"),
        (lambda: power_of_means(10, 1, 1, variants=0), "0 variants"),
    ],
)
def test_questions_without_an_answer_are_refused(call, words):
    with pytest.raises(InvalidSettings, match=words):
        call()
