"""Every model that any policy could have trained: one per step and choice of rows, trained once and kept.

The model of step s has learnt the labels of steps up to s - 2 (a label is one step late) and answers all
steps from s - 1 on. So a policy is replayed in a moment, and a trial that holds the newest labelled step
back is the model of the step before.
"""

from __future__ import annotations

import warnings

import numpy as np

from everloop.core.runs import Preparation, Recipe
from everloop.training import choices
from everloop.training.estimators import build
from everloop.training.preparation import prepare

from .streams import FOLDER, Stream

DELAY = 1  # steps that a label is late
Model = tuple[int, str]  # the step at which it was trained, and the choice of rows
RECIPE = Recipe("target", estimator="lightgbm", preparation=Preparation(numeric_missing="keep"), seed=42)


class Bank:
    """Models by (step, choice). They are trained when they are first asked for, and kept by ``keep``."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._path = FOLDER / f"{stream.name.replace(' ', '-')}.npz"
        self._answers: dict[Model, np.ndarray] = {}
        self._inputs: np.ndarray | None = None
        self._new = False
        if self._path.exists():
            kept = np.load(self._path)
            for name in kept.files:
                step, _, choice = name.partition("|")
                self._answers[int(step), choice] = kept[name]

    def choices(self, step: int) -> tuple[str, ...]:
        return choices.possible(self.stream.times[: self.known(step)], self._now(step))

    def known(self, step: int) -> int:
        """Rows that are labelled when the step begins."""
        return int(np.searchsorted(self.stream.step, step - DELAY))

    def rows(self, first: int, last: int | None = None) -> slice:
        """The rows of a step, or of the steps from the first to the last."""
        begin, end = np.searchsorted(self.stream.step, [first, (first if last is None else last) + 1])
        return slice(int(begin), int(end))

    def answers(self, model: Model, first: int, last: int | None = None) -> np.ndarray:
        """A model's answers to the rows of a step, or of several."""
        if model not in self._answers:
            self._answers[model] = self._fitted(model)
            self._new = True
        at, rows = self.rows(model[0] - 1).start, self.rows(first, last)
        return self._answers[model][rows.start - at : rows.stop - at].astype(np.float64)

    def losses(self, model: Model, first: int, last: int | None = None) -> np.ndarray:
        truth = self.stream.truth[self.rows(first, last)]
        return losses(self.stream.task, truth, self.answers(model, first, last))

    def keep(self) -> None:
        if self._new:
            told = {f"{step}|{choice}": each for (step, choice), each in self._answers.items()}
            np.savez(self._path, **told)
            self._new = False

    def encoded(self) -> np.ndarray:
        """The product's preparation for trees, of the whole stream: so all models share a coding."""
        if self._inputs is None:
            frame = self.stream.inputs
            pipe = prepare(frame, list(frame.columns), RECIPE, build(RECIPE, self.stream.task))
            self._inputs = np.asarray(pipe.fit_transform(frame), dtype=np.float32)
        return self._inputs

    def _now(self, step: int) -> float:
        return float(self.stream.times[self.rows(step).start])

    def _fitted(self, model: Model) -> np.ndarray:
        step, choice = model
        known, X, stream = self.known(step), self.encoded(), self.stream
        weight = choices.weights(choice, stream.times[:known], self._now(step))
        taken = weight > 0
        fitted = build(RECIPE, stream.task)
        begin = self.rows(step - 1).start
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LightGBM warns of names that an array does not have
            fitted.fit(X[:known][taken], stream.truth[:known][taken], sample_weight=weight[taken])
            if stream.task == "regression":
                return np.asarray(fitted.predict(X[begin:]), dtype=np.float32)
            return np.asarray(fitted.predict_proba(X[begin:])[:, 1], dtype=np.float32)


def losses(task: str, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Log loss or squared error of each row."""
    if task == "regression":
        return np.asarray((truth - answers) ** 2)
    sure = np.clip(answers, 1e-6, 1 - 1e-6)
    return np.asarray(-np.log(np.where(truth == 1, sure, 1 - sure)))
