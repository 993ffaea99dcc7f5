"""Performance without labels: close to the truth where P(y|x) is unchanged; what it cannot see it says."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from sklearn import metrics as oracle
from tests.unit.monitoring.answering import TWO, Given, three_classes, two_classes, values

from everloop.core import documents
from everloop.core.errors import Invalid, TooFewRows, UnknownColumn
from everloop.core.monitoring import Result
from everloop.monitoring.backtest import Track, back_test
from everloop.monitoring.calibration import isotonic
from everloop.monitoring.estimated import Estimator, estimate, fit
from everloop.monitoring.metrics import METRICS, Weighed
from everloop.monitoring.outcomes import kind_of
from everloop.monitoring.performance import baseline, measure

ROWS = 5_000


def learnt(make: Any = two_classes, seed: int = 1, rows: int = ROWS, **kind: Any) -> Estimator:
    truth, given = make(np.random.default_rng(seed), rows)
    return fit(truth, **given, **kind, order=np.arange(rows))


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return learnt(**TWO)


def by_name(results: list[Result]) -> dict[str, Result]:
    return {each.statistic: each for each in results}


def truth_of(window: Given, **kind: Any) -> dict[str, float]:
    truth, given = window
    return {name: each.value for name, each in baseline(truth, **given, **kind).usual["model"].items()}


def test_the_interval_of_a_loss_begins_at_nothing(estimator: Estimator) -> None:
    _, given = two_classes(np.random.default_rng(3), 200)
    wide = replace(estimator, widen=dict.fromkeys(METRICS, 50.0))
    found = by_name(estimate(wide, **given, order=np.arange(200), alpha=0.01))
    assert found["log_loss"].low == 0.0 < found["log_loss"].value < found["log_loss"].high


def test_calibration_is_isotonic_regression():
    rng = np.random.default_rng(2)
    scores = rng.random(400).round(2)
    outcomes = (rng.random(400) < scores**2).astype(float)
    steps = isotonic(scores, outcomes)
    order = np.argsort(scores, kind="stable")
    values_at, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    means = np.add.reduceat(outcomes[order], first) / counts
    theirs = isotonic_regression(means, weights=counts).x
    assert steps(values_at) == pytest.approx(theirs)
    assert sum(steps.rows) == 400
    assert list(steps.share) == sorted(set(steps.share))


def test_many_scores_are_kept_as_few_steps():
    rng = np.random.default_rng(3)
    scores = rng.random(50_000)
    steps = isotonic(scores, (rng.random(50_000) < scores).astype(float))
    assert len(steps.share) < 200
    assert np.abs(steps(np.linspace(0.02, 0.98, 50)) - np.linspace(0.02, 0.98, 50)).max() < 0.05
    one = isotonic(np.full(10, 0.3), np.tile([0.0, 1.0], 5))
    assert one(np.array([0.0, 0.3, 1.0])).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("moved", [0.0, 0.8])
def test_estimates_are_close_to_the_truth_where_only_inputs_moved(estimator, moved):
    """A model whose own probabilities are far off: the log loss it tells itself is wrong by a fifth."""
    window = two_classes(np.random.default_rng(4), 50_000, moved=moved)
    actual = truth_of(window, **TWO)
    found = by_name(estimate(estimator, **window[1]))
    assert found.keys() == actual.keys()
    for name, result in found.items():
        assert result.value == pytest.approx(actual[name], abs=0.03), name
        assert "assumes P(y|x) unchanged" in result.message
    p = window[1]["probabilities"].clip(1e-9, 1 - 1e-9)
    told = -np.mean(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert abs(told - actual["log_loss"]) > 0.2 * actual["log_loss"]


def test_three_classes():
    window = three_classes(np.random.default_rng(5), 20_000)
    kind = {"classes": ["a", "b", "c"]}
    found = by_name(estimate(learnt(three_classes, **kind), **window[1]))
    actual = truth_of(window, **kind)
    assert {name: each.value for name, each in found.items()} == pytest.approx(actual, abs=0.04)


def test_the_expected_area_is_the_average_over_labels_that_may_come(estimator):
    """Labels drawn from the calibrated probabilities many times: their mean ROC AUC is the estimate."""
    rng = np.random.default_rng(6)
    p = two_classes(rng, 300)[1]["probabilities"]
    chance = estimator.steps[0](p)
    areas = [oracle.roc_auc_score(rng.random(300) < chance, p) for _ in range(1_000)]
    found = by_name(estimate(estimator, probabilities=p))["roc_auc"]
    assert found.value == pytest.approx(np.mean(areas), abs=0.002)
    assert (found.high - found.low) / 2 > 1.7 * np.std(areas)


def test_no_row_is_compared_with_itself():
    """Pairs of different rows only, each weighed by the chance that it is a positive above a negative."""
    rng = np.random.default_rng(17)
    scores, chance = rng.random(12).round(1), rng.random(12)
    weights, given = (np.column_stack([1 - each, each]) for each in (chance, scores))
    weighed = Weighed(kind_of([0, 1], 1), weights, given, np.zeros(12, dtype=int))
    up = whole = 0.0
    for i, j in itertools.permutations(range(12), 2):
        pair = chance[i] * (1 - chance[j])
        whole += pair
        up += pair * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
    assert METRICS["roc_auc"].measure(weighed).value == pytest.approx(up / whole)


def test_inputs_that_moved_to_where_the_model_is_worse_fire():
    rng = np.random.default_rng(7)
    truth, given = two_classes(rng, 20_000)
    far = np.abs(given["probabilities"] - 0.5) > 0.25
    window = np.flatnonzero(np.where(far, rng.random(20_000) < 0.1, True))
    results = by_name(estimate(learnt(**TWO), probabilities=given["probabilities"][window]))
    assert results["accuracy"].fired
    assert results["accuracy"].level == "warning"
    actual = truth_of((truth[window], {"probabilities": given["probabilities"][window]}), **TWO)
    assert results["accuracy"].value == pytest.approx(actual["accuracy"], abs=0.02)


def test_a_changed_relation_is_not_seen_until_labels_come_and_then_estimates_stop(estimator):
    rng = np.random.default_rng(8)
    truth, given = two_classes(rng, ROWS)
    base, track = baseline(truth, **given, **TWO), Track()
    for window in range(2):
        truth, given = two_classes(rng, 2_000, wrong=0.2)
        estimates = estimate(estimator, **given, track=track)
        assert not any(each.fired for each in estimates)
        assert not by_name(estimates)["roc_auc"].unable, window
        track = back_test(track, estimates, measure(base, truth, **given))
    stopped = by_name(estimate(estimator, **given, track=track))["roc_auc"]
    assert stopped.unable
    assert "2 of the last 2" in stopped.message
    assert track.mean_error("roc_auc") > 0.05
    again = documents.load(Track, json.loads(json.dumps(documents.dump(track))))
    assert again == track
    for _ in range(19):  # the relation is as it was: estimates go on being tested, and are believed again
        truth, given = two_classes(rng, 2_000)
        track = back_test(track, estimate(estimator, **given, track=track), measure(base, truth, **given))
    assert not by_name(estimate(estimator, **given, track=track))["roc_auc"].unable
    assert len(track.of("roc_auc")) == 20


def test_one_miss_among_many_is_no_reason_to_stop():
    truth, given = two_classes(np.random.default_rng(9), 500)
    measured = measure(baseline(truth, **given, **TWO), truth, **given)
    value = by_name(measured)["accuracy"].value
    right = [
        Result("estimated", "model", "accuracy", False, "", value=value, low=value - 0.1, high=value + 0.1)
    ]
    wrong = [
        Result(
            "estimated", "model", "accuracy", False, "", value=value + 1, low=value + 0.9, high=value + 1.1
        )
    ]
    track = back_test(back_test(Track(), right, measured), wrong, measured)
    assert track.doubt("accuracy") == ""
    assert back_test(track, wrong, measured).doubt("accuracy")
    assert track.mean_error("accuracy") == pytest.approx(0.5)
    assert track.mean_error("f1") is None
    assert Track().doubt("accuracy") == ""


@pytest.mark.parametrize(
    ("make", "kind"), [(two_classes, TWO), (three_classes, {"classes": ["a", "b", "c"]}), (values, {})]
)
def test_a_document_brings_the_estimator_back(make, kind):
    known = learnt(make, rows=2_000, **kind)
    text = json.dumps(documents.dump(known), allow_nan=False)
    assert documents.load(Estimator, json.loads(text)) == known
    assert len(text) < 120_000


def test_numbers_by_their_answer():
    """The error grows with the answer; where answers are large, so is it."""
    known = learnt(values)
    window = values(np.random.default_rng(10), 20_000, moved=0.5)
    found, actual = by_name(estimate(known, **window[1])), truth_of(window)
    assert found["mae"].value == pytest.approx(actual["mae"], rel=0.06)
    assert found["mae"].fired
    assert found["mae"].value > 1.15 * found["mae"].usual


def test_numbers_by_a_feature_too():
    rng = np.random.default_rng(11)

    def world(rows: int, far: float):
        place = rng.choice(["near", "far"], rows, p=[1 - far, far])
        answers = rng.normal(size=rows)
        return answers + rng.normal(size=rows) * np.where(place == "far", 3, 1), answers, place

    truth, answers, place = world(ROWS, 0.2)
    known = fit(truth, answers=answers, features={"place": place})
    truth, answers, place = world(2_000, 0.8)
    found = by_name(estimate(known, answers=answers, features={"place": place}))["mae"]
    assert found.value == pytest.approx(np.abs(truth - answers).mean(), rel=0.08)
    assert found.low < np.abs(truth - answers).mean() < found.high
    with pytest.raises(UnknownColumn, match="place"):
        estimate(known, answers=answers)


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_a_window_with_too_few_answers_says_so(estimator, rows):
    given = two_classes(np.random.default_rng(12), 99)[1]
    results = estimate(estimator, probabilities=given["probabilities"][:rows])
    assert [(each.statistic, each.unable) for each in results] == [("rows", True)]


def test_answers_that_cannot_be_used_are_left_out_and_counted(estimator):
    p = two_classes(np.random.default_rng(13), 500)[1]["probabilities"]
    clean = by_name(estimate(estimator, probabilities=p))
    holes = by_name(estimate(estimator, probabilities=np.append(p, [np.nan, 1.5, -0.2])))
    assert holes["roc_auc"].value == clean["roc_auc"].value
    assert holes["roc_auc"].details["left_out"] == 3


def test_a_metric_that_is_undefined_says_why(estimator):
    results = by_name(estimate(estimator, probabilities=np.full(200, 0.2)))
    assert results["precision"].unable
    assert "no row was predicted" in results["precision"].message
    assert results["roc_auc"].value == pytest.approx(0.5)


def test_what_does_not_fit_is_refused(estimator):
    truth, given = two_classes(np.random.default_rng(14), 299)
    with pytest.raises(TooFewRows, match="300 held-out rows; there are 299"):
        fit(truth, **given, **TWO)
    with pytest.raises(Invalid, match="probabilities"):
        fit(truth, answers=truth, **TWO)
    with pytest.raises(Invalid, match="no probabilities"):
        estimate(estimator)


def test_intervals_hold_and_windows_without_change_do_not_fire():
    """95 % intervals over 24 references with 4 windows each, independent and in bursts."""
    held: dict[tuple[float, str], list[bool]] = {}
    fired = 0
    for r in (0.0, 0.95):
        for seed in range(24):
            rng = np.random.default_rng([15, seed])
            truth, given = two_classes(rng, 3_000, r=r)
            known = fit(truth, **given, **TWO, order=np.arange(3_000))
            for _ in range(4):
                window = two_classes(rng, 800, r=r)
                actual = truth_of(window, **TWO)
                results = estimate(known, **window[1], order=np.arange(800), alpha=0.05)
                fired += any(each.fired for each in results)
                for each in results:
                    held.setdefault((r, each.statistic), []).append(
                        each.low <= actual[each.statistic] <= each.high
                    )
    assert all(np.mean(each) >= 0.9 for each in held.values()), {k: np.mean(v) for k, v in held.items()}
    assert fired / 192 <= 0.09


def test_intervals_are_no_wider_than_they_must_be(estimator):
    """Half as wide as the spread of true values would be a lie, four times as wide no use."""
    rng = np.random.default_rng(16)
    errors, widths = [], []
    for _ in range(60):
        window = two_classes(rng, 800)
        each = by_name(estimate(estimator, **window[1]))["roc_auc"]
        errors.append(each.value - truth_of(window, **TWO)["roc_auc"])
        widths.append((each.high - each.low) / 2)
    assert 1.7 < np.mean(widths) / np.std(errors) < 3.2
