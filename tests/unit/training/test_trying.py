"""Which rows count: weights reach the estimators, and the choice is tried on later rows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import SGDClassifier

from everloop.core.errors import WrongType
from everloop.core.runs import Recipe, Split
from everloop.training.fitting import Fitted, fit

DAY = 86_400
RECIPE = Recipe("y", exclude=("when",), data="try", time_column="when")


def world(seed: int, rows: int = 5_000, change: float | None = None) -> pa.Table:
    """300 days of rows in order; from the share ``change`` of the time on, what x means is turned over."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    share = np.sort(rng.random(rows))
    score = 1.5 * (x @ np.array([1.0, -1.0, 0.5]))
    if change is not None:
        score = np.where(share >= change, -score, score)
    yes = rng.random(rows) < 1 / (1 + np.exp(-score))
    when = pa.array((share * 300 * DAY * 1e6).astype(np.int64), pa.timestamp("us"))
    return pa.table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "when": when, "y": np.where(yes, "yes", "no")})


def trained(table: pa.Table, recipe: Recipe = RECIPE, **more: Any) -> Fitted:
    return fit(table, recipe, np.arange(table.num_rows, dtype=np.uint64), **more)


def test_after_an_abrupt_change_recent_rows_are_taken() -> None:
    picked = [trained(world(seed, change=0.55)).choice.chosen for seed in range(20)]
    assert picked.count("recent") >= 19


def test_where_nothing_changed_all_rows_are_taken() -> None:
    picked = [trained(world(seed)).choice.chosen for seed in range(100, 120)]
    assert picked.count("all") >= 19


def test_the_evidence_is_kept_and_the_winner_is_trained_on_what_it_chooses() -> None:
    table = world(1, change=0.55)
    found = trained(table)
    choice = found.choice
    assert set(choice.losses) == {"all", "recent", "weighted"}  # less than a year: no season
    assert {len(losses) for losses in choice.losses.values()} == {3}
    assert len(choice.blocks) == 3
    assert np.mean(choice.losses["recent"]) < np.mean(choice.losses["all"])
    assert "recent rows are better than all" in choice.reason
    every = trained(table, replace(RECIPE, data="all"))
    assert len(found.train_index) < 0.35 * len(every.train_index)
    assert found.train_index.min() > 0.7 * table.num_rows  # the rows are in the order of time
    assert np.array_equal(found.test_index, every.test_index)


def test_test_rows_do_not_take_part() -> None:
    """Labels turned over on the test side only change neither the losses nor the model."""
    table, recipe = world(2), replace(RECIPE, split=Split("random"))
    test = trained(table, recipe).test_index
    y = np.array(table["y"].to_pylist())
    y[test] = np.where(y[test] == "yes", "no", "yes")
    spoiled = table.set_column(4, "y", pa.array(y))
    clean, other = trained(table, recipe), trained(spoiled, recipe)
    assert clean.choice == other.choice
    assert np.array_equal(clean.pipeline["model"].coef_, other.pipeline["model"].coef_)
    assert clean.metrics["accuracy"] != other.metrics["accuracy"]


@pytest.mark.parametrize(
    "name",
    ["logistic", "random_forest", "hist_gradient_boosting", "xgboost", "lightgbm", "sklearn.svm.LinearSVC"],
)
def test_weights_change_the_fit(name: str) -> None:
    """Old rows say the opposite: a model that weighs them less is better on the newest ones."""
    table = world(3, rows=1_500, change=0.5)
    table = table.take(
        np.random.default_rng(0).permutation(table.num_rows)
    )  # Platt's folds are in this order
    params = {"logistic": {}, "sklearn.svm.LinearSVC": {}, "hist_gradient_boosting": {"max_iter": 20}}
    recipe = replace(RECIPE, estimator=name, params=params.get(name, {"n_estimators": 20}))
    recipe = replace(recipe, split=Split("time", 0.2, "when"))
    every, weighted = (trained(table, replace(recipe, data=data)) for data in ("all", "weighted"))
    assert len(weighted.train_index) == len(every.train_index)
    assert weighted.metrics["accuracy"] > every.metrics["accuracy"] + 0.05
    assert not weighted.notes


def test_an_estimator_without_weights_leaves_small_ones_out_and_says_so() -> None:
    recipe = replace(RECIPE, estimator="sklearn.neighbors.KNeighborsClassifier", data="weighted")
    found = trained(world(4, rows=1_000), recipe)
    left = found.pipeline["model"].n_samples_fit_
    assert left == len(found.train_index)
    assert 0.2 * 800 < left < 0.35 * 800  # a half-life is a quarter of the time
    said = (
        f"KNeighborsClassifier takes no weights: {800 - left:,} rows that would count little were left out."
    )
    assert said in found.notes


def test_a_users_estimator_gets_weights_too() -> None:
    seen: list[object] = []

    class Mine(SGDClassifier):  # type: ignore[misc]  # scikit-learn has no types
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            seen.append(sample_weight)
            return super().fit(X, y, sample_weight=sample_weight)

    recipe = replace(RECIPE, estimator="mine.py:make", data="weighted")
    trained(world(5, rows=500), recipe, factory=lambda: Mine(loss="log_loss"))
    assert np.ptp(np.asarray(seen[0])) > 0.5


@pytest.mark.parametrize("data", ["try", "recent", "weighted", "seasonal"])
def test_without_times_all_rows_count_and_it_says_why(data: Any) -> None:
    table = world(6, rows=500).drop_columns(["when"])
    recipe = Recipe("y", data=data)
    found = trained(table, recipe)
    assert found.choice.chosen == "all"
    assert "There is no time_column" in found.choice.reason
    plain = trained(table, replace(recipe, data="all"))
    assert np.array_equal(found.predictions, plain.predictions)


def test_times_can_be_given_instead_of_a_column() -> None:
    table = world(7, change=0.55)
    when = np.asarray(table["when"].cast(pa.int64())) / 1e6
    bare = table.drop_columns(["when"])
    found = trained(bare, Recipe("y", data="try"), times=when)
    assert found.choice == trained(table).choice
    assert found.choice.chosen == "recent"
    short = trained(bare, Recipe("y", data="try"), times=when[:-1])
    assert "4999 times" in short.choice.reason


def test_numbers_are_an_order_without_season() -> None:
    table = world(8, rows=3_000, change=0.5)
    weeks = pa.array(np.arange(3_000) * 100_000.0)  # as seconds they would be more than a year
    numbered = table.set_column(3, "when", weeks)
    assert "seasonal" not in trained(numbered).choice.losses
    told = trained(numbered, replace(RECIPE, data="seasonal")).choice
    assert told.chosen == "all"
    assert "no season" in told.reason


def test_a_season_is_tried_where_there_is_more_than_one() -> None:
    table = world(9, rows=2_000)
    years = np.asarray(table["when"].cast(pa.int64())) * 4
    found = trained(table.set_column(3, "when", pa.array(years, pa.timestamp("us"))))
    assert "seasonal" in found.choice.losses


def test_times_that_are_missing_are_said() -> None:
    table = world(10, rows=400)
    holes = table.set_column(3, "when", pa.array([None, *table["when"].to_pylist()[1:]], pa.timestamp("us")))
    assert "no value in 1 of 400 rows" in trained(holes).choice.reason
    with pytest.raises(WrongType):  # a split by time cannot do without
        trained(holes, replace(RECIPE, split=Split("time", 0.2, "when")))


def test_a_choice_that_loses_a_class_is_not_taken() -> None:
    table = world(11, rows=2_000)
    y = np.array(table["y"].to_pylist(), dtype=object)
    y[:40] = "old"
    found = trained(table.set_column(4, "y", pa.array(y)), replace(RECIPE, data="recent"))
    assert found.choice.chosen == "all"
    assert "none of class 'old'" in found.choice.reason
    assert found.classes == ("no", "old", "yes")


def test_few_rows_are_not_tried() -> None:
    choice = trained(world(12, rows=200)).choice
    assert choice.chosen == "all"
    assert "too few" in choice.reason
    assert not choice.losses


def test_folds_weigh_rows_too_and_progress_is_told() -> None:
    told: list[str] = []
    recipe = replace(RECIPE, data="recent", folds=3, split=Split("time", 0.2, "when"))
    found = trained(world(13, rows=6_000), recipe, progress=lambda step, _: told.append(step))
    assert len(found.series["cv_log_loss"]) == 3
    assert told[-1] == "fold 3 of 3"


def test_a_fold_that_would_lose_a_class_learns_all_its_rows() -> None:
    table = world(14, rows=2_000)
    recipe = replace(RECIPE, data="recent", folds=3, split=Split("random"))
    newest = trained(table, recipe).train_index[-1]
    y = np.array(table["y"].to_pylist(), dtype=object)
    y[[*range(60), newest]] = "old"  # one recent row of the class: the fold that judges it learns none
    found = trained(table.set_column(4, "y", pa.array(y)), recipe)
    assert found.choice.chosen == "recent"
    assert found.classes == ("no", "old", "yes")
    assert len(found.series["cv_log_loss"]) == 3
