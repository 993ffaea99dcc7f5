"""Each metric is the mean of its rows and equals scikit-learn's; the AUC's spread is DeLong's."""

import numpy as np
import pytest
from sklearn import metrics as sk

from everloop.core.errors import InvalidSettings, TooFewRows
from everloop.core.runs import Business
from everloop.deployment.measures import METRICS, Answers, find_metric

BUSINESS = Business(true_positive=10, false_positive=-2, true_negative=1, false_negative=-5)


def probabilities(rng, truth, classes, noise=1.5):
    scores = np.eye(classes)[truth] + noise * rng.normal(size=(len(truth), classes))
    scores = np.exp(scores.round(1))  # rounded, so that there are ties
    return scores / scores.sum(axis=1, keepdims=True)


def two_classes():
    rng = np.random.default_rng(0)
    truth = (rng.random(400) < 0.3).astype(np.int64)
    return Answers(truth, probabilities(rng, truth, 2), positive=1, business=BUSINESS)


def three_classes():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 400)
    return Answers(truth, probabilities(rng, truth, 3))


def numbers():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=300)
    return Answers(truth, truth + 0.5 * rng.normal(size=300))


BINARY = {
    "log_loss": lambda a: sk.log_loss(a.truth, a.given),
    "brier": lambda a: sk.brier_score_loss(a.truth, a.given[:, 1]),
    "accuracy": lambda a: sk.accuracy_score(a.truth, a.decided),
    "roc_auc": lambda a: sk.roc_auc_score(a.truth, a.given[:, 1]),
    "f1": lambda a: sk.f1_score(a.truth, a.decided),
    "precision": lambda a: sk.precision_score(a.truth, a.decided),
    "recall": lambda a: sk.recall_score(a.truth, a.decided),
    "balanced_accuracy": lambda a: sk.balanced_accuracy_score(a.truth, a.decided),
    "net_value": lambda a: (sk.confusion_matrix(a.truth, a.decided) * [[1, -2], [-5, 10]]).sum() / 400,
}
SEVERAL = {
    "log_loss": BINARY["log_loss"],
    "brier": lambda a: ((a.given - np.eye(3)[a.truth]) ** 2).sum(axis=1).mean(),
    "accuracy": BINARY["accuracy"],
    "roc_auc": lambda a: sk.roc_auc_score(a.truth, a.given, multi_class="ovr"),
    "f1": lambda a: sk.f1_score(a.truth, a.decided, average="macro"),
    "precision": lambda a: sk.precision_score(a.truth, a.decided, average="macro"),
    "recall": lambda a: sk.recall_score(a.truth, a.decided, average="macro"),
    "balanced_accuracy": BINARY["balanced_accuracy"],
}
REGRESSION = {
    "mae": lambda a: sk.mean_absolute_error(a.truth, a.given),
    "mse": lambda a: sk.mean_squared_error(a.truth, a.given),
    "rmse": lambda a: sk.root_mean_squared_error(a.truth, a.given),
    "r2": lambda a: sk.r2_score(a.truth, a.given),
}


@pytest.mark.parametrize(
    ("answers", "oracles"),
    [(two_classes(), BINARY), (three_classes(), SEVERAL), (numbers(), REGRESSION)],
    ids=["two classes", "three classes", "regression"],
)
def test_every_metric_equals_the_known_one(answers, oracles):
    for name, oracle in oracles.items():
        assert METRICS[name].rows(answers).mean() == pytest.approx(oracle(answers), rel=1e-9), name


def test_no_metric_is_left_untested():
    assert set(METRICS) == {*BINARY, *SEVERAL, *REGRESSION}


def test_a_certain_wrong_answer_costs_a_finite_log_loss():
    rows = METRICS["log_loss"].rows(Answers(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), positive=1))
    assert rows == pytest.approx([-np.log(1e-15), 0.0])


def test_the_spread_of_the_auc_is_that_of_delong():
    """Against the textbook form over all pairs, in O(positives x negatives)."""
    a = two_classes()
    score, truth = a.given[:, 1], a.truth == 1
    wins = np.sign(score[truth][:, None] - score[~truth][None, :]) / 2 + 0.5
    variance = wins.mean(axis=1).var(ddof=1) / truth.sum() + wins.mean(axis=0).var(ddof=1) / (~truth).sum()
    rows = METRICS["roc_auc"].rows(a)
    assert rows.var() / len(rows) == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize("name", sorted(BINARY))
def test_the_spread_of_the_rows_is_the_spread_of_the_metric(name):
    """Against the bootstrap, which knows nothing of influences."""
    a, rng = two_classes(), np.random.default_rng(3)
    drawn = [METRICS[name].rows(a.take(rng.integers(0, 400, 400))).mean() for _ in range(400)]
    rows = METRICS[name].rows(a)
    assert rows.std(ddof=1) / np.sqrt(400) == pytest.approx(np.std(drawn), rel=0.12)


@pytest.mark.parametrize("name", sorted(REGRESSION))
def test_the_spread_of_the_rows_is_the_spread_of_the_metric_in_regression(name):
    a, rng = numbers(), np.random.default_rng(4)
    drawn = [METRICS[name].rows(a.take(rng.integers(0, 300, 300))).mean() for _ in range(400)]
    assert METRICS[name].rows(a).std(ddof=1) / np.sqrt(300) == pytest.approx(np.std(drawn), rel=0.12)


def test_precision_of_a_model_that_never_says_yes_is_zero():
    a = Answers(np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3), positive=1)
    assert METRICS["precision"].rows(a).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["roc_auc", "f1", "precision", "recall"])
def test_metrics_of_a_class_that_is_not_there_have_no_value(name):
    with pytest.raises(TooFewRows):
        METRICS[name].rows(Answers(np.zeros(5, dtype=np.int64), np.full((5, 2), 0.5), positive=1))


def test_r2_of_one_true_value_has_no_value():
    with pytest.raises(TooFewRows, match="different true values"):
        METRICS["r2"].rows(Answers(np.ones(5), np.zeros(5)))


def test_a_perfect_regression_has_no_error():
    assert METRICS["rmse"].rows(Answers(np.ones(3), np.ones(3))).tolist() == [0.0, 0.0, 0.0]


def test_net_value_asks_for_the_money():
    with pytest.raises(InvalidSettings, match="money per outcome"):
        METRICS["net_value"].rows(Answers(np.array([0, 1]), np.full((2, 2), 0.5), positive=1))


def test_the_default_metric_depends_on_the_task():
    assert find_metric(None, "classification").name == "log_loss"
    assert find_metric(None, "regression").name == "rmse"


@pytest.mark.parametrize(
    ("name", "task", "hint"),
    [("acuracy", "classification", "'accuracy'"), ("log_loss", "regression", "'mae'")],
)
def test_an_unknown_metric_names_the_nearest(name, task, hint):
    with pytest.raises(InvalidSettings) as caught:
        find_metric(name, task)
    assert name in caught.value.message
    assert hint in caught.value.remedy
