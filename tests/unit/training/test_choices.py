"""Choices of rows to train on: what each counts, and which is taken."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.core.errors import Invalid
from everloop.training import choices

DAY = 86_400.0


def test_all_takes_every_row_alike_and_none_of_the_future():
    found = choices.weights("all", [0.0, DAY, 3 * DAY], 2 * DAY)
    assert found.tolist() == [1, 1, 0]


def test_recent_takes_the_newest_quarter_of_the_time():
    times = np.arange(100) * DAY
    found = choices.weights("recent", times, 99 * DAY, least=1)
    assert found.sum() == 25
    assert found[75:].all()


def test_recent_reaches_back_until_it_has_enough_rows():
    times = np.arange(100) * DAY
    assert choices.weights("recent", times, 99 * DAY, least=60).sum() == 60
    assert choices.weights("recent", times, 99 * DAY, least=1_000).sum() == 100


def test_weighted_halves_with_each_span():
    found = choices.weights("weighted", [0.0, 10.0, 20.0], 20.0, span=10.0)
    assert found == pytest.approx([0.25, 0.5, 1.0])


def test_seasonal_prefers_the_phase_of_now():
    year = choices.YEAR
    found = choices.weights("seasonal", [0.0, year / 2, year, 1.5 * year], 2 * year)
    assert found == pytest.approx([1.0, choices.FLOOR, 1.0, choices.FLOOR], abs=1e-6)


def test_seasonal_measures_the_nearest_way_round_the_season():
    found = choices.weights("seasonal", [0.0, 20.0], 9.5 + 100.0, season=10.0)
    assert found[0] == pytest.approx(found[1])
    assert found[0] > 0.8


@pytest.mark.parametrize("choice", choices.CHOICES)
def test_weights_lie_between_nothing_and_one(choice):
    times = np.random.default_rng(0).uniform(0, 3 * choices.YEAR, 500)
    found = choices.weights(choice, times, 3 * choices.YEAR)
    assert found.shape == (500,)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.any()


def test_a_year_of_rows_has_no_season_yet():
    times = np.arange(300) * DAY
    assert choices.possible(times, 300 * DAY) == ("all", "recent", "weighted")
    assert choices.possible(times, 300 * DAY, season=30 * DAY) == choices.CHOICES
    assert choices.possible([5.0, 5.0], 5.0) == ("all",)


def test_wrong_words_and_times_are_refused():
    with pytest.raises(Invalid, match="no choice of rows 'rescent'"):
        choices.weights("rescent", [0.0], 1.0)
    with pytest.raises(Invalid, match="1 of 2 rows have no time"):
        choices.weights("all", [0.0, np.nan], 1.0)
    with pytest.raises(Invalid, match="None of 1 rows"):
        choices.weights("all", [5.0], 1.0)
    with pytest.raises(Invalid, match="not possible"):
        choices.weights("weighted", [0.0, 1.0], 1.0, span=0.0)


def test_a_clear_winner_is_chosen():
    assert choices.chosen({"all": [0.5, 0.6, 0.7], "recent": [0.4, 0.5, 0.61]}) == "recent"


def test_all_is_chosen_within_a_standard_error():
    assert choices.chosen({"all": [0.5, 0.6, 0.7], "recent": [0.3, 0.7, 0.75]}) == "all"
    assert choices.chosen({"all": [0.5, 0.5], "recent": [0.5, 0.5]}) == "all"


def test_by_chance_a_choice_that_gains_nothing_is_seldom_taken():
    draw = np.random.default_rng(3)
    taken = [
        choices.chosen({"all": draw.normal(size=50), "weighted": draw.normal(size=50)}) for _ in range(1_000)
    ]
    assert 0.11 < np.mean([each == "weighted" for each in taken]) < 0.21  # one standard error: 16 %


def test_choices_judged_on_different_rows_are_refused():
    with pytest.raises(Invalid, match=r"have \[1, 2\] losses"):
        choices.chosen({"all": [1.0], "recent": [1.0, 2.0]})
    with pytest.raises(Invalid, match="have no losses"):
        choices.chosen({})
