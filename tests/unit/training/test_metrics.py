"""Measures against scikit-learn, hand-made cases, and simulation where the truth is known."""

import numpy as np
import pytest
from sklearn import metrics as reference

from everloop.core.runs import Business
from everloop.training.metrics import (
    business_metrics,
    calibration_bins,
    calibration_error,
    classification_metrics,
    regression_metrics,
    value_curve,
)


def binary(rows: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(rows), 2)  # with ties
    truth = np.where(rng.random(rows) < score, "yes", "no")
    return truth, np.column_stack([1 - score, score])


def many(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([1, 1, 1, 1], rows)
    names = ("a", "b", "c", "d")
    truth = np.array([rng.choice(names, p=row) for row in shares])
    return truth, shares, names


def test_two_classes_agree_with_scikit_learn() -> None:
    truth, shares = binary()
    found = classification_metrics(truth, shares, ("no", "yes"), "yes")
    decided, actual = np.where(shares[:, 1] >= 0.5, "yes", "no"), truth == "yes"
    expected = {
        "accuracy": reference.accuracy_score(truth, decided),
        "precision": reference.precision_score(truth, decided, pos_label="yes"),
        "recall": reference.recall_score(truth, decided, pos_label="yes"),
        "f1": reference.f1_score(truth, decided, pos_label="yes"),
        "f1_macro": reference.f1_score(truth, decided, average="macro"),
        "precision_macro": reference.precision_score(truth, decided, average="macro"),
        "recall_macro": reference.recall_score(truth, decided, average="macro"),
        "roc_auc": reference.roc_auc_score(actual, shares[:, 1]),
        "log_loss": reference.log_loss(actual, np.clip(shares[:, 1], 1e-15, 1 - 1e-15)),
        "brier": reference.brier_score_loss(actual, shares[:, 1]),
        "base_rate": actual.mean(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_positive_class_may_be_the_first_one() -> None:
    truth, shares = binary()
    found = classification_metrics(truth, shares, ("no", "yes"), "no")
    decided = np.where(shares[:, 0] >= 0.5, "no", "yes")
    assert found["recall"] == pytest.approx(reference.recall_score(truth, decided, pos_label="no"))
    assert found["base_rate"] == pytest.approx((truth == "no").mean())


def test_more_classes_agree_with_scikit_learn() -> None:
    truth, shares, names = many()
    found = classification_metrics(truth, shares, names, None)
    decided = np.array(names)[shares.argmax(axis=1)]
    expected = {
        "accuracy": reference.accuracy_score(truth, decided),
        "precision": reference.precision_score(truth, decided, average="macro"),
        "f1": reference.f1_score(truth, decided, average="macro"),
        "roc_auc": reference.roc_auc_score(truth, shares, multi_class="ovr", average="macro"),
        "log_loss": reference.log_loss(truth, shares),
        "brier": np.mean(np.sum((shares - (truth[:, None] == np.array(names))) ** 2, axis=1)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert "base_rate" not in found


def test_what_is_undefined_is_left_out_and_nothing_is_nan() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    found = classification_metrics(np.array(["no", "no", "no"]), shares, ("no", "yes"), "yes")
    assert found["accuracy"] == 1
    assert not {"roc_auc", "precision", "recall", "f1"} & set(found)
    assert all(np.isfinite(list(found.values())))
    assert classification_metrics(np.array([]), np.empty((0, 2)), ("no", "yes"), "yes") == {}


def test_certainty_that_is_wrong_costs_much_and_stays_finite() -> None:
    found = classification_metrics(
        np.array(["no", "yes"]), np.array([[0, 1], [0, 1.0]]), ("no", "yes"), "yes"
    )
    assert 10 < found["log_loss"] < 50


def test_labels_never_seen_in_training_count_as_wrong() -> None:
    truth, shares = binary(100)
    truth = np.append(truth.astype(object), ["maybe"] * 100)
    found = classification_metrics(truth, np.vstack([shares, shares]), ("no", "yes"), "yes")
    known = classification_metrics(truth[:100], shares, ("no", "yes"), "yes")
    assert found["accuracy"] == pytest.approx(known["accuracy"] / 2)
    assert not {"log_loss", "brier", "roc_auc", "calibration_error"} & set(found)


def test_honest_probabilities_have_a_small_calibration_error_and_shifted_ones_their_shift() -> None:
    rng = np.random.default_rng(5)
    score = rng.uniform(0.2, 0.8, 50_000)
    outcomes = rng.random(50_000) < score
    assert calibration_error(outcomes, score) < 0.012
    assert calibration_error(outcomes, score + 0.15) == pytest.approx(0.15, abs=0.01)


def test_a_constant_probability_has_one_bin_in_any_order_of_rows() -> None:
    outcomes = np.array([True] * 30 + [False] * 70)
    assert calibration_bins(outcomes, np.full(100, 0.3)).tolist() == [[100, pytest.approx(0.3), 0.3]]
    assert calibration_error(outcomes, np.full(100, 0.3)) == pytest.approx(0)


def test_bins_have_about_equal_mass() -> None:
    rows = calibration_bins(np.zeros(1_000), np.random.default_rng(0).beta(0.3, 4, 1_000))[:, 0]
    assert len(rows) == 10
    assert rows.min() >= 99


def test_regression_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(50, 10, 300)
    guess = truth + rng.normal(0, 3, 300)
    assert regression_metrics(truth, guess) == pytest.approx(
        {
            "mae": reference.mean_absolute_error(truth, guess),
            "rmse": reference.root_mean_squared_error(truth, guess),
            "median_ae": reference.median_absolute_error(truth, guess),
            "r2": reference.r2_score(truth, guess),
            "mape": reference.mean_absolute_percentage_error(truth, guess),
        }
    )


def test_regression_leaves_out_what_is_undefined() -> None:
    found = regression_metrics(np.array([0.0, 0.0]), np.array([1.0, 2.0]))
    assert set(found) == {"mae", "rmse", "median_ae"}
    assert regression_metrics(np.array([]), np.array([])) == {}


MONEY = Business(true_positive=100, false_positive=-20, true_negative=0, false_negative=-50)


def test_net_value_and_roi_by_hand() -> None:
    outcomes = np.array([1, 1, 0, 0, 1])
    score = np.array([0.9, 0.6, 0.7, 0.1, 0.2])
    found = business_metrics(outcomes, score, MONEY)
    assert found["net_value"] == 2 * 100 - 20 - 50
    assert found["roi"] == pytest.approx(130 / 70)
    assert found["net_value_per_row"] == 26
    assert found["best_threshold"] == 0.2
    assert found["best_net_value"] == 3 * 100 - 20
    assert found["best_roi"] == pytest.approx(280 / 20)


def test_the_best_threshold_is_the_best_of_all() -> None:
    truth, shares = binary(300, seed=3)
    outcomes, score = truth == "yes", shares[:, 1]
    found = business_metrics(outcomes, score, MONEY)

    def value(threshold: float) -> float:
        acted = score >= threshold
        hits, alarms = np.sum(acted & outcomes), np.sum(acted & ~outcomes)
        return float(100 * hits - 20 * alarms - 50 * np.sum(~acted & outcomes))

    everywhere = np.linspace(0, 1.01, 2_000)
    assert found["best_net_value"] == max(value(t) for t in everywhere)
    assert value(found["best_threshold"]) == found["best_net_value"]
    thresholds, values = value_curve(outcomes, score, MONEY)
    assert [value(t) for t in thresholds] == values.tolist()


def test_acting_on_none_is_among_the_choices() -> None:
    found = business_metrics(np.zeros(4), np.array([0.1, 0.9, 1.0, 0.4]), MONEY)
    assert found["best_net_value"] == 0
    assert found["best_threshold"] > 1
    assert "best_roi" not in found
    assert np.isfinite(found["best_threshold"])


def test_roi_without_costs_is_left_out() -> None:
    found = business_metrics(np.array([1, 0]), np.array([0.9, 0.2]), Business(true_positive=5))
    assert found["net_value"] == 5
    assert "roi" not in found


def test_the_best_threshold_of_honest_probabilities_is_where_theory_puts_it() -> None:
    """Acting pays from p on where p * (gain of a hit) = (1 - p) * (cost of a false alarm)."""
    rng = np.random.default_rng(11)
    score = rng.random(200_000)
    found = business_metrics(rng.random(200_000) < score, score, MONEY)
    assert found["best_threshold"] == pytest.approx(20 / (20 + 150), abs=0.03)
