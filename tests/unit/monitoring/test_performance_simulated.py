"""What performance claims, over many windows with fixed seeds: false alarms, power, intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.monitoring.answering import TWO, Given, errors, two_classes, values

from everloop.monitoring.metrics import METRICS
from everloop.monitoring.performance import Baseline, baseline, found, measure

ALPHA = 0.05
NO_FLOORS = dict.fromkeys(METRICS, 0.0)


def reference(make: Callable[..., Given], rng: np.random.Generator, rows: int, **world: float) -> Baseline:
    truth, given = make(rng, rows, **world)
    kind = {} if "answers" in given else TWO
    return baseline(truth, **given, **kind, order=np.arange(rows))


def firing(
    make: Callable[..., Given], rows: int, windows: int, *, held: dict | None = None, **world: float
) -> float:
    """Share of windows without change that fire; a new reference for every third."""
    fired, rng = 0, np.random.default_rng(100)
    base = reference(make, rng, 4_000, **(held if held is not None else world))
    for window in range(windows):
        if window % 3 == 0:
            base = reference(make, rng, 4_000, **(held if held is not None else world))
        truth, given = make(rng, rows, **world)
        results = measure(base, truth, **given, order=np.arange(rows), alpha=ALPHA, floors=NO_FLOORS)
        fired += any(each.fired for each in results)
    return fired / windows


@pytest.mark.parametrize("rows", [200, 1_000])
@pytest.mark.parametrize("r", [0.0, 0.95])
def test_windows_without_change_fire_no_oftener_than_alpha(rows, r):
    """Without any floor. 300 windows: a true rate of .05 gives more than .085 once in 300 times."""
    assert firing(two_classes, rows, 300, r=r) <= 0.085


def test_nor_do_those_of_numbers_with_heavy_tails():
    assert firing(values, 300, 300) <= 0.085


def test_a_reference_that_was_drawn_at_random_hides_bursts_that_the_window_shows():
    """The window's own bursts count: without them, most of such windows would fire."""
    fired, rng = 0, np.random.default_rng(6)
    truth = np.tile([0, 1], 2_000)
    for _ in range(100):
        said = np.where(errors(rng, 4_000, 0.2) > 0, 1 - truth, truth)
        base = baseline(truth, answers=said, **TWO, order=np.arange(4_000))
        said = np.where(errors(rng, 1_000, 0.2, 0.9) > 0, 1 - truth[:1_000], truth[:1_000])
        results = measure(base, truth[:1_000], answers=said, order=np.arange(1_000), alpha=ALPHA)
        fired += any(each.fired for each in results)
    assert fired / 100 <= 0.12


def test_the_references_own_error_counts():
    """A small reference and large windows: by the windows alone, a third of them would fire."""
    fired, rng = 0, np.random.default_rng(7)
    for _ in range(150):
        base = reference(two_classes, rng, 400)
        truth, given = two_classes(rng, 10_000)
        fired += any(each.fired for each in measure(base, truth, **given, alpha=ALPHA, floors=NO_FLOORS))
    assert fired / 150 <= 0.1


def test_means_of_few_skewed_losses_are_not_taken_to_be_normal():
    """Absolute errors with a skewness of 6, forty at a time, at a small alpha."""
    fired, rng = 0, np.random.default_rng(8)
    wrong = np.exp(1.2 * rng.normal(size=20_000))
    base = baseline(wrong, answers=np.zeros(20_000), order=np.arange(20_000))
    for _ in range(2_000):
        wrong = np.exp(1.2 * rng.normal(size=40))
        results = measure(base, wrong, answers=np.zeros(40), alpha=0.002, floors=NO_FLOORS)
        fired += any(each.fired for each in results)
    assert fired / 2_000 <= 0.005


def test_slices_do_not_add_false_alarms():
    rng, fired = np.random.default_rng(3), 0
    for _ in range(40):
        truth, given = two_classes(rng, 4_000)
        base = baseline(truth, **given, **TWO, slices={"s": rng.choice(list("abcdef"), 4_000)})
        for _ in range(3):
            truth, given = two_classes(rng, 1_000)
            slices = {"s": rng.choice(list("abcdef"), 1_000)}
            fired += any(each.fired for each in measure(base, truth, **given, slices=slices, alpha=ALPHA))
    assert fired / 120 <= 0.1


def test_the_smallest_harm_that_is_promised_is_found():
    """Labels are turned around until the accuracy has fallen by what was promised to be found with .9."""
    rng = np.random.default_rng(4)
    base = reference(two_classes, rng, 20_000)
    rows = 3_000
    harm = found(base, rows, alpha=ALPHA, power=0.9)["accuracy"]
    usual = base.of_model("accuracy").value
    wrong = harm / (2 * usual - 1)
    hits = 0
    for _ in range(60):
        truth, given = two_classes(rng, rows, wrong=wrong)
        results = measure(base, truth, **given, alpha=ALPHA, floors={"accuracy": 0.0})
        hits += next(each.fired for each in results if each.statistic == "accuracy")
    assert hits / 60 >= 0.8


@pytest.mark.parametrize("r", [0.0, 0.95])
def test_intervals_hold_what_the_model_does_in_the_long_run(r):
    rng = np.random.default_rng(5)
    truth, given = two_classes(rng, 400_000)
    long_run = baseline(truth, **given, **TWO).usual["model"]
    held: dict[str, list[bool]] = {}
    base = reference(two_classes, rng, 8_000, r=r)
    for _ in range(200):
        truth, given = two_classes(rng, 500, r=r)
        for each in measure(base, truth, **given, order=np.arange(500)):
            inside = each.low <= long_run[each.statistic].value <= each.high
            held.setdefault(each.statistic, []).append(inside)
    assert all(np.mean(each) >= 0.91 for each in held.values()), {k: np.mean(v) for k, v in held.items()}
