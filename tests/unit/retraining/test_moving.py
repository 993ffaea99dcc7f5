"""Does the world move? Simulated: false alarms where it stands still, power where it moves."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.retraining import moving

ROWS = 3_000


def still(seed, rows=ROWS, burst=0):
    """Four columns of one distribution; ``burst`` rows in a row share a shift of their own."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(rows, 3))
    if burst:
        X = 0.8 * X + 0.6 * np.repeat(draw.normal(size=(rows // burst + 1, 3)), burst, axis=0)[:rows]
    features = {f"x{k}": X[:, k] for k in range(3)}
    return draw, features | {"place": draw.choice(["north", "south", "west"], rows, p=[0.7, 0.2, 0.1])}


def judged(features, rows=ROWS):
    found = moving.judge(features, np.arange(rows, dtype=float), rows)
    assert found is not None
    return found


@pytest.mark.parametrize("burst", [0, 12])
def test_a_world_that_stands_still_seldom_seems_to_move(burst):
    """Of 300 looks .3 are expected to be sure, and 15 below 5 %; their chances are spread evenly."""
    chances = np.array([judged(still(seed, burst=burst)[1]).p for seed in range(300)])
    assert (chances <= moving.SURE).sum() <= 2
    assert (chances <= 0.05).sum() <= 28
    assert 0.4 < np.median(chances) < 0.65


@pytest.mark.parametrize("kind", ["slow", "step", "season", "place"])
def test_one_that_moves_is_found(kind):
    found = 0
    for seed in range(20):
        draw, features = still(seed)
        at = np.linspace(0, 1, ROWS)
        if kind == "slow":  # a random walk
            features["x1"] = features["x1"] + np.repeat(np.cumsum(draw.normal(size=30)) * 0.3, ROWS // 30)
        elif kind == "step":
            features["x1"] = features["x1"] + 0.5 * (at > 0.7)
        elif kind == "season":
            features["x1"] = features["x1"] + 0.5 * np.sin(4 * np.pi * at)
        else:
            features["place"] = np.where(draw.uniform(size=ROWS) < 0.3 * at, "east", features["place"])
        one = judged(features)
        found += one.sure and one.column == ("place" if kind == "place" else "x1")
    assert found >= 17


def test_it_says_what_moves():
    _, features = still(0)
    features["x2"] = features["x2"] + np.linspace(0, 2, ROWS)
    found = judged(features)
    assert found.column == "x2"
    assert found.message == "The rows change in time: 'x2' most surely (p = 0.0002, 3,000 rows)."
    assert judged(still(1)[1]).message.startswith("Nothing shows that the rows change in time (p = 0.")


def test_the_order_of_rows_does_not_matter_but_their_times_do():
    draw, features = still(0)
    features["x2"] = features["x2"] + np.linspace(0, 1, ROWS)
    order = draw.permutation(ROWS)
    mixed = {name: column[order] for name, column in features.items()}
    assert moving.judge(mixed, order.astype(float), ROWS) == judged(features)
    assert not judged(mixed).sure


def test_what_only_counts_up_says_nothing():
    _, features = still(0)
    features |= {"number": np.arange(ROWS), "seconds": -1e9 - np.arange(ROWS) * 3.0}
    assert judged(features).column not in ("number", "seconds")


def test_hours_and_weekdays_are_no_change():
    """Four weeks of rows with a cycle of the day and one of the week."""
    seconds = np.linspace(0, 28 * 86_400, ROWS, endpoint=False)
    chances = []
    for seed in range(100):
        _, features = still(seed)
        hour, day = seconds / 3_600 % 24, seconds // 86_400 % 7
        features["x1"] = features["x1"] + (day > 4)
        features["x2"] = features["x2"] + np.sin(hour / 24 * 2 * np.pi)
        features["busy"] = np.where(hour > 8, "yes", "no")
        chances.append(moving.judge(features, seconds, ROWS).p)
    assert np.mean(np.array(chances) <= 0.05) <= 0.1
    assert min(chances) > moving.SURE / 2


def test_missing_numbers_can_move():
    draw, features = still(0)
    gone = draw.uniform(size=ROWS) < np.linspace(0.05, 0.4, ROWS)
    features["x1"] = np.where(gone, np.nan, features["x1"])
    assert judged(features).sure


def test_a_change_of_long_ago_is_none():
    """The champion has learnt what came of it: of 3,000 rows the last 400 are new to it."""
    _, features = still(0)
    features["x2"] = features["x2"] + 2.0 * (np.arange(ROWS) > 1_000)
    times = np.arange(ROWS, dtype=float)
    assert moving.judge(features, times, 2_000).sure
    lately = moving.judge(features, times, 400)
    assert (lately.rows, lately.sure) == (1_600, False)


def test_few_rows_and_nothing_that_varies_say_nothing():
    assert moving.judge(still(0, rows=299)[1], np.arange(299.0), 299) is None
    assert moving.judge(still(0, rows=300)[1], np.arange(300.0), 300) is not None
    assert moving.judge(still(0)[1], np.arange(3000.0), 74) is None
    assert moving.judge(still(0)[1], np.arange(3000.0), 0) is None
    constant = {"same": np.full(600, 7.0), "none": np.full(600, np.nan)}
    assert moving.judge(constant, np.arange(600.0), 600) is None
    assert moving.judge({}, np.array([]), 0) is None
