"""Looking for parameters: within its budget, on training rows only, the same by the same trials."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.training.frames import customers, hashes, table

from everloop.core.errors import ExperimentError, InvalidSettings, MissingExtra
from everloop.core.runs import Recipe, Split, Tuning
from everloop.training import estimators, tuning
from everloop.training.fitting import Fitted, fit

CHURN = Recipe("churn", estimator="decision_tree", tune=Tuning(seconds=60, trials=8))


def trained(recipe: Recipe, frame: Any = None, **more: Any) -> Fitted:
    rows = customers() if frame is None else frame
    return fit(table(rows), recipe, hashes(rows), **more)


class Seconds:
    """A clock that somebody turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def judged(seconds: Seconds, each: float, folds: int = 3) -> tuple[tuning.Judge, list[float]]:
    """Folds that take ``each`` seconds; the loss is how far C is from 1. Keeps when each fold ended."""
    ends: list[float] = []

    def judge(params: Mapping[str, Any]) -> list[Any]:
        def fold() -> float:
            seconds.now += each
            ends.append(seconds.now)
            return float(abs(np.log10(params.get("C", 50.0))))

        return [fold] * folds

    return judge, ends


def test_it_finds_what_is_better_and_the_model_has_it() -> None:
    found = trained(CHURN)
    assert found.tuned is not None
    assert found.tuned.trials == 8
    assert found.tuned.loss is not None
    assert found.tuned.loss_before is not None
    assert found.tuned.loss < found.tuned.loss_before  # a tree without limits learns the noise
    assert set(found.tuned.params) == {"max_depth", "min_samples_leaf"}
    assert found.pipeline["model"].max_depth == found.tuned.params["max_depth"]
    plain = trained(replace(CHURN, tune=None))
    assert found.metrics["log_loss"] < plain.metrics["log_loss"]


def test_the_same_trials_give_the_same() -> None:
    first, second = trained(CHURN), trained(CHURN)
    assert first.tuned == second.tuned
    assert np.array_equal(first.predictions, second.predictions)


def test_the_test_rows_are_not_looked_at() -> None:
    rows = customers()
    recipe = replace(CHURN, split=Split("random"))
    first = trained(recipe, rows)
    spoiled = rows.copy()
    labels = spoiled["churn"].to_numpy(copy=True)
    labels[first.test_index] = np.where(labels[first.test_index] == "yes", "no", "yes")
    spoiled["churn"] = labels
    second = fit(table(spoiled), recipe, hashes(rows))
    assert first.tuned == second.tuned
    assert first.metrics != second.metrics


def test_no_fold_is_begun_that_would_end_after_the_budget() -> None:
    seconds = Seconds()
    judge, ends = judged(seconds, each=2.0)
    found = tuning.tune(Recipe("y"), Tuning(seconds=21.0, trials=50), judge, seconds)
    assert max(ends) == 20.0
    assert found.seconds == 20.0
    assert 0 < found.trials < 50
    assert found.reason == "the 21 s were over"
    assert found.params  # of the trials that were over by then


def test_a_budget_for_exactly_one_trial_is_used() -> None:
    seconds = Seconds()
    judge, ends = judged(seconds, each=1.0)
    found = tuning.tune(Recipe("y"), Tuning(seconds=6.0, trials=1), judge, seconds)
    assert len(ends) == 6  # three folds of the recipe's own parameters, three of the trial
    assert found.reason == "all 1 trials were made"
    assert set(found.params) == {"C"}


def test_too_little_time_changes_nothing() -> None:
    seconds = Seconds()
    judge, _ = judged(seconds, each=5.0)
    found = tuning.tune(Recipe("y"), Tuning(seconds=8.0), judge, seconds)
    assert (found.params, found.trials, found.loss) == ({}, 0, None)
    assert "too few for one cross-validation" in found.reason


def test_nothing_better_leaves_the_parameters_alone() -> None:
    seconds = Seconds()
    recipe = Recipe("y")
    found = tuning.tune(recipe, Tuning(trials=5), lambda params: [lambda: float(len(params))], seconds)
    assert found.params == {}
    assert found.loss == found.loss_before == 0.0


def test_trials_that_cannot_be_fitted_are_passed_over() -> None:
    def judge(params: Mapping[str, Any]) -> list[Any]:
        def fold() -> float:
            if params:
                raise ExperimentError("it broke", remedy="Mend it.")
            return 1.0

        return [fold]

    found = tuning.tune(Recipe("y"), Tuning(trials=3), judge, Seconds())
    assert found.params == {}
    assert found.reason == "all 3 trials were made, and none could be fitted: it broke"


def test_spaces_are_ranges_orders_of_magnitude_and_values() -> None:
    seen: list[Mapping[str, Any]] = []

    def judge(params: Mapping[str, Any]) -> list[Any]:
        seen.append(params)
        return [lambda: 1.0]

    spaces = {"rate": (0.01, 0.3, "log"), "depth": (2, 8), "kind": ("gini", "entropy"), "on": (True, False)}
    tuning.tune(Recipe("y"), Tuning(trials=40, params=spaces), judge, Seconds())
    tried = seen[1:]
    assert all(0.01 <= one["rate"] <= 0.3 for one in tried)
    assert {type(one["depth"]) for one in tried} == {int}
    assert {one["kind"] for one in tried} == {"gini", "entropy"}
    assert {one["on"] for one in tried} == {True, False}


@pytest.mark.parametrize("name", sorted(tuning.USUAL))
def test_the_usual_spaces_are_parameters_of_their_estimators(name: str) -> None:
    for task in ("classification", "regression"):
        choice = estimators.CHOICES[name]
        if (choice.classifier if task == "classification" else choice.regressor) is None:
            continue
        params = {key: space[0] for key, space in tuning.USUAL[name].items()}
        estimators.build(Recipe("y", estimator=name, params=params), task)


def test_what_the_recipe_sets_stays() -> None:
    wanted = Tuning()
    assert set(tuning.spaces(Recipe("y", estimator="decision_tree", params={"max_depth": 3}), wanted)) == {
        "min_samples_leaf"
    }


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        (Recipe("churn", estimator="dummy", tune=Tuning()), "nothing to tune for estimator 'dummy'"),
        (Recipe("churn", estimator="sklearn.svm.LinearSVC", tune=Tuning()), "nothing to tune"),
        (Recipe("churn", params={"C": 1.0}, tune=Tuning()), "nothing to tune"),
        (Recipe("churn", tune=Tuning(params={"depth": (1, 2)})), "no parameter 'depth'"),
    ],
)
def test_what_cannot_be_tuned_is_said_before_any_fitting(
    recipe: Recipe, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.training.learning.clone", lambda pipeline: pytest.fail("fitting has begun"))
    with pytest.raises(InvalidSettings, match=match):
        trained(recipe)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(tuning, "import_module", absent)
    with pytest.raises(MissingExtra, match="'optuna'") as caught:
        trained(CHURN)
    assert "everloop[tuning]" in caught.value.remedy


def test_a_split_by_time_is_tuned_with_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = customers().sort_values("since").reset_index(drop=True)
    sides: list[tuple[int, int]] = []
    real = tuning.tune

    def spied(recipe: Recipe, wanted: Tuning, judge: tuning.Judge, clock: Any) -> Any:
        sides.extend((fold.args[0].max(), fold.args[1].min()) for fold in judge({}))  # type: ignore[attr-defined]
        return real(recipe, wanted, judge, clock)

    monkeypatch.setattr(tuning, "tune", spied)
    trained(replace(CHURN, split=Split("time", 0.2, "since"), tune=Tuning(trials=1)), rows)
    assert len(sides) == 3
    assert all(last < first for last, first in sides)


def test_a_regression_is_tuned() -> None:
    rows = customers()
    rows["spent"] = rows["visits"] * 2.0 + np.random.default_rng(0).normal(0, 1, len(rows))
    found = trained(Recipe("spent", estimator="ridge", tune=Tuning(trials=4)), rows)
    assert found.tuned is not None
    assert found.tuned.loss_before == pytest.approx(1.0, abs=0.3)  # the noise's variance
