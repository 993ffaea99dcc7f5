"""Would retraining help? Simulated without and with a change."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.core.decisions import BASELINE, Comparison, GateVerdict
from everloop.core.errors import Invalid, TooFewRows
from everloop.retraining import benefit
from everloop.retraining.moving import Moves


def world(seed, rows=3_000, *, change=0.0, shift=0.0, slow=False):
    """A model that knows the truth of before: ``change`` moves one effect, ``shift`` the base rate."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(rows, 5))
    if slow:
        X += np.repeat(np.cumsum(draw.normal(size=(30, 5)) * 0.3, axis=0), rows // 30, axis=0)
    score = X[:, 0] - 0.5 * X[:, 1]
    place = draw.choice(["north", "south", "west"], rows)
    real = score + change * X[:, 2] + shift + change * (place == "west")
    features = {f"x{k}": X[:, k] for k in range(5)} | {"place": place}
    return draw, score, real, features, np.arange(rows, dtype=float)


def sure(found):
    """Whether the interval's lower end is over 0 at the default confidence: 10 % of false alarms allowed."""
    return found.low > 0


def of_classes(seed, **told):
    draw, score, real, features, times = world(seed, **told)
    truth = (draw.uniform(size=len(real)) < 1 / (1 + np.exp(-real))).astype(int)
    return benefit.estimate(1 / (1 + np.exp(-score)), truth, features, times)


def of_numbers(seed, **told):
    draw, score, real, features, times = world(seed, **told)
    return benefit.estimate(score, real + draw.normal(size=len(real)), features, times, kind="regression")


def of_three(seed, **told):
    draw, score, real, features, times = world(seed, **told)
    said, world_now = (np.column_stack([each, 0 * each, -each]) for each in (score, real))
    chances = np.exp(world_now) / np.exp(world_now).sum(axis=1, keepdims=True)
    truth = (draw.uniform(size=(len(score), 1)) > np.cumsum(chances, axis=1)).sum(axis=1).clip(0, 2)
    answers = np.exp(said) / np.exp(said).sum(axis=1, keepdims=True)
    return benefit.estimate(answers, truth, features, times)


KINDS = pytest.mark.parametrize("kind", [of_classes, of_numbers, of_three])


@KINDS
@pytest.mark.parametrize("slow", [False, True])
def test_a_model_that_is_right_seldom_seems_improvable(kind, slow):
    """10 % are allowed: 6 of 60 would be usual. A corrector of noise loses, so it is fewer."""
    runs = 20 if kind is of_three else 60
    alarms = sum(sure(kind(seed, slow=slow)) for seed in range(runs))
    assert alarms <= runs // 15


@pytest.mark.parametrize("kind", [of_classes, of_numbers])
def test_a_model_that_is_right_is_never_worth_training(kind):
    """Even on few rows, where some corrections of noise are lucky; those must also be of a hundredth."""
    looks = [kind(seed, rows=600) for seed in range(200)]
    assert not any(benefit.worth(each, growth=1.5, steps=10)[0] for each in looks)


@KINDS
def test_a_changed_effect_is_found(kind):
    assert sum(sure(kind(seed, change=0.5)) for seed in range(20)) >= 19


@KINDS
def test_a_shift_of_the_base_rate_is_found(kind):
    assert sum(sure(kind(seed, shift=0.5)) for seed in range(20)) >= 19


def test_a_change_that_is_over_again_is_no_reason():
    """Errors of one hour that the next ones do not repeat cannot be learnt."""
    found = 0
    for seed in range(30):
        draw, score, _, features, times = world(seed)
        bursts = np.repeat(draw.normal(size=30) * 0.7, 100)
        truth = (draw.uniform(size=3_000) < 1 / (1 + np.exp(-(score + bursts)))).astype(int)
        found += benefit.estimate(1 / (1 + np.exp(-score)), truth, features, times).low > 0
    assert found <= 4


def test_the_gain_is_what_the_change_costs():
    """Squared error: a shift of a half costs a quarter, and the corrector gains most of it."""
    found = of_numbers(1, rows=9_600, shift=0.5)
    assert found.gain == pytest.approx(0.25, abs=0.04)
    assert found.low < found.gain < found.high
    assert found.loss == pytest.approx(1.25, abs=0.06)
    assert 0 < found.low / found.loss < found.gain / found.loss
    assert "can be foreseen on 8,000 labelled rows" in found.message


def test_the_order_of_rows_does_not_matter():
    _, score, real, features, times = world(0, change=0.5)
    order = np.random.default_rng(1).permutation(len(score))
    usual = benefit.estimate(score, real, features, times, kind="regression")
    mixed = {name: column[order] for name, column in features.items()}
    again = benefit.estimate(score[order], real[order], mixed, times[order], kind="regression")
    assert again.gain == pytest.approx(usual.gain, rel=1e-6)


def test_missing_numbers_and_constant_columns_are_taken():
    draw, score, real, features, times = world(0, shift=0.5)
    features["x0"] = np.where(draw.uniform(size=3_000) < 0.2, np.nan, features["x0"])
    features |= {"none": np.full(3_000, np.nan), "same": np.full(3_000, 7.0), "yes": features["x1"] > 0}
    truth = (draw.uniform(size=3_000) < 1 / (1 + np.exp(-real))).astype(int)
    assert benefit.estimate(1 / (1 + np.exp(-score)), truth, features, times).low > 0


def test_sure_answers_that_are_wrong_do_not_break_it():
    truth = np.tile([0, 1], 300)
    found = benefit.estimate(1.0 - truth, truth, {}, np.arange(600.0))
    assert np.isfinite([found.gain, found.low, found.high]).all()
    assert found.gain > 1


def test_too_few_rows_and_unequal_lengths_are_refused():
    with pytest.raises(TooFewRows, match="100 labelled rows are too few"):
        benefit.estimate(np.full(100, 0.5), np.zeros(100), {}, np.arange(100.0))
    with pytest.raises(Invalid, match="different lengths"):
        benefit.estimate([0.5, 0.5], [1], {}, [0.0])
    with pytest.raises(Invalid, match="missing"):
        benefit.estimate([0.5, np.nan], [1, 0], {}, [0.0, 1.0])


NOTHING = benefit.Benefit(0.0, -0.1, 0.1, 0.5, 1_000, 5, "Nothing shows it.")
CLEAR = benefit.Benefit(0.02, 0.01, 0.03, 0.5, 1_000, 5, "The errors can be foreseen.")


MOVING = Moves(0.0004, "x1", 1_000, "The rows change in time.")
STILL = Moves(0.4, "x1", 1_000, "Nothing shows that the rows change.")


def test_a_clear_benefit_is_worth_a_training_after_the_wait():
    assert benefit.worth(CLEAR, growth=1.1, steps=4) == (True, "The errors can be foreseen.")
    good, why = benefit.worth(CLEAR, growth=1.1, steps=0.00109, refused=1)
    assert not good
    assert why.startswith("The last candidate was trained 11 minutes ago.")
    _, why = benefit.worth(CLEAR, growth=1.1, steps=0.0005, refused=1, window=86_400.0)
    assert why.startswith("The last candidate was trained 43.2 seconds ago.")
    assert why.endswith("the next one waits for 4 windows (monitoring.window).")
    _, why = benefit.worth(CLEAR, growth=1.1, steps=0.1, refused=1)
    assert why.startswith("The last candidate was trained 0.1 windows (monitoring.window) ago.")
    assert why.endswith("the next one waits for 4.")


def test_the_wait_is_told_of_what_was_trained_last():
    """Before any candidate that is the model itself."""
    _, why = benefit.worth(CLEAR, growth=1.1, steps=0.0005, window=86_400.0)
    assert why.startswith("The model was trained 43.2 seconds ago. Unless labels prove")
    _, why = benefit.worth(CLEAR, growth=1.1, steps=0.5, refused=2, proven=True)
    assert why.startswith(
        "The last candidate was trained 0.5 windows (monitoring.window) ago. Refused in a row"
    )


def test_how_long_the_next_candidate_waits():
    assert [benefit.wait(refused) for refused in (0, 1, 5)] == [4, 4, 4]
    assert [benefit.wait(refused, proven=True) for refused in (0, 1, 2, 3, 5)] == [0, 1, 2, 4, 4]


def test_a_benefit_that_is_sure_and_small_is_not():
    small = benefit.Benefit(0.004, 0.003, 0.005, 0.5, 1_000, 5, "It can.")
    assert not benefit.worth(small, growth=1.1, steps=9)[0]


def test_nothing_known_is_no_reason():
    good, why = benefit.worth(None, growth=1.2, steps=50)
    assert not good
    assert why.startswith("Too few labelled rows to foresee a benefit.")
    assert not benefit.worth(NOTHING, growth=2.9, steps=50)[0]


def test_a_candidate_without_a_champion_to_compare_with_has_gained_nothing():
    found = Comparison("log_loss", 0.5, 0.4, 0.1, 0.05, 0.15, 500, 0.95)
    of_champion, of_none = (GateVerdict(True, "better", found, against=each) for each in ("1.0.0", BASELINE))
    assert benefit.gained([of_champion]) == pytest.approx(0.2)
    assert benefit.gained([of_none]) is None


def test_candidates_that_gained_are_a_reason_for_the_next():
    good, why = benefit.worth(NOTHING, growth=1.1, steps=4, gained=0.02)
    assert good
    assert why == (
        "The last candidates gained 2.0% of the model's loss, so 2.0% may be expected after 4 windows."
    )
    assert not benefit.worth(NOTHING, growth=1.1, steps=4, gained=0.004)[0]
    assert benefit.worth(NOTHING, growth=1.1, steps=8, gained=0.004)[0]
    assert not benefit.worth(NOTHING, growth=1.1, steps=500, gained=-0.001)[0]


def test_rows_that_change_in_time_are_a_reason():
    assert benefit.worth(NOTHING, growth=1.1, steps=4, moves=MOVING) == (True, "The rows change in time.")
    assert not benefit.worth(NOTHING, growth=1.1, steps=3.9, moves=MOVING)[0]
    good, why = benefit.worth(NOTHING, growth=1.2, steps=30, moves=STILL)
    assert not good
    assert why == (
        "Nothing shows it. Nothing shows that the rows change. There are 1.20 times the rows that it learnt "
        "from."
    )


@pytest.mark.parametrize("why", [{"moves": MOVING}, {"gained": 0.1}, {"growth": 3.5}])
def test_each_refusal_doubles_the_wait_but_not_for_a_benefit(why):
    told = {"growth": 1.1} | why
    waits = [
        next(n for n in range(100) if benefit.worth(NOTHING, steps=n, refused=refused, **told)[0])
        for refused in range(5)
    ]
    assert waits == [4, 8, 16, 16, 16]
    assert benefit.worth(CLEAR, steps=4, refused=4, **told)[0]
    assert "Refused in a row: 2" in benefit.worth(None, steps=4, refused=2, **told)[1]


def test_labels_that_prove_it_wait_for_refusals_alone():
    waits = [
        next(n for n in range(100) if benefit.worth(None, growth=1, steps=n, refused=refused, proven=True)[0])
        for refused in range(8)
    ]
    assert waits == [0, 1, 2, 4, 8, 16, 16, 16]


def test_many_more_rows_are_a_reason():
    good, why = benefit.worth(NOTHING, growth=3.5, steps=9)
    assert good
    assert why == "There are 3.50 times the labelled rows that the model learnt from."
