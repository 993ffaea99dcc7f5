"""What is settled before anything is fitted: features, target, the sides of the split, the folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline

from everloop.core.errors import (
    DuplicateColumns,
    EmptyTable,
    InvalidSettings,
    TooFewRows,
    UnknownColumn,
    nearest,
)
from everloop.core.runs import Recipe, Task

from .estimators import Factory, build
from .preparation import prepare
from .splits import fold, split
from .targets import check_target, infer_task, missing, target_labels, target_values


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training before it begins. Rows are positions in ``frame`` and ``y``, which hold the ``kept`` rows
    of the table, those with a target. ``frame`` has features, split column and target; ``template`` is the
    unfitted pipeline; ``plan`` is the recipe with the split that is made; ``hashes`` are of the rows."""

    frame: pd.DataFrame
    y: np.ndarray
    kept: np.ndarray
    hashes: np.ndarray
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...]
    positive: str | None
    template: Pipeline
    plan: Recipe
    train: np.ndarray
    test: np.ndarray

    def rows(self, where: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Features and target at the positions."""
        return self.frame[list(self.features)].iloc[where], self.y[where]

    def folds(self, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """(Fitting, judging) rows of so many folds of the training rows; none for 0. Raises TooFewRows."""
        plan = replace(self.plan, folds=number)
        found = _folds(self.frame.iloc[self.train], self.y[self.train], plan, self.hashes[self.train])
        return [(self.train[fitting], self.train[judging]) for fitting, judging in found]

    def with_params(self, params: Mapping[str, Any], factory: Factory) -> Pipeline:
        """The template with an estimator of other parameters. Raises InvalidSettings for unknown ones."""
        estimator = build(replace(self.plan, params=params), self.task, factory)
        return Pipeline([("preparation", self.template["preparation"]), ("model", estimator)])

    def check_test(self, test: np.ndarray) -> None:
        """Raises TooFewRows where these rows, instead of ``test``, cannot judge."""
        _check_sides(self.y[self.train], self.y[test], self.classes, self.plan)


def settle(table: pa.Table, recipe: Recipe, row_hashes: np.ndarray, factory: Factory) -> Prepared:
    """Check data and recipe, and divide the rows. Raises what ``fitting.fit`` says."""
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
    check_columns(known, asked, "Split column")
    frame = to_frame(known, asked)
    template = Pipeline([("preparation", prepare(frame, features, recipe, estimator)), ("model", estimator)])
    frame[recipe.target] = y
    hashes = np.asarray(row_hashes)[kept]
    plan = _split_for(recipe, task)
    train, test = split(frame, recipe.target, plan, hashes)
    _check_sides(y[train], y[test], classes, recipe)
    return Prepared(frame, y, kept, hashes, task, features, classes, positive, template, plan, train, test)


def chosen_features(table: pa.Table, recipe: Recipe) -> tuple[str, ...]:
    """The recipe's features in its order, or all columns but target, time, group and excluded ones."""
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DuplicateColumns(f"Column '{twice[0]}' exists more than once.", remedy="Rename one of them.")
    check_columns(table, [recipe.target], "Target")
    check_columns(table, recipe.features, "Feature")
    check_columns(table, recipe.exclude, "Excluded column")
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


def to_frame(table: pa.Table, names: Sequence[str]) -> pd.DataFrame:
    """The columns as pandas gives them; the same way at every place, so that training and serving agree."""
    chosen = table.select(list(names)).replace_schema_metadata()  # ``ignore_metadata`` would read them first
    frame: pd.DataFrame = chosen.to_pandas(date_as_object=False)
    return frame


def check_columns(table: pa.Table, names: Sequence[str], what: str) -> None:
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
