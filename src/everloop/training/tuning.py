"""Look for parameters with Optuna: by cross-validation on training rows, within seconds and trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from everloop.core.errors import ExperimentError, InvalidSettings, MissingExtra
from everloop.core.runs import Recipe, Tuned, Tuning

from .estimators import short_name

FOLDS = 3  # where the recipe asks for none

Space = tuple[Any, ...]
_RATE: Space = (0.01, 0.3, "log")
_ROUNDS: Space = (50, 500, "log")
_SHARE: Space = (0.5, 1.0)
_PENALTY: Space = (0.001, 10.0, "log")
_FOREST: Mapping[str, Space] = {"max_features": (0.1, 1.0), "min_samples_leaf": (1, 50, "log")}
USUAL: dict[str, Mapping[str, Space]] = {
    "logistic": {"C": (0.001, 100.0, "log")},
    "ridge": {"alpha": (0.001, 1000.0, "log")},
    "decision_tree": {"max_depth": (2, 16), "min_samples_leaf": (1, 100, "log")},
    "random_forest": _FOREST,
    "extra_trees": _FOREST,
    "gradient_boosting": {
        "learning_rate": _RATE, "n_estimators": _ROUNDS, "max_depth": (2, 8), "subsample": _SHARE,
    },
    "hist_gradient_boosting": {
        "learning_rate": _RATE, "max_iter": _ROUNDS, "max_leaf_nodes": (7, 127, "log"),
        "min_samples_leaf": (5, 200, "log"), "l2_regularization": _PENALTY,
    },
    "xgboost": {
        "learning_rate": _RATE, "n_estimators": _ROUNDS, "max_depth": (2, 10), "subsample": _SHARE,
        "colsample_bytree": _SHARE, "min_child_weight": (1, 50, "log"), "reg_lambda": _PENALTY,
    },
    "lightgbm": {
        "learning_rate": _RATE, "n_estimators": _ROUNDS, "num_leaves": (7, 127, "log"),
        "min_child_samples": (5, 200, "log"), "colsample_bytree": _SHARE, "reg_lambda": _PENALTY,
    },
}  # fmt: skip
"""Where each estimator's parameters are looked for when nobody says."""

Judge = Callable[[Mapping[str, Any]], Sequence[Callable[[], float]]]
"""Parameters -> for each fold what computes its mean loss."""


class _OutOfTime(Exception):
    """The next fold would end after the budget."""


def spaces(recipe: Recipe, wanted: Tuning) -> Mapping[str, Space]:
    """Where to look: what was asked for, or the estimator's usual spaces without the parameters that the
    recipe sets. Raises InvalidSettings where there is nothing to look for."""
    if wanted.params:
        return wanted.params
    usual = USUAL.get(short_name(recipe.estimator) or "", {})
    found = {name: space for name, space in usual.items() if name not in recipe.params}
    if not found:
        raise InvalidSettings(
            f"There is nothing to tune for estimator '{recipe.estimator}'.",
            remedy="Say where to look: training.tune.params: {alpha: [0.001, 10, log]}, or take tune out.",
        )
    return found


def tune(recipe: Recipe, wanted: Tuning, judge: Judge, clock: Callable[[], float]) -> Tuned:
    """The parameters with the smallest mean loss over the folds, if smaller than with the recipe's own.

    ``clock`` gives seconds. A fold is not begun when one as long as the longest so far would end after
    ``wanted.seconds``; a trial that is worse than half of the others by then is given up. Trials follow the
    recipe's seed: as many of them give the same again. Raises MissingExtra without Optuna.
    """
    space = spaces(recipe, wanted)
    optuna = load()
    begun, longest = clock(), 0.0

    def folds(params: Mapping[str, Any]) -> Iterator[float]:
        nonlocal longest
        for fold in judge(params):
            at = clock()
            if at - begun + longest > wanted.seconds:
                raise _OutOfTime
            loss = fold()
            longest = max(longest, clock() - at)
            yield loss

    def ended(
        why: str, trials: int, before: float | None, best: tuple[float, dict[str, Any]] | None
    ) -> Tuned:
        seconds = clock() - begun
        if best is None or before is None or not best[0] < before:
            return Tuned({}, trials, seconds, why, before, before)
        return Tuned(best[1], trials, seconds, why, best[0], before)

    try:
        before = float(np.mean(list(folds({}))))
    except _OutOfTime:
        return ended(f"{wanted.seconds:g} s are too few for one cross-validation", 0, None, None)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=recipe.seed), pruner=optuna.pruners.MedianPruner()
    )
    best: tuple[float, dict[str, Any]] | None = None
    failed = ""
    for number in range(wanted.trials):
        trial = study.ask()
        params = {name: _suggested(trial, name, one) for name, one in space.items()}
        try:
            loss = _mean(trial, folds(params))
        except _OutOfTime:
            return ended(f"the {wanted.seconds:g} s were over", number + 1, before, best)
        except ExperimentError as error:
            failed = error.message
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        if loss is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        study.tell(trial, loss)
        if best is None or loss < best[0]:
            best = loss, params
    why = f"all {wanted.trials} trials were made"
    if best is None and failed:
        why += f", and none could be fitted: {failed}"
    return ended(why, wanted.trials, before, best)


def _mean(trial: Any, losses: Iterator[float]) -> float | None:
    """None for a trial that was given up."""
    seen: list[float] = []
    for loss in losses:
        seen.append(loss)
        trial.report(float(np.mean(seen)), len(seen))
        if trial.should_prune():
            return None
    return float(np.mean(seen))


def _suggested(trial: Any, name: str, space: Space) -> Any:
    numbers = [v for v in space[:2] if isinstance(v, (int, float)) and not isinstance(v, bool)]
    logarithmic = len(space) == 3 and space[2] == "log"
    if len(numbers) < 2 or not (len(space) == 2 or logarithmic):
        return space[trial.suggest_categorical(name, list(range(len(space))))]
    if all(isinstance(v, int) for v in numbers):
        return trial.suggest_int(name, *numbers, log=logarithmic)
    return trial.suggest_float(name, *map(float, numbers), log=logarithmic)


def load() -> Any:
    """Optuna. Raises MissingExtra where it is not installed."""
    try:
        return import_module("optuna")
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "optuna", "tuning") from error
