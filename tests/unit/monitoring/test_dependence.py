"""How much more means vary when rows follow each other: against what is known of such processes."""

import numpy as np
import pytest
from tests.unit.monitoring.answering import errors, following

from everloop.monitoring.bursts import Bursts
from everloop.monitoring.dependence import Dependence, dependence


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_the_design_effect_of_a_chain_is_known(r):
    """Of a first-order autoregression over m rows: (1 + r)/(1 - r) less what the ends of the window lack."""
    found = dependence(following(np.random.default_rng(1), 200_000, r))
    for rows in (64, 512):
        k = np.arange(1, rows)
        assert found.at(rows) == pytest.approx(1 + 2 * np.sum((1 - k / rows) * r**k), rel=0.15)


def test_between_and_beyond_the_lengths_that_were_measured():
    known = Dependence((8, 16, 32), (2.0, 3.0, 3.2), (80, 40, 20))
    assert known.at(1) == 1.0
    assert 2.0 < known.at(12) < 3.0
    assert known.at(10_000) == pytest.approx(3.2 * (10_000 / 32) ** 0, rel=0.01)
    assert 1.0 < known.surely_at(32) < known.at(32)
    assert known.freedom(8) == 79
    assert known.freedom(10_000) == 19


def test_a_level_that_wanders_goes_on_growing():
    known = Dependence((8, 16, 32), (2.0, 4.0, 8.0), (80, 40, 20))
    assert known.at(320) == pytest.approx(80.0)


def test_nothing_is_known_of_few_rows_or_of_equal_ones():
    for values in (np.zeros(0), np.ones(1), np.arange(100.0), np.full(1_000, 3.0)):
        assert dependence(values) == Dependence()
    assert Dependence().at(500) == Dependence().surely_at(500) == 1.0


@pytest.mark.parametrize(("r", "low", "high"), [(0.0, 1.0, 1.15), (0.5, 2.2, 3.2), (0.9, 13, 21)])
def test_bursts_of_a_stream_are_seen_from_itself(r, low, high):
    stream = errors(np.random.default_rng(2), 20_000, 0.2, r)
    bursts = Bursts()
    for part in np.array_split(stream, 37):
        bursts = bursts.seen(part)
    assert low <= bursts.effect() <= high


def test_slow_waves_that_successors_do_not_show_are_seen_in_blocks():
    rng = np.random.default_rng(3)
    chance = 0.2 + 0.08 * following(rng, 60_000, 0.98)
    stream = (rng.random(60_000) < chance).astype(float)
    follows = np.corrcoef(stream[1:], stream[:-1])[0, 1]
    assert (1 + follows) / (1 - follows) < 1.2
    assert Bursts().seen(stream).effect() > 1.8


def test_a_change_of_level_is_no_burst():
    rng = np.random.default_rng(4)
    stream = np.concatenate([errors(rng, 5_000, 0.1), errors(rng, 5_000, 0.3)])
    assert Bursts().seen(stream).effect() < 1.3


def test_how_a_stream_is_cut_makes_no_difference():
    stream = errors(np.random.default_rng(5), 5_000, 0.2, 0.8)
    whole, parts = Bursts().seen(stream), Bursts()
    for part in np.split(stream, [0, 1, 15, 16, 17, 200, 3_333]):
        parts = parts.seen(part)
    assert parts.effect() == pytest.approx(whole.effect(), rel=1e-9)


def test_a_stream_without_errors_has_no_bursts():
    assert Bursts().effect() == 1.0
    assert Bursts().seen(np.zeros(5_000)).effect() == 1.0


def test_few_labels_do_not_look_like_bursts():
    effects = [Bursts().seen(errors(np.random.default_rng(seed), 700, 0.2)).effect() for seed in range(200)]
    assert np.mean(effects) < 1.05
    assert np.max(effects) < 1.6
