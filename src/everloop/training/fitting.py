"""One training: a table and a recipe become a fitted pipeline, measured on rows it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from everloop.core.errors import TooFewRows
from everloop.core.runs import Choice, Recipe, Task, Tuned, Tuning

from . import trying, tuning, warm
from .estimators import Factory
from .learning import answers, effective, learn, row_losses, takes_weights
from .metrics import business_metrics, classification_metrics, regression_metrics
from .prepared import Prepared, check_columns, settle, to_frame

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a training made. ``pipeline`` takes a pandas DataFrame of ``features``.

    ``classes`` are sorted labels, the columns of ``predictions``; ``()`` for regression. ``positive`` is set
    for two classes. ``train_index`` and ``test_index`` are positions in the table that was given, without the
    ``dropped_rows`` that have no target; ``train_index`` without rows that do not count by ``choice``, and
    ``test_index`` without rows that the champion had learned where the fit is ``warm``. ``metrics`` are of
    the test rows, ``series`` of the folds (training rows only). ``train_target``, ``test_target``: labels
    (str) or values (float); ``predictions``: what ``predict`` gives for the test rows.
    """

    pipeline: Pipeline
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...]
    positive: str | None
    train_index: np.ndarray
    test_index: np.ndarray
    dropped_rows: int
    choice: Choice
    tuned: Tuned | None
    warm: bool
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
    factory: Factory = None,
    progress: Progress | None = None,
    times: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    judges: np.ndarray | None = None,
    base: warm.Base | None = None,
    clock: Callable[[], float] | None = None,
) -> Fitted:
    """Train as ``recipe`` says. ``row_hashes``: one 64-bit integer per row of ``table``. ``factory`` builds
    the estimator of a ``file.py:function`` recipe. ``progress`` hears a step's name and the share done
    (0 to 1). ``times``: seconds since the epoch, one per row, instead of the recipe's ``time_column``.
    ``weights``: what each row counts, as the inverse of the probability that it is there [1]. ``judges``:
    whether a row may be a test row [each], where that leaves enough. ``base`` is the champion, for a warm
    start. ``clock`` gives the seconds that tuning may take; without it only its number of trials ends it.

    Everything that can be wrong with data or recipe is raised before any fitting: UnknownColumn, AllMissing,
    ConstantTarget, TooFewRows, WrongType, InvalidSettings. What the estimator itself raises comes as
    ExperimentError. Warnings of libraries become ``notes``.
    """
    tell = progress or _silent
    tell("preparing", 0.0)
    work = settle(table, recipe, row_hashes, factory)
    notes: dict[str, None] = {}
    if judges is not None:
        work = _only(work, judges[work.kept], notes)
    folds = work.folds(recipe.folds)
    wanted = recipe.tune
    if wanted is not None:
        _check_spaces(work, recipe, wanted, factory)
    every, choice = trying.choose(table, recipe, times)
    when = None if every is None else trying.Times(every.values[work.kept], every.real)
    if recipe.data == "try" and when is not None:
        tell("trying which rows count", 0.0)
        choice = trying.attempt(when, work.train, partial(_judged, work))
    weigh = _Weighing(work, when, choice, None if weights is None else weights[work.kept]).possible()

    tuned = None
    if wanted is not None:
        tell("tuning", 0.0)
        tuned = _tuned(work, recipe, wanted, weigh, factory, clock or (lambda: 0.0))
        params = {**recipe.params, **tuned.params}
        work = replace(work, template=work.with_params(params, factory))

    counts = weigh(work.train)
    test, cold = _going_on(base, work) if recipe.warm_start else (work.test, "not asked for")
    if base is not None and cold is None:
        pipeline = warm.go_on(base, work.template, *work.rows(work.train), counts, notes)
    else:
        pipeline = learn(work.template, *work.rows(work.train), counts, notes)
    if recipe.warm_start and cold is not None:
        notes[f"Trained anew, not from the champion's fit: {cold}."] = None

    def measured(rows: np.ndarray, guess: np.ndarray) -> dict[str, float]:
        return measure(work.y[rows], guess, work.task, work.classes, work.positive, recipe)

    predictions = answers(pipeline, work.rows(test)[0], work.task)
    tell("fitted", 1 / (recipe.folds + 1))
    per_fold: list[dict[str, float]] = []
    for fitting, judging in folds:
        fitted = learn(work.template, *work.rows(fitting), weigh(fitting), notes)
        per_fold.append(measured(judging, answers(fitted, work.rows(judging)[0], work.task)))
        tell(f"fold {len(per_fold)} of {recipe.folds}", (len(per_fold) + 1) / (recipe.folds + 1))
    used = work.train if counts is None else work.train[counts > 0]
    if said := weigh.left_out(len(work.train) - len(used)):
        notes[said] = None
    return Fitted(
        pipeline=pipeline,
        task=work.task,
        features=work.features,
        classes=work.classes,
        positive=work.positive,
        train_index=work.kept[used],
        test_index=work.kept[test],
        dropped_rows=table.num_rows - len(work.kept),
        choice=weigh.choice,
        tuned=tuned,
        warm=cold is None,
        metrics=measured(test, predictions),
        series=_series(per_fold),
        predictions=predictions,
        train_target=work.y[used],
        test_target=work.y[test],
        notes=tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Weighing:
    """What training rows count, by ``choice``, by how they came (``before``, of all kept rows), and by what
    the estimator takes."""

    work: Prepared
    times: trying.Times | None
    choice: Choice
    before: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray | None:
        """(len(rows),), as of the latest of them; None where all count alike, or a class would get lost."""
        weights = np.ones(len(rows)) if self.before is None else self.before[rows]
        if self.times is not None and self.choice.chosen != "all":
            weights = weights * self.times.weights(self.choice.chosen, rows)
        weights = effective(self.work.template["model"], weights)
        return None if (weights == weights[0]).all() or self._lost(rows, weights) else weights

    def possible(self) -> _Weighing:
        """The same, or all rows where the choice would leave out a class that is in the training rows."""
        if self.times is None or self.choice.chosen == "all":
            return self
        rows = self.work.train
        weights = effective(self.work.template["model"], self.times.weights(self.choice.chosen, rows))
        lost = self._lost(rows, weights)
        if not lost:
            return self
        reason = f"all rows count: {self.choice.chosen} ones have none of class '{lost[0]}'"
        return replace(self, choice=replace(self.choice, chosen="all", reason=reason))

    def left_out(self, rows: int) -> str | None:
        """What to say of rows that an estimator without weights does not learn."""
        model = self.work.template["model"]
        if not rows or self.choice.chosen not in ("weighted", "seasonal") or takes_weights(model):
            return None
        return (
            f"{type(model).__name__} takes no weights: {rows:,} rows that would count little were left out."
        )

    def _lost(self, rows: np.ndarray, weights: np.ndarray) -> list[str]:
        y = self.work.y[rows]
        return sorted({*y} - {*y[weights > 0]}) if self.work.task == "classification" else []


def _only(work: Prepared, judges: np.ndarray, notes: dict[str, None]) -> Prepared:
    """Tested on rows that may judge."""
    test = work.test[judges[work.test]]
    try:
        work.check_test(test)
    except TooFewRows:
        notes["Too few of the test rows were held out: the metrics are of what answers let be seen."] = None
        return work
    return replace(work, test=test)


def _judged(work: Prepared, past: np.ndarray, weights: np.ndarray, block: np.ndarray) -> np.ndarray:
    """The losses of a block's rows after learning the past with these weights."""
    pipeline = learn(work.template, *work.rows(past), effective(work.template["model"], weights))
    return row_losses(pipeline, *work.rows(block), work.task)


def _check_spaces(work: Prepared, recipe: Recipe, wanted: Tuning, factory: Factory) -> None:
    """Raises InvalidSettings for a parameter that the estimator does not have, and MissingExtra without
    Optuna."""
    tuning.load()
    if factory is None:
        first = {name: space[0] for name, space in tuning.spaces(recipe, wanted).items()}
        work.with_params({**recipe.params, **first}, factory)


def _tuned(
    work: Prepared,
    recipe: Recipe,
    wanted: Tuning,
    weigh: _Weighing,
    factory: Factory,
    clock: Callable[[], float],
) -> Tuned:
    """By folds of the training rows, of the recipe's kind. Where the folds are not of time, judged rows
    count as trained ones do."""
    try:
        folds = work.folds(recipe.folds or tuning.FOLDS)
    except TooFewRows as error:
        return Tuned({}, 0, 0.0, f"nothing was tuned: {error.message}")
    counted = np.ones(len(work.y))
    weights = weigh(work.train)
    if weights is not None and work.plan.split.kind != "time":
        counted[work.train] = weights

    def judge(params: Mapping[str, Any]) -> list[Callable[[], float]]:
        template = work.with_params({**recipe.params, **params}, factory)

        def loss(fitting: np.ndarray, judging: np.ndarray) -> float:
            pipeline = learn(template, *work.rows(fitting), weigh(fitting))
            losses, shares = row_losses(pipeline, *work.rows(judging), work.task), counted[judging]
            return float(np.average(losses, weights=shares if shares.any() else None))

        return [partial(loss, *sides) for sides in folds]

    return tuning.tune(recipe, wanted, judge, clock)


def _going_on(base: warm.Base | None, work: Prepared) -> tuple[np.ndarray, str | None]:
    """The test rows for a model that goes on from the champion's fit, without rows that it was fitted to;
    or all of them and why it is trained anew."""
    cold = warm.obstacle(base, work.template, work.plan, work.task, work.features, work.classes)
    if base is None or cold is not None:
        return work.test, cold
    test = work.test[~base.seen[work.kept][work.test]]
    try:
        if len(test) == 0:
            return work.test, "the champion was fitted to all rows that could test it"
        work.check_test(test)
    except TooFewRows as error:
        return work.test, f"without the rows that the champion was fitted to: {error.message.rstrip('.')}"
    return test, None


def predict(pipeline: Pipeline, table: pa.Table, features: Sequence[str], task: Task) -> np.ndarray:
    """Probabilities (rows, classes; in the order of ``Fitted.classes``) or values (rows,), as float64.

    Columns may come as other types than in training (integers for floats, nulls only, new categories) and
    further columns may be there. Raises UnknownColumn for a missing feature, WrongType where values cannot
    be cast.
    """
    check_columns(table, features, "Feature")
    if table.num_rows == 0:
        width = len(pipeline.classes_) if task == "classification" else 0
        return np.empty((0, width) if width else (0,))
    return answers(pipeline, to_frame(table, features), task)


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


def _silent(step: str, share: float) -> None:
    """Nobody listens."""


def _series(per_fold: list[dict[str, float]]) -> dict[str, tuple[float, ...]]:
    if not per_fold:
        return {}
    shared = [name for name in per_fold[0] if all(name in one for one in per_fold)]
    return {f"cv_{name}": tuple(one[name] for one in per_fold) for name in shared}
