"""Every model that any policy could have trained: one per step and choice of rows, trained once and kept.

The model of step s has learnt labels of steps up to s - 2 (a label is one step late), but for the fifth of
the rows that the product holds out to judge by. So a policy is replayed in a moment.
"""

from __future__ import annotations

import warnings

import numpy as np

from everloop.core.decisions import GatePolicy, GateVerdict
from everloop.core.runs import Preparation, Recipe
from everloop.deployment import gate
from everloop.flows.gating import FRESH
from everloop.retraining import trial
from everloop.training import choices, trying
from everloop.training.estimators import build
from everloop.training.preparation import prepare
from everloop.training.splits import uniforms

from .streams import FOLDER, Stream

DELAY = 1  # steps that a label is late
Model = tuple[int, str]  # the step at which it was trained, and the choice of rows
RECIPE = Recipe("target", estimator="lightgbm", preparation=Preparation(numeric_missing="keep"), seed=42)


class Bank:
    """Models by (step, choice). They are trained when they are first asked for, and kept by ``keep``."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.held = uniforms(np.arange(len(stream.truth)), RECIPE.seed) < RECIPE.split.test_size
        self._path = FOLDER / f"{stream.name.replace(' ', '-')}-models.npz"
        self._answers: dict[Model, np.ndarray] = {}
        self._tried: dict[int, tuple[str, int]] = {}
        self._inputs: np.ndarray | None = None
        self._new = False
        if self._path.exists():
            kept = np.load(self._path)
            for name in kept.files:
                step, _, choice = name.partition("|")
                if choice.startswith("tried "):
                    self._tried[int(step)] = choice.removeprefix("tried "), int(kept[name])
                else:
                    self._answers[int(step), choice] = kept[name]

    def known(self, step: int) -> int:
        """Rows that are labelled when the step begins."""
        return int(np.searchsorted(self.stream.step, step - DELAY))

    def rows(self, first: int, last: int | None = None) -> slice:
        """The rows of a step, or of the steps from the first to the last."""
        begin, end = np.searchsorted(self.stream.step, [first, (first if last is None else last) + 1])
        return slice(int(begin), int(end))

    def answers(self, model: Model, rows: slice | np.ndarray) -> np.ndarray:
        """A model's answers to rows of the stream."""
        if model not in self._answers:
            self._answers[model] = self._fitted(model)
            self._new = True
        return self._answers[model][rows].astype(np.float64)

    def losses(self, model: Model, step: int) -> np.ndarray:
        rows = self.rows(step)
        return losses(self.stream.task, self.stream.truth[rows], self.answers(model, rows))

    def tried(self, step: int) -> tuple[str, int]:
        """The choice of rows that the product's trial of choices finds, and how many models it fits."""
        if step not in self._tried:
            rows = np.flatnonzero(~self.held[: self.known(step)])
            found = trying.attempt(trying.Times(self.stream.times, real=True), rows, self._judged)
            self._tried[step] = found.chosen, sum(len(each) for each in found.losses.values())
            self._new = True
        return self._tried[step]

    def gate(self, champion: Model, challenger: Model) -> tuple[GateVerdict, bool]:
        """The product's gate as it is set by default: on the rows that were held out and are new since the
        champion was trained; and whether these are enough (else all that were held out are taken)."""
        unseen = np.flatnonzero(self.held[: self.known(challenger[0])])
        new = unseen[unseen >= self.known(champion[0])]
        fresh = len(new) >= FRESH
        return self._judged_on(champion, challenger, new if fresh else unseen, GatePolicy()), fresh

    def gate_again(self, champion: Model, challenger: Model, step: int) -> GateVerdict:
        """The same of a candidate on trial, on all rows that were labelled since it was trained."""
        later = np.arange(self.known(challenger[0]), self.known(step))
        return self._judged_on(champion, challenger, later, trial.policy(GatePolicy()))

    def _judged_on(
        self, champion: Model, challenger: Model, rows: np.ndarray, policy: GatePolicy
    ) -> GateVerdict:
        name = f"of step {champion[0]}"
        stream, of_classes = self.stream, self.stream.task == "classification"

        def given(model: Model) -> np.ndarray:
            said = self.answers(model, rows)
            return np.column_stack([1 - said, said]) if of_classes else said

        truth = stream.truth[rows]
        return gate.judge(
            policy,
            task=stream.task,
            classes=("0", "1") if of_classes else (),
            positive="1" if of_classes else None,
            truth=truth.astype(int).astype(str) if of_classes else truth,
            champion=given(champion),
            challenger=given(challenger),
            baseline=None,
            slices={},
            champion_name=name,
        )

    def keep(self) -> None:
        if self._new:
            told = {f"{step}|{choice}": each for (step, choice), each in self._answers.items()}
            tries = {f"{step}|tried {name}": np.array(fits) for step, (name, fits) in self._tried.items()}
            FOLDER.mkdir(exist_ok=True)
            np.savez(self._path, **told, **tries)
            self._new = False

    def encoded(self) -> np.ndarray:
        """The product's preparation for trees, of the whole stream: so all models share a coding."""
        if self._inputs is None:
            frame = self.stream.inputs
            pipe = prepare(frame, list(frame.columns), RECIPE, build(RECIPE, self.stream.task))
            self._inputs = np.asarray(pipe.fit_transform(frame), dtype=np.float32)
        return self._inputs

    def _fitted(self, model: Model) -> np.ndarray:
        step, choice = model
        rows = np.flatnonzero(~self.held[: self.known(step)])
        times = self.stream.times[rows]
        weights = choices.weights(choice, times, float(times.max()))
        return self._learnt(rows, weights, slice(None)).astype(np.float32)

    def _judged(self, past: np.ndarray, weights: np.ndarray, block: np.ndarray) -> np.ndarray:
        return losses(self.stream.task, self.stream.truth[block], self._learnt(past, weights, block))

    def _learnt(self, rows: np.ndarray, weights: np.ndarray, asked: slice | np.ndarray) -> np.ndarray:
        X, stream, taken = self.encoded(), self.stream, weights > 0
        fitted = build(RECIPE, stream.task)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LightGBM warns of names that an array does not have
            fitted.fit(X[rows[taken]], stream.truth[rows[taken]], sample_weight=weights[taken])
            if stream.task == "regression":
                return np.asarray(fitted.predict(X[asked]))
            return np.asarray(fitted.predict_proba(X[asked])[:, 1])


def losses(task: str, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Log loss or squared error of each row."""
    if task == "regression":
        return np.asarray((truth - answers) ** 2)
    sure = np.clip(answers, 1e-6, 1 - 1e-6)
    return np.asarray(-np.log(np.where(truth == 1, sure, 1 - sure)))
