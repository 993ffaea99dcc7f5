"""The calculator, against what R prints for the same questions, and against simulation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from everloop.core.errors import InvalidSettings
from everloop.deployment.samplesize import (
    Question,
    answer,
    power_of_means,
    power_of_proportions,
    size_of_means,
    size_of_proportions,
)
from everloop.deployment.sequences import reach, reach_of


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


# -- in any direction, looked at once and always -----------------------------------------------------------


def test_of_units_difference_and_power_two_give_the_third():
    asked = Question(rate=0.10, difference=0.01)
    size = answer(asked).once
    assert (size.units, size.total, size.power) == (size_of_proportions(0.10, 0.11), 2 * size.units, 0.8)
    assert answer(replace(asked, difference=None, units=size.units)).once.difference == pytest.approx(
        0.01, rel=1e-4
    )
    assert answer(replace(asked, units=size.units)).once.power == pytest.approx(0.8, abs=1e-4)
    means = Question(deviation=12, difference=1, power=0.9)
    size = answer(means).once
    assert size.units == size_of_means(1, 12, power=0.9)
    assert answer(replace(means, difference=None, units=size.units)).once.difference == pytest.approx(
        1, rel=1e-3
    )


def test_time_is_that_of_all_arms():
    sizes = answer(Question(rate=0.1, difference=0.02, variants=2, hourly=100))
    for size in (sizes.once, sizes.agreed, sizes.always):
        assert size.total == 3 * size.units
        assert size.seconds == pytest.approx(size.total * 36)


def test_a_fall_needs_its_own_size():
    fall, rise = (answer(Question(rate=0.1, difference=by)).once.units for by in (-0.02, 0.02))
    assert fall == size_of_proportions(0.10, 0.08) < rise


@pytest.mark.parametrize("end", ["agreed", "always"])
@pytest.mark.parametrize("kind", ["proportions", "means"])
def test_a_test_looked_at_all_the_time_finds_it_by_then(kind, end):
    """3,000 tests, looked at 100 times: at least the power that is told, and mostly long before. With nothing
    to be found alpha is kept."""
    rng, shares = np.random.default_rng(2), kind == "proportions"
    asked = Question(rate=0.3, difference=0.05) if shares else Question(deviation=2.0, difference=0.2)

    def draw(n, d):
        if shares:
            return rng.binomial(n, 0.3 + d, (3_000, 100))
        return rng.normal(n * d, 2.0 * np.sqrt(n), (3_000, 100))

    size = getattr(answer(asked), end).units
    batch = -(-size // 100)
    found = {}
    for difference in (asked.difference, 0.0):
        arms = [np.cumsum(draw(batch, by), axis=1) for by in (difference, 0.0)]
        units = np.arange(1, 101) * batch
        means = [arm / units for arm in arms]
        spread = [mean * (1 - mean) if shares else np.full_like(mean, 4.0) for mean in means]
        error = np.sqrt((spread[0] + spread[1]) / units)
        reaches = reach_of(units / size, 0.025) if end == "agreed" else reach(2 * units, 0.025)
        reached = np.abs(means[0] - means[1]) > error * reaches
        found[difference] = reached
    assert 0.8 < found[asked.difference].any(axis=1).mean() < 0.95
    assert found[asked.difference][:, :70].any(axis=1).mean() > (0.4 if end == "agreed" else 0.5)
    assert found[0.0].any(axis=1).mean() < 0.05


def test_an_end_that_is_agreed_on_costs_less_than_none():
    for asked in (Question(rate=0.10, difference=0.01), Question(deviation=12, difference=1, variants=2)):
        sizes = answer(asked)
        assert sizes.once.units < sizes.agreed.units < 1.35 * sizes.once.units < sizes.always.units


def test_few_units_show_nothing_to_who_always_looks():
    sizes = answer(Question(rate=0.5, units=20))
    assert sizes.once.difference == pytest.approx(0.4, abs=0.1)
    assert sizes.always.difference is None
    with pytest.raises(InvalidSettings, match="With 3 units of an arm nothing is found"):
        answer(Question(rate=0.5, units=3))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Question(difference=0.1), "what is compared"),
        (Question(rate=0.1, deviation=1, difference=0.1), "what is compared"),
        (Question(rate=0.1), "Neither a difference nor"),
        (Question(rate=0.1, difference=0.1, units=10, power=0.8), "nothing is left"),
        (Question(rate=1.1, difference=0.1), "rate is 1.1"),
        (Question(rate=float("nan"), difference=0.1), "rate is nan"),
        (Question(rate=0.1, difference=0.9), "Shares of 0.1 and 1"),
        (Question(rate=0.1, difference=0.0), "Shares of 0.1 and 0.1"),
        (Question(deviation=0, difference=1), "standard deviation is 0"),
        (Question(deviation=1, difference=float("nan")), "difference of nan"),
        (Question(rate=0.1, units=1), "too few"),
        (Question(rate=0.1, units=10**13), "too many"),
        (Question(rate=0.1, difference=0.1, hourly=0), "0 units an hour"),
        (Question(rate=0.1, difference=0.1, alpha=1), "alpha is 1"),
        (Question(rate=0.1, difference=0.1, variants=0), "0 variants"),
        (Question(rate=0.1, units=100, power=0.01), "power of 0.01"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked, words):
    with pytest.raises(InvalidSettings, match=words) as refused:
        answer(asked)
    assert refused.value.remedy
