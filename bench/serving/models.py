"""The models that all servers serve, made with fixed seeds, and a hundred rows with scikit-learn's answers.

``python -m bench.serving.models FOLDER`` makes them with the scikit-learn of that interpreter. A model's
folder holds ``model.joblib`` (a scikit-learn pipeline), ``model.json`` (columns, classes, rows, labels) and
``data.csv`` (what it was fitted on, with the target).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

TARGET = "outcome"
ROWS = 100
MARGIN = 0.001
TEXTS = {
    "plan": ("free", "basic", "team", "business"),
    "city": ("Bern", "Lyon", "Oslo", "Porto", "Riga", "Turin", "Vienna", "Zagreb"),
    "channel": ("web", "shop", "partner"),
    "device": ("phone", "tablet", "laptop", "desktop", "watch"),
}


@dataclass(frozen=True)
class Model:
    """``rows`` are JSON values in the order of ``columns``; ``labels`` are scikit-learn's for them.
    ``matrix``: every value is a number. ``native``: made so that no converter takes it."""

    name: str
    folder: Path
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    labels: tuple[str, ...]
    matrix: bool
    native: bool


def make(folder: Path, name: str) -> Model:
    """Fit one of ``MODELS`` and write its folder below ``folder``."""
    frame, target, pipeline = MODELS[name]()
    place = folder / name
    place.mkdir(parents=True)
    matrix = all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)
    pipeline.fit(frame.to_numpy() if matrix else frame, target)
    chosen, probabilities = _clear_rows(pipeline, frame, matrix)
    classes = tuple(str(each) for each in pipeline.classes_)
    model = Model(
        name=name,
        folder=place,
        columns=tuple(frame.columns),
        classes=classes,
        rows=tuple(tuple(row) for row in chosen.astype(object).to_numpy().tolist()),
        labels=tuple(classes[best] for best in probabilities.argmax(axis=1)),
        matrix=matrix,
        native=name == "native",
    )
    joblib.dump(pipeline, place / "model.joblib")
    frame.assign(**{TARGET: target}).to_csv(place / "data.csv", index=False)
    (place / "model.json").write_text(json.dumps({**asdict(model), "folder": str(place)}))
    return model


def read(folder: Path, name: str) -> Model:
    """A model that ``make`` has made there."""
    told = json.loads((folder / name / "model.json").read_text())
    lists = {key: tuple(told[key]) for key in ("columns", "classes", "labels")}
    return Model(**{**told, **lists, "folder": folder / name, "rows": tuple(map(tuple, told["rows"]))})


def _clear_rows(pipeline: Any, frame: pd.DataFrame, matrix: bool) -> tuple[pd.DataFrame, Any]:
    """Rows whose label does not hang on the last digit: two right servers never differ on them."""
    mixed = frame.sample(frac=1, random_state=3)
    probabilities = pipeline.predict_proba(mixed.to_numpy() if matrix else mixed)
    ranked = np.sort(probabilities, axis=1)
    clear = np.flatnonzero(ranked[:, -1] - ranked[:, -2] > MARGIN)[:ROWS]
    return mixed.iloc[clear], probabilities[clear]


def _iris() -> tuple[pd.DataFrame, Any, Any]:
    data = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names]
    target = data.target_names[data.target]
    return pd.DataFrame(data.data, columns=names), target, LogisticRegression(max_iter=1000)


def _cancer() -> tuple[pd.DataFrame, Any, Any]:
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    target = data.target_names[data.target]
    forest = RandomForestClassifier(n_estimators=100, random_state=0)
    return pd.DataFrame(data.data, columns=names), target, forest


def _native() -> tuple[pd.DataFrame, Any, Any]:
    """The same forest behind a step that changes nothing here (no value is negative) and has no converter."""
    frame, target, forest = _cancer()
    return frame, target, make_pipeline(FunctionTransformer(np.abs), forest)


def _mixed() -> tuple[pd.DataFrame, Any, Any]:
    random = np.random.default_rng(11)
    rows = 4000
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, rows).astype(float),
            "income": random.lognormal(10.5, 0.6, rows).round(2),
            "balance": random.normal(1200, 900, rows).round(2),
            "tenure": random.exponential(24, rows).round(1),
            "visits": random.poisson(9, rows).astype(float),
            "score": random.random(rows).round(4),
            **{name: random.choice(levels, rows) for name, levels in TEXTS.items()},
        }
    )
    pull = (
        (frame["score"] - 0.5) * 4
        - frame["tenure"] / 30
        + (frame["plan"] == "free") * 1.5
        + (frame["city"].isin(["Oslo", "Riga"]) & (frame["age"] < 40)) * 1.2
    )
    target = np.where(random.random(rows) < 1 / (1 + np.exp(-pull)), "leaves", "stays")
    numbers = [name for name in frame.columns if name not in TEXTS]
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(TEXTS)),
        (StandardScaler(), numbers),
    )
    return frame, target, make_pipeline(prepare, HistGradientBoostingClassifier(random_state=0))


MODELS: dict[str, Callable[[], tuple[pd.DataFrame, Any, Any]]] = {
    "iris": _iris,
    "cancer": _cancer,
    "mixed": _mixed,
    "native": _native,
}
TITLES = {
    "iris": "iris: logistic regression, 4 numbers",
    "cancer": "cancer: random forest of 100 trees, 30 numbers",
    "mixed": "mixed: one-hot, scaler, HistGradientBoosting; 6 numbers and 4 texts",
    "native": "native: the forest behind a step that no converter takes, so scikit-learn serves it",
}


if __name__ == "__main__":
    for each in MODELS:
        make(Path(sys.argv[1]), each)
