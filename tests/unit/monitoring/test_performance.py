"""Performance with labels: the numbers are the field's, and bad input is said or refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import metrics as oracle
from tests.unit.monitoring.answering import TWO, three_classes, two_classes, values

from everloop.core import documents
from everloop.core.errors import Invalid, InvalidSettings, TooFewRows, UnknownColumn, WrongType
from everloop.core.monitoring import Result
from everloop.core.runs import Business
from everloop.monitoring import performance
from everloop.monitoring.performance import MODEL, Baseline, baseline, found, measure

ROWS = 4_000


@pytest.fixture(scope="module")
def base() -> Baseline:
    truth, given = two_classes(np.random.default_rng(1), ROWS)
    return baseline(truth, **given, **TWO, order=np.arange(ROWS))


def by_name(results, subject: str = MODEL):
    return {each.statistic: each for each in results if each.subject == subject}


def test_metrics_of_two_classes_are_those_of_another_library(base):
    truth, given = two_classes(np.random.default_rng(2), 900)
    p = given["probabilities"].round(2)  # with ties
    results = by_name(measure(base, truth, probabilities=p))
    said = p >= 0.5
    expected = {
        "log_loss": oracle.log_loss(truth, p.clip(1e-15, 1 - 1e-15)),
        "roc_auc": oracle.roc_auc_score(truth, p),
        "accuracy": oracle.accuracy_score(truth, said),
        "f1": oracle.f1_score(truth, said),
        "precision": oracle.precision_score(truth, said),
        "recall": oracle.recall_score(truth, said),
    }
    assert {name: results[name].value for name in expected} == pytest.approx(expected)
    assert results.keys() == expected.keys()
    assert all(each.low < each.value < each.high for each in results.values())


def test_metrics_of_three_classes_are_averages_over_the_classes():
    truth, given = three_classes(np.random.default_rng(3), 2_000)
    p = given["probabilities"]
    usual = baseline(truth, **given, classes=["a", "b", "c"]).usual[MODEL]
    said = np.array(["a", "b", "c"])[p.argmax(axis=1)]
    expected = {
        "log_loss": oracle.log_loss(truth, p),
        "roc_auc": oracle.roc_auc_score(truth, p, multi_class="ovr"),
        "accuracy": oracle.accuracy_score(truth, said),
        "f1": oracle.f1_score(truth, said, average="macro"),
        "precision": oracle.precision_score(truth, said, average="macro"),
        "recall": oracle.recall_score(truth, said, average="macro"),
    }
    assert {name: usual[name].value for name in usual} == pytest.approx(expected)


def test_metrics_of_numbers():
    truth, given = values(np.random.default_rng(4), 500)
    usual = baseline(truth, **given).usual[MODEL]
    wrong = truth - given["answers"]
    assert usual["mae"].value == pytest.approx(np.abs(wrong).mean())
    assert usual["rmse"].value == pytest.approx(np.sqrt((wrong**2).mean()))


def test_net_value_is_the_money_per_row():
    truth, given = two_classes(np.random.default_rng(5), 500)
    money = Business(true_positive=5, false_positive=-2, false_negative=-1, true_negative=0.5)
    usual = baseline(truth, **given, **TWO, business=money).usual[MODEL]
    said = given["probabilities"] >= 0.5
    paid = np.where(truth == 1, np.where(said, 5, -1), np.where(said, -2, 0.5))
    assert usual["net_value"].value == pytest.approx(paid.mean())
    assert "net_value" not in baseline(truth, **given, **TWO).usual[MODEL]


def test_the_errors_of_metrics_are_those_of_resampled_rows():
    """The influence of rows gives the spread that the bootstrap finds."""
    rng = np.random.default_rng(6)
    truth, given = two_classes(rng, 1_500, moved=-1.0)  # one positive in six
    usual = baseline(truth, **given, **TWO).usual[MODEL]
    drawn: dict[str, list[float]] = {}
    for _ in range(200):
        rows = rng.integers(0, 1_500, 1_500)
        again = baseline(truth[rows], probabilities=given["probabilities"][rows], **TWO)
        for name, each in again.usual[MODEL].items():
            drawn.setdefault(name, []).append(each.value)
    for name, each in usual.items():
        assert each.error() == pytest.approx(np.std(drawn[name]), rel=0.2), name


def test_labels_of_other_types_are_the_same_labels():
    truth, given = two_classes(np.random.default_rng(7), 300)
    plain = baseline(truth, **given, classes=[0, 1], positive=1)
    for other in (
        truth.astype(float),
        truth.astype(str),
        pa.array(truth),
        pd.Series(truth),
        list(map(int, truth)),
    ):
        assert baseline(other, **given, classes=["0", "1"], positive="1") == plain
    assert baseline(truth.astype(bool), **given, classes=[False, True], positive=True).usual == plain.usual
    both = np.column_stack([1 - given["probabilities"], given["probabilities"]])
    assert baseline(truth, probabilities=both, **TWO).usual[MODEL]["roc_auc"] == plain.usual[MODEL]["roc_auc"]


def test_answers_of_another_threshold_count_as_given(base):
    truth, given = two_classes(np.random.default_rng(8), 600)
    said = (given["probabilities"] >= 0.9).astype(int)
    results = by_name(measure(base, truth, answers=said, **given))
    assert results["recall"].value == pytest.approx(oracle.recall_score(truth, said))
    assert results["recall"].fired


def test_without_probabilities_what_needs_them_is_not_measured():
    truth, given = two_classes(np.random.default_rng(9), 600)
    said = (given["probabilities"] >= 0.5).astype(int)
    usual = baseline(truth, answers=said, classes=[0, 1], positive=1).usual[MODEL]
    assert set(usual) == {"accuracy", "f1", "precision", "recall"}


def test_harm_is_found_and_improvement_is_not(base):
    rng = np.random.default_rng(10)
    truth, given = two_classes(rng, 3_000, wrong=0.15)
    results = by_name(measure(base, truth, **given))
    assert results["log_loss"].fired
    assert results["log_loss"].level == "critical"
    assert results["log_loss"].value > results["log_loss"].usual + results["log_loss"].floor
    assert "worse" in results["log_loss"].message
    better, sure = two_classes(rng, 3_000)
    sure["probabilities"] = np.where(better == 1, 0.9, 0.1)
    assert not any(each.fired for each in measure(base, better, **sure))


def test_harm_below_the_floor_does_not_count():
    rng = np.random.default_rng(11)
    truth, given = two_classes(rng, 200_000)
    many = baseline(truth, **given, **TWO)
    truth, given = two_classes(rng, 200_000, wrong=0.02)
    results = by_name(measure(many, truth, **given))
    assert results["accuracy"].p_value < 0.001
    assert not results["accuracy"].fired
    assert by_name(measure(many, truth, **given, floors={"accuracy": 0.001}))["accuracy"].fired


def test_a_slice_that_alone_is_worse_is_named():
    rng = np.random.default_rng(12)
    truth, given = two_classes(rng, 6_000)
    region = rng.choice(["north", "south", "east"], 6_000)
    age = rng.uniform(20, 60, 6_000)
    held = baseline(truth, **given, **TWO, order=np.arange(6_000), slices={"region": region, "age": age})
    assert {f"region = {name}" for name in ("north", "south", "east")} < held.usual.keys()
    assert sum("age" in name for name in held.usual) == 4
    truth, given = two_classes(rng, 4_000)
    region = rng.choice(["north", "south", "east"], 4_000, p=[0.1, 0.45, 0.45])
    truth = np.where((region == "north") & (rng.random(4_000) < 0.45), 1 - truth, truth)
    results = measure(held, truth, **given, slices={"region": region, "age": rng.uniform(20, 60, 4_000)})
    fired = {each.subject for each in results if each.fired}
    assert "region = north" in fired
    assert not {"region = south", "region = east"} & fired
    expected = oracle.accuracy_score(
        truth[region == "north"], given["probabilities"][region == "north"] >= 0.5
    )
    assert by_name(results, "region = north")["accuracy"].value == pytest.approx(expected)


def test_a_small_slice_is_said_and_a_missing_column_refused():
    rng = np.random.default_rng(13)
    truth, given = two_classes(rng, 1_000)
    region = rng.choice(["north", "south"], 1_000)
    held = baseline(truth, **given, **TWO, slices={"region": region})
    region[:] = "north"
    region[:5] = "south"
    small = [
        each for each in measure(held, truth, **given, slices={"region": region}) if each.subject == "slices"
    ]
    assert small[0].details["slices"] == ["region = south"]
    assert not small[0].fired
    with pytest.raises(UnknownColumn, match="region"):
        measure(held, truth, **given, slices={"regoin": region})


def test_a_document_brings_the_baseline_back(base):
    rng = np.random.default_rng(14)
    truth, given = two_classes(rng, 1_000)
    rich = baseline(
        truth, **given, **TWO, order=np.arange(1_000), business=Business(true_positive=1.0),
        slices={"a": rng.choice(list("xyz"), 1_000), "b": rng.normal(size=1_000)},
    )  # fmt: skip
    for each in (base, rich):
        text = json.dumps(documents.dump(each), allow_nan=False)
        assert documents.load(Baseline, json.loads(text)) == each
        assert len(text) < 30_000


def test_the_order_of_rows_in_the_input_makes_no_difference():
    rng = np.random.default_rng(15)
    truth, given = two_classes(rng, 2_000, r=0.9)
    at, mixed = np.arange(2_000), rng.permutation(2_000)
    plain = baseline(truth, **given, **TWO, order=at)
    again = baseline(truth[mixed], probabilities=given["probabilities"][mixed], **TWO, order=at[mixed])
    assert again.usual[MODEL]["accuracy"].follows.effects == pytest.approx(
        plain.usual[MODEL]["accuracy"].follows.effects
    )
    assert plain.usual[MODEL]["accuracy"].follows.at(100) > 1.3


def test_without_an_order_every_result_says_that_errors_count_as_independent():
    truth, given = two_classes(np.random.default_rng(16), 1_000)
    result = measure(baseline(truth, **given, **TWO), truth, **given)[0]
    assert "independent" in result.message
    assert result.details["calibrated"] is False


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_a_window_with_too_few_labels_says_so(base, rows):
    truth, given = two_classes(np.random.default_rng(17), 29)
    results = measure(base, truth[:rows], probabilities=given["probabilities"][:rows])
    assert [(each.statistic, each.unable, each.fired) for each in results] == [("rows", True, False)]
    assert f"{rows} rows" in results[0].message


def test_a_window_of_one_class_cannot_tell_the_area_under_the_curve_but_the_rest(base):
    _, given = two_classes(np.random.default_rng(18), 200)
    results = by_name(measure(base, np.zeros(200, int), **given))
    assert results["roc_auc"].unable
    assert "either side" in results["roc_auc"].message
    assert not results["roc_auc"].fired
    assert results["recall"].unable
    assert results["accuracy"].value is not None


def test_rows_that_cannot_be_used_are_left_out_and_said(base):
    truth, given = two_classes(np.random.default_rng(19), 500)
    clean = by_name(measure(base, truth[6:], probabilities=given["probabilities"][6:]))
    labels = truth.astype(object)
    labels[0], labels[1] = None, float("nan")
    p = np.column_stack([1 - given["probabilities"], given["probabilities"]])
    p[2, 0], p[3], p[4], p[5, 1] = np.nan, [0.7, 0.7], [-0.5, 1.5], np.inf
    results = measure(base, list(labels), probabilities=p)
    left = by_name(results)["left_out"]
    assert left.unable
    assert left.details == {
        "a probability that is no number": 2,
        "probabilities below 0 or that do not add up to 1": 2,
    }
    assert by_name(results)["log_loss"].value == pytest.approx(clean["log_loss"].value)


def test_probabilities_of_0_make_no_infinite_loss(base):
    truth, given = two_classes(np.random.default_rng(20), 500)
    p = given["probabilities"].copy()
    p[truth == 1] = np.where(np.arange((truth == 1).sum()) == 0, 0.0, p[truth == 1])
    assert np.isfinite(by_name(measure(base, truth, probabilities=p))["log_loss"].value)


def test_labels_that_the_model_does_not_know_are_a_finding(base):
    truth, given = two_classes(np.random.default_rng(21), 500)
    labels = truth.astype(str).astype(object)
    labels[:40] = "returned"
    result = by_name(measure(base, labels, **given))["unknown_labels"]
    assert result.fired
    assert result.value == pytest.approx(0.08)
    labels[1:40] = "0"
    assert not by_name(measure(base, labels, **given))["unknown_labels"].fired


def test_a_perfect_reference_does_not_divide_by_zero():
    truth = np.tile([0, 1], 100)
    perfect = baseline(truth, probabilities=truth * 1.0, **TWO)
    assert not any(each.fired for each in measure(perfect, truth, probabilities=truth * 1.0))
    assert by_name(measure(perfect, truth, probabilities=1.0 - truth))["accuracy"].fired


def test_few_rows_without_an_error_do_not_say_that_there_is_none():
    """40 rows that are all right come of a model that errs in 2 % of them nearly every second time."""
    right = np.array(["a", "b"] * 500)
    base = baseline(right[:40], answers=right[:40], classes=["a", "b"], positive="b")
    answers = right.copy()
    answers[[1, 2, 3, *range(100, 120)]] = ["a", "b", "a"] + ["b", "a"] * 10
    assert not any(each.fired for each in measure(base, right, answers=answers, alpha=0.001))
    answers[:800] = "a"
    assert by_name(measure(base, right, answers=answers, alpha=0.001))["accuracy"].fired


def test_a_share_without_an_error_is_bounded_by_the_rows_behind_it():
    truth = np.array(["b"] * 12 + ["a"] * 1_988)
    never = np.array(["a"] * 2_000)
    base = baseline(truth, answers=never, classes=["a", "b"], positive="b")
    recall = by_name(measure(base, truth, answers=never))["recall"]
    assert (recall.value, recall.low) == (0.0, 0.0)
    assert recall.high == pytest.approx(0.2425, abs=1e-4)  # 0 of 12 (Wilson)
    base = baseline(truth, answers=truth, classes=["a", "b"], positive="b")
    found = by_name(measure(base, truth, answers=truth))
    assert found["recall"].low == found["precision"].low == pytest.approx(0.7575, abs=1e-4)
    assert found["accuracy"].low == pytest.approx(0.9981, abs=1e-4)


def test_the_smallest_harm_shrinks_with_rows_and_never_below_the_floor(base):
    few, many = found(base, 300, alpha=0.001), found(base, 1_000_000, alpha=0.001)
    assert all(few[name] > many[name] for name in few)
    assert many["accuracy"] >= 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"classes": ["x"]}, Invalid, "two classes"),
        ({"classes": ["x", "x"]}, Invalid, "each once"),
        ({"classes": [0, 1], "positive": 2}, Invalid, "no class"),
        ({"positive": 1}, Invalid, "no classes"),
        ({"classes": [0, 1]}, Invalid, "shape"),
        ({"classes": [0, 1, 2], "positive": 1}, Invalid, "shape"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, words):
    truth, given = two_classes(np.random.default_rng(22), 50)
    with pytest.raises(error, match=words):
        baseline(truth, **given, **arguments)


def test_uneven_lengths_texts_as_numbers_and_too_few_rows_are_refused(base):
    truth, given = two_classes(np.random.default_rng(23), 50)
    with pytest.raises(Invalid, match="50 true values"):
        baseline(truth, probabilities=given["probabilities"][:40], **TWO)
    with pytest.raises(WrongType, match="numbers"):
        baseline(["much"] * 50, answers=[1.0] * 50)
    with pytest.raises(TooFewRows, match="30 rows"):
        baseline(truth[:20], probabilities=given["probabilities"][:20], **TWO)
    with pytest.raises(Invalid, match="neither answers nor probabilities"):
        measure(base, truth)
    with pytest.raises(InvalidSettings, match="accuracy"):
        measure(base, truth, **given, floors={"acuracy": 0.1})
    with pytest.raises(InvalidSettings, match="-1"):
        measure(base, truth, **given, floors={"accuracy": -1})


# -- a limit that was set ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "value", "limit", "fired"),
    [
        ("roc_auc", 0.64, 0.65, True),
        ("roc_auc", 0.66, 0.65, False),
        ("log_loss", 0.64, 0.65, False),
        ("log_loss", 0.66, 0.65, True),
    ],
)
def test_a_limit_is_what_happened_and_no_test(metric, value, limit, fired):
    one = Result("performance", "model", metric, False, "", value=value, usual=0.6, low=0.5, high=0.8)
    part = Result("performance", "model where x", metric, False, "", value=9.0)
    found = performance.bounded([part, one], metric, limit)
    assert (found.fired, found.level, found.floor) == (fired, "critical" if fired else "info", limit)
    side = "below" if metric == "roc_auc" else "above"
    assert (
        f"is {'' if fired else 'not '}{side} the limit of 0.65 that was set (95 % interval" in found.message
    )


def test_a_limit_that_cannot_be_watched_says_so():
    assert performance.bounded([], "r2", 0.5).unable
    unknown = performance.bounded([], "roc_auc", 0.5)
    assert unknown.unable
    assert unknown.message == "ROC AUC of this window is not known, so its limit of 0.5 was not watched."
