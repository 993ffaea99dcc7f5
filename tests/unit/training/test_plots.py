"""Which pictures there are, that they are pictures, what is drawn, and how long it takes."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import roc_curve
from tests.unit.training.frames import customers, hashes, iris, table

from everloop.core.runs import Business, Recipe
from everloop.training import plots as drawing
from everloop.training.fitting import Fitted, fit
from everloop.training.importance import importances
from everloop.training.plots import plots

CHURN = Recipe("churn")


def trained(frame: Any, recipe: Recipe) -> tuple[Fitted, Any]:
    return fit(table(frame), recipe, hashes(frame)), table(frame)


def drawn(frame: Any, recipe: Recipe) -> dict[str, np.ndarray]:
    fitted, data = trained(frame, recipe)
    return {name: imread(io.BytesIO(png)) for name, png in plots(fitted, data, recipe).items()}


def test_classification_has_its_pictures() -> None:
    found = drawn(customers(), replace(CHURN, business=Business(100, -20)))
    assert set(found) == {"confusion_matrix", "roc", "calibration", "importance", "value_curve"}
    assert all(image.shape[0] > 400 and image.std() > 0.05 for image in found.values())


def test_regression_has_its_pictures() -> None:
    found = drawn(customers(), Recipe("age", estimator="ridge"))
    assert set(found) == {"predicted_vs_actual", "residuals", "importance"}
    assert all(image.std() > 0.05 for image in found.values())


def test_names_that_trouble_a_drawing_do_not() -> None:
    frame = iris().rename(columns={"sepal length (cm)": "$x_1$ {", "petal width (cm)": "幅 " * 30})
    frame["species"] = frame["species"].map(
        {"setosa": "$\\frac$", "versicolor": "日本", "virginica": "v" * 80}
    )
    assert len(drawn(frame, Recipe("species"))) == 4


def test_many_classes_still_fit() -> None:
    rng = np.random.default_rng(0)
    frame = customers(3_000)
    frame["churn"] = [f"class {i:02d}" for i in rng.integers(0, 30, len(frame))]
    assert len(drawn(frame, replace(CHURN, estimator="decision_tree"))) == 4


def test_the_same_training_gives_the_same_pictures() -> None:
    recipe = Recipe("age", estimator="ridge")
    fitted, data = trained(customers(), recipe)
    assert plots(fitted, data, recipe) == plots(fitted, data, recipe)


def test_the_roc_points_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    score = np.round(rng.random(400), 2)
    outcomes = rng.random(400) < score
    false_rate, true_rate = drawing._roc_points(outcomes, score)
    expected = roc_curve(outcomes, score, drop_intermediate=False)
    assert np.array_equal(false_rate, expected[0])
    assert true_rate == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("logistic", "spread"),
        ("random_forest", "log loss"),
        ("lightgbm", "log loss"),
        ("sklearn.svm.SVC", "log loss"),
    ],
)
def test_the_column_that_decides_is_the_most_important_and_noise_is_not(name: str, unit: str) -> None:
    fitted, data = trained(customers(800), replace(CHURN, estimator=name))
    found, meaning = importances(fitted, data, 0)
    assert unit in meaning
    assert set(found) == set(fitted.features)
    assert list(found)[:2] == ["visits", "plan"]
    assert found["visits"] > 5 * abs(found["age"])


def test_many_features_are_ranked_by_the_model_itself() -> None:
    rng = np.random.default_rng(0)
    frame = customers(300).assign(**{f"noise {i}": rng.normal(size=300) for i in range(60)})
    fitted, data = trained(frame, replace(CHURN, estimator="random_forest"))
    found, meaning = importances(fitted, data, 0)
    assert meaning == "share of the model's own importance"
    assert sum(found.values()) == pytest.approx(1)
    assert next(iter(found)) == "visits"
