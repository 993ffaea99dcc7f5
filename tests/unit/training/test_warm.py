"""Going on from a fit: what it keeps, what it adds, and when a training starts anew instead."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMModel
from tests.unit.training.frames import customers, hashes, table

from everloop.core.runs import Preparation, Recipe, Split, Tuning
from everloop.training import serialise
from everloop.training.estimators import LabelledClassifier
from everloop.training.fitting import Fitted, fit
from everloop.training.warm import Base

CHURN = Recipe("churn", split=Split("random"))
ADDITIVE = ("random_forest", "extra_trees", "gradient_boosting", "xgboost", "lightgbm")
TWO_MONTHS = customers(1_200, seed=1)
FIRST = TWO_MONTHS.iloc[:600]


def trained(frame: pd.DataFrame, recipe: Recipe, **more: Any) -> Fitted:
    return fit(table(frame), recipe, hashes(frame), **more)


def based(
    recipe: Recipe, frame: pd.DataFrame = TWO_MONTHS, first: pd.DataFrame = FIRST
) -> tuple[Fitted, Base]:
    """A champion of the first rows, read back from its file as a turn does, to go on from with ``frame``."""
    made = trained(first, recipe)
    content, kind = serialise.dumps(made.pipeline)
    pipeline = serialise.loads(content, kind, trust_pickle=True)
    learned = np.isin(hashes(frame), hashes(first)[made.train_index])
    return made, Base(pipeline, recipe, made.task, made.features, made.classes, learned)


def size(model: Any) -> int:
    inner = model.estimator if isinstance(model, LabelledClassifier) else model
    if isinstance(inner, LGBMModel):
        return int(inner.booster_.current_iteration())
    return int(inner.get_booster().num_boosted_rounds()) if inner is not model else len(inner.estimators_)


@pytest.mark.parametrize("name", ADDITIVE)
def test_trees_and_rounds_are_added(name: str) -> None:
    recipe = replace(CHURN, estimator=name, params={"n_estimators": 20})
    before, base = based(recipe)
    found = trained(TWO_MONTHS, replace(recipe, warm_start=True), base=base)
    assert found.warm
    assert (size(before.pipeline["model"]), size(found.pipeline["model"])) == (20, 25)
    assert size(base.pipeline["model"]) == 20  # the champion itself is left alone
    assert found.metrics["log_loss"] < 0.69
    again = trained(TWO_MONTHS, replace(recipe, warm_start=True), base=base)
    assert np.array_equal(found.predictions, again.predictions)


@pytest.mark.parametrize("name", ["gradient_boosting", "xgboost", "lightgbm"])
def test_the_added_rounds_correct_the_champion(name: str) -> None:
    """Rounds on top lower the loss on the training rows: they begin where the champion ends."""
    recipe = replace(CHURN, estimator=name, params={"n_estimators": 20, "learning_rate": 0.1})
    _, base = based(recipe)
    found = trained(TWO_MONTHS, replace(recipe, warm_start=True), base=base)
    rows = TWO_MONTHS.iloc[found.train_index]
    losses = []
    for pipeline in (base.pipeline, found.pipeline):
        said = pipeline.predict_proba(rows[list(found.features)])
        losses.append(-np.mean(np.log(said[np.arange(len(rows)), (rows["churn"] == "yes").astype(int)])))
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", ["logistic", "sklearn.linear_model.SGDClassifier"])
def test_the_preparation_is_the_champions(name: str) -> None:
    params = {"max_iter": 300} if name == "logistic" else {"loss": "log_loss"}
    recipe = replace(CHURN, estimator=name, params=params)
    moved = TWO_MONTHS.assign(visits=TWO_MONTHS["visits"] + 100 * (TWO_MONTHS.index >= 600))
    before, base = based(recipe, moved)
    found = trained(moved, replace(recipe, warm_start=True), base=base)
    assert found.warm

    def mean(fitted: Fitted) -> float:
        return float(fitted.pipeline["preparation"]["columns"].named_transformers_["numbers"][1].mean_[1])

    assert mean(found) == mean(before)
    assert mean(trained(moved, recipe)) > 40
    assert not np.array_equal(found.pipeline["model"].coef_, before.pipeline["model"].coef_)
    assert np.array_equal(base.pipeline["model"].coef_, before.pipeline["model"].coef_)


def test_weights_reach_what_goes_on() -> None:
    recipe = replace(
        CHURN, estimator="sklearn.linear_model.SGDClassifier", params={"loss": "log_loss"}, warm_start=True
    )
    _, base = based(recipe)
    times = np.arange(len(TWO_MONTHS)) * 86_400.0
    plain, weighted = (
        trained(TWO_MONTHS, replace(recipe, data=data), base=base, times=times)
        for data in ("all", "weighted")
    )
    assert plain.warm
    assert weighted.warm
    assert not np.array_equal(plain.predictions, weighted.predictions)


def test_rows_that_the_champion_learned_do_not_test_it() -> None:
    recipe = replace(CHURN, split=Split("stratified"))
    _, base = based(recipe)
    some = np.zeros(len(TWO_MONTHS), dtype=bool)
    some[:150] = True
    found = trained(TWO_MONTHS, replace(recipe, warm_start=True), base=replace(base, seen=some))
    cold = trained(TWO_MONTHS, recipe)
    assert found.warm
    assert not some[found.test_index].any()
    assert set(found.test_index) == set(cold.test_index[~some[cold.test_index]])
    assert len(found.predictions) == len(found.test_index)


def test_where_no_row_is_left_to_test_it_starts_anew() -> None:
    _, base = based(CHURN)
    every = replace(base, seen=np.ones(len(TWO_MONTHS), dtype=bool))
    found = trained(TWO_MONTHS, replace(CHURN, warm_start=True), base=every)
    assert not found.warm
    assert "fitted to all rows" in found.notes[0]


COLD: list[tuple[dict[str, Any], str]] = [
    ({"params": {"C": 0.5}}, "the recipe's params differs"),
    ({"preparation": Preparation(scale=False)}, "the recipe's preparation differs"),
    ({"estimator": "random_forest"}, "the recipe's estimator differs"),
    ({"exclude": ("age",)}, "it has other features than the champion"),
    ({"tune": Tuning(trials=1)}, "looked for anew"),
]


@pytest.mark.parametrize(("change", "why"), COLD)
def test_another_recipe_starts_anew_and_says_why(change: dict[str, Any], why: str) -> None:
    _, base = based(CHURN)
    recipe = replace(CHURN, warm_start=True, **change)
    found = trained(TWO_MONTHS, recipe, base=base)
    assert not found.warm
    assert any("Trained anew" in note and why in note for note in found.notes)
    assert np.array_equal(
        found.predictions, trained(TWO_MONTHS, replace(recipe, warm_start=False)).predictions
    )


def test_other_columns_start_anew() -> None:
    _, base = based(CHURN)
    texts = TWO_MONTHS.assign(visits=TWO_MONTHS["visits"].astype(str))
    found = trained(texts, replace(CHURN, warm_start=True), base=base)
    assert not found.warm
    assert "types of the columns" in found.notes[0]


def test_a_new_class_starts_anew() -> None:
    _, base = based(CHURN)
    more = TWO_MONTHS.copy()
    more.loc[900:, "churn"] = "maybe"
    assert not trained(more, replace(CHURN, warm_start=True), base=base).warm


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hist_gradient_boosting", "goes on right on the same rows only"),
        ("decision_tree", "DecisionTreeClassifier cannot go on from a fit"),
        ("sklearn.svm.LinearSVC", "CalibratedClassifierCV cannot go on from a fit"),
    ],
)
def test_estimators_that_cannot_start_anew(name: str, why: str) -> None:
    recipe = replace(CHURN, estimator=name)
    _, base = based(recipe)
    found = trained(TWO_MONTHS, replace(recipe, warm_start=True), base=base)
    assert not found.warm
    assert any(why in note for note in found.notes)


def test_without_a_champion_it_starts_anew() -> None:
    found = trained(FIRST, replace(CHURN, warm_start=True))
    assert not found.warm
    assert "no champion" in found.notes[0]


def test_a_model_does_not_grow_forever() -> None:
    recipe = replace(CHURN, estimator="lightgbm", params={"n_estimators": 8}, warm_start=True)
    made, base = based(recipe)
    sizes = []
    for _ in range(14):
        sizes.append(size(made.pipeline["model"]))
        made = trained(TWO_MONTHS, recipe, base=replace(base, pipeline=made.pipeline))
    assert max(sizes) == 32
    assert sizes[:3] == [8, 10, 12]
    assert sizes.count(8) == 2  # and from there on again
