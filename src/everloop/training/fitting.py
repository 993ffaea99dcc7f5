"""One training: a table and a recipe become a fitted pipeline, measured on rows it has not seen."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from everloop.core.errors import (
    DuplicateColumns,
    EmptyTable,
    ExperimentError,
    InvalidSettings,
    MLOpsError,
    TooFewRows,
    UnknownColumn,
    nearest,
)
from everloop.core.runs import Recipe, Task

from .estimators import build
from .metrics import business_metrics, classification_metrics, regression_metrics
from .preparation import prepare
from .splits import fold, split
from .targets import check_target, infer_task, missing, target_labels, target_values

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a training made. ``pipeline`` takes a pandas DataFrame of ``features``.

    ``classes`` are sorted labels, the columns of ``predictions``; ``()`` for regression. ``positive`` is set
    for two classes. ``train_index`` and ``test_index`` are positions in the table that was given, without the
    ``dropped_rows`` that have no target. ``metrics`` are of the test rows, ``series`` of the folds (training
    rows only). ``train_target``, ``test_target``: labels (str) or values (float); ``predictions``: what
    ``predict`` gives for the test rows.
    """

    pipeline: Pipeline
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...]
    positive: str | None
    train_index: np.ndarray
    test_index: np.ndarray
    dropped_rows: int
    metrics: dict[str, float]
    series: dict[str, tuple[float, ...]]
    predictions: np.ndarray
    train_target: np.ndarray
    test_target: np.ndarray
    notes: tuple[str, ...] = ()


def fit(
    table: pa.Table,
    recipe: Recipe,
    row_hashes: np.ndarray,
    *,
    factory: Callable[..., Any] | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Train as ``recipe`` says. ``row_hashes``: one 64-bit integer per row of ``table``. ``factory`` builds
    the estimator of a ``file.py:function`` recipe. ``progress`` hears a step's name and the share done
    (0 to 1).

    Everything that can be wrong with data or recipe is raised before any fitting: UnknownColumn, AllMissing,
    ConstantTarget, TooFewRows, WrongType, InvalidSettings. What the estimator itself raises comes as
    ExperimentError. Warnings of libraries become ``notes``.
    """
    tell = progress or _silent
    tell("preparing", 0.0)
    if table.num_rows == 0:
        raise EmptyTable("The table has no rows.", remedy="Bring some rows.")
    if recipe.folds < 0 or recipe.folds == 1:
        raise InvalidSettings(f"folds is {recipe.folds}.", remedy="Use 0 for none, or 2 and more.")
    features = chosen_features(table, recipe)
    absent = missing(table.column(recipe.target))
    check_target(recipe.target, table.column(recipe.target), absent)
    kept = np.flatnonzero(~absent)
    known = table if len(kept) == table.num_rows else table.take(pa.array(kept))
    target = known.column(recipe.target)
    task = recipe.task or infer_task(target)
    y = target_labels(target).astype(str) if task == "classification" else target_values(target)
    classes = tuple(str(c) for c in np.unique(y)) if task == "classification" else ()
    positive = _positive(recipe, classes)
    estimator = build(recipe, task, factory)

    asked = list(dict.fromkeys([*features, *([recipe.split.column] if recipe.split.column else [])]))
    _check_columns(known, asked, "Split column")
    frame = to_frame(known, asked)
    template = Pipeline([("preparation", prepare(frame, features, recipe, estimator)), ("model", estimator)])
    frame[recipe.target] = y
    hashes = np.asarray(row_hashes)[kept]
    plan = _split_for(recipe, task)
    train, test = split(frame, recipe.target, plan, hashes)
    _check_sides(y[train], y[test], classes, recipe)

    folds = _folds(frame.iloc[train], y[train], plan, hashes[train])
    notes: dict[str, None] = {}

    def judged(fitting: np.ndarray, judging: np.ndarray) -> tuple[Pipeline, np.ndarray, dict[str, float]]:
        pipeline = _fitted(template, frame[list(features)].iloc[fitting], y[fitting], notes)
        guess = _predicted(pipeline, frame[list(features)].iloc[judging], task)
        return pipeline, guess, measure(y[judging], guess, task, classes, positive, recipe)

    pipeline, predictions, metrics = judged(train, test)
    tell("fitted", 1 / (recipe.folds + 1))
    per_fold: list[dict[str, float]] = []
    for fitting, judging in folds:
        per_fold.append(judged(train[fitting], train[judging])[2])
        tell(f"fold {len(per_fold)} of {recipe.folds}", (len(per_fold) + 1) / (recipe.folds + 1))
    return Fitted(
        pipeline=pipeline,
        task=task,
        features=features,
        classes=classes,
        positive=positive,
        train_index=kept[train],
        test_index=kept[test],
        dropped_rows=table.num_rows - len(kept),
        metrics=metrics,
        series=_series(per_fold),
        predictions=predictions,
        train_target=y[train],
        test_target=y[test],
        notes=tuple(notes),
    )


def predict(pipeline: Pipeline, table: pa.Table, features: Sequence[str], task: Task) -> np.ndarray:
    """Probabilities (rows, classes; in the order of ``Fitted.classes``) or values (rows,), as float64.

    Columns may come as other types than in training (integers for floats, nulls only, new categories) and
    further columns may be there. Raises UnknownColumn for a missing feature, WrongType where values cannot
    be cast.
    """
    _check_columns(table, features, "Feature")
    if table.num_rows == 0:
        width = len(pipeline.classes_) if task == "classification" else 0
        return np.empty((0, width) if width else (0,))
    return _predicted(pipeline, to_frame(table, features), task)


def baseline(y_train: np.ndarray, y_test: np.ndarray, task: Task, classes: Sequence[str]) -> np.ndarray:
    """What the constant predictor (class shares or mean of the training rows) predicts for the test rows, in
    the form of ``predict``."""
    if task == "regression":
        return np.full(len(y_test), float(np.mean(y_train)))
    shares = np.array([np.mean(np.asarray(y_train) == c) for c in classes])
    return np.tile(shares, (len(y_test), 1))


def measure(
    y_true: np.ndarray,
    predictions: np.ndarray,
    task: Task,
    classes: Sequence[str],
    positive: str | None,
    recipe: Recipe,
) -> dict[str, float]:
    """The task's metrics, with the business ones when the recipe has amounts for two classes."""
    if task == "regression":
        return regression_metrics(y_true, predictions)
    found = classification_metrics(y_true, predictions, classes, positive)
    if recipe.business is not None and positive is not None:
        of_positive = predictions[:, list(classes).index(positive)]
        found |= business_metrics(y_true == positive, of_positive, recipe.business)
    return found


def chosen_features(table: pa.Table, recipe: Recipe) -> tuple[str, ...]:
    """The recipe's features in its order, or all columns but target, time, group and excluded ones."""
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DuplicateColumns(f"Column '{twice[0]}' exists more than once.", remedy="Rename one of them.")
    _check_columns(table, [recipe.target], "Target")
    _check_columns(table, recipe.features, "Feature")
    _check_columns(table, recipe.exclude, "Excluded column")
    if recipe.target in recipe.features:
        raise InvalidSettings(
            f"The target '{recipe.target}' is among the features.", remedy="Take it out of features."
        )
    left_out = {recipe.target, *recipe.exclude}
    if not recipe.features and recipe.split.column:
        left_out.add(recipe.split.column)
    wanted = recipe.features or tuple(table.column_names)
    features = tuple(dict.fromkeys(name for name in wanted if name not in left_out))
    if not features:
        raise InvalidSettings("No column is left as feature.", remedy="Exclude fewer columns.")
    return features


def _silent(step: str, share: float) -> None:
    """Nobody listens."""


def to_frame(table: pa.Table, names: Sequence[str]) -> pd.DataFrame:
    """The columns as pandas gives them; the same way at every place, so that training and serving agree."""
    frame: pd.DataFrame = table.select(list(names)).to_pandas(ignore_metadata=True, date_as_object=False)
    return frame


def _check_columns(table: pa.Table, names: Sequence[str], what: str) -> None:
    known = set(table.column_names)
    for name in names:
        if name not in known:
            raise UnknownColumn(f"{what} '{name}' does not exist.", remedy=nearest(name, known))


def _positive(recipe: Recipe, classes: tuple[str, ...]) -> str | None:
    if recipe.positive is None and recipe.business is None:
        return classes[1] if len(classes) == 2 else None
    if len(classes) != 2:
        raise InvalidSettings(
            f"A positive class and business amounts need two classes; '{recipe.target}' has {len(classes)}.",
            remedy="Remove 'positive' and 'business' from the recipe, or choose a target with two classes.",
        )
    if recipe.positive is None:
        return classes[1]
    for name in classes:
        if name.lower() == str(recipe.positive).lower():
            return name
    raise InvalidSettings(
        f"The positive class '{recipe.positive}' does not occur in target '{recipe.target}'.",
        remedy=nearest(str(recipe.positive), classes),
    )


def _split_for(recipe: Recipe, task: Task) -> Recipe:
    """Numbers cannot be stratified: a regression with the default split is split at random."""
    if task == "regression" and recipe.split.kind == "stratified":
        return replace(recipe, split=replace(recipe.split, kind="random"))
    return recipe


def _check_sides(train: np.ndarray, test: np.ndarray, classes: Sequence[str], recipe: Recipe) -> None:
    needed = max(2, recipe.folds + (recipe.split.kind == "time"))  # the first fold of time only trains
    if len(train) < needed:
        folds = f" for {recipe.folds} folds" if recipe.folds else ""
        raise TooFewRows(
            f"{len(train)} training row(s) are too few: {needed} are needed{folds}.",
            remedy="Bring more rows or ask for fewer folds.",
        )
    for name in classes:
        count = {"training": int(np.sum(train == name)), "test": int(np.sum(test == name))}
        for side, rows in count.items():
            if rows == 0:
                raise TooFewRows(
                    f"Class '{name}' of target '{recipe.target}' has no row on the {side} side.",
                    remedy="Bring more rows of this class, or choose another split or test_size.",
                )
        if count["training"] < recipe.folds:
            raise TooFewRows(
                f"Class '{name}' of target '{recipe.target}' has {count['training']} training rows, "
                f"which is fewer than {recipe.folds} folds.",
                remedy="Ask for fewer folds or bring more rows of this class.",
            )


def _folds(
    frame: pd.DataFrame, y: np.ndarray, recipe: Recipe, row_hashes: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    if not recipe.folds:
        return []
    found = list(fold(frame, recipe.target, recipe, row_hashes))
    known = len(np.unique(y))
    for number, (fitting, _) in enumerate(found, 1):
        if y.dtype.kind == "U" and len(np.unique(y[fitting])) < known:
            raise TooFewRows(
                f"Fold {number} of {recipe.folds} would train without one of the {known} classes.",
                remedy="Ask for fewer folds or bring more rows of the rare class.",
            )
    return found


def _fitted(template: Pipeline, X: pd.DataFrame, y: np.ndarray, notes: dict[str, None]) -> Pipeline:
    pipeline = clone(template)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pipeline.fit(X, y)
        except MLOpsError:
            raise
        except Exception as error:
            raise _explained(error, pipeline) from error
    for one in caught:
        if not issubclass(one.category, (DeprecationWarning, PendingDeprecationWarning)):
            notes[" ".join(str(one.message).split())[:300]] = None
    return pipeline


def _explained(error: Exception, pipeline: Pipeline) -> Exception:
    kind = type(pipeline.named_steps["model"]).__name__
    text = " ".join(str(error).split())
    if "parameter of" in text:
        return InvalidSettings(text, remedy="Correct it under params.")
    return ExperimentError(
        f"{kind} failed while fitting: {text}", remedy="Check the parameters and the data."
    )


def _predicted(pipeline: Pipeline, X: pd.DataFrame, task: Task) -> np.ndarray:
    if task == "classification":
        return np.asarray(pipeline.predict_proba(X), dtype=np.float64)
    return np.asarray(pipeline.predict(X), dtype=np.float64).reshape(len(X))


def _series(per_fold: list[dict[str, float]]) -> dict[str, tuple[float, ...]]:
    if not per_fold:
        return {}
    shared = [name for name in per_fold[0] if all(name in one for one in per_fold)]
    return {f"cv_{name}": tuple(one[name] for one in per_fold) for name in shared}
