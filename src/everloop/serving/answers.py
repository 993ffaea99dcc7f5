"""Scores of a model -> what is told: a label, how sure, the probabilities; and the line that is logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from everloop.core.errors import Unavailable
from everloop.core.serving import Form, codes_of

DIGITS = 7  # of probabilities: what float32 holds


class RowsFailed(Unavailable):
    """A model raised an error over some rows, or gave no number. It may answer most of them by themselves."""


class Outcome(msgspec.Struct, omit_defaults=True, gc=False):
    """What a model says of one row. ``prediction`` is the class as a number (its own value where all classes
    are whole numbers, else its place among them), or the value of a regression."""

    prediction: int | float
    prediction_name: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None


@dataclass(frozen=True)
class By:
    """Who answers. ``release``, and the ``probability`` with which the variant was chosen, are told where
    there is a release."""

    model: str
    version: str
    variant: str
    release: str = ""
    probability: float | None = None


class Logged(msgspec.Struct, omit_defaults=True, gc=False):
    """One line of the prediction log. ``release_id`` to ``unit`` are of predictions under a release,
    ``selection`` and ``inclusion`` of models whose answers decide over labels (feedback.py)."""

    prediction_id: str
    at: str
    model: str
    version: str
    variant: str
    request_id: str
    latency_ms: float | None
    inputs: msgspec.Struct | dict[str, Any]
    prediction: str | float
    confidence: float | None
    probabilities: dict[str, float] | None
    warnings: Sequence[str]
    release_id: str = ""
    probability: float | None = None
    unit: str | None = None
    selection: str | None = None
    inclusion: float | None = None


class Failed(msgspec.Struct):
    """One line of the prediction log: a request that an arm of a release could not answer (``failed``), or
    whose inputs it refused (``refused``)."""

    failure_id: str
    at: str
    model: str
    version: str
    variant: str
    release_id: str
    unit: str
    kind: Literal["failed", "refused"]
    request_id: str
    error: str


class Reading:
    """Reads the scores of a model with the classes of ``form``."""

    def __init__(self, form: Form) -> None:
        self.classes = form.classes
        self.regression = form.task == "regression"
        self.codes = codes_of(form.classes)

    def outcomes(self, scores: npt.NDArray[Any]) -> list[Outcome]:
        """Of (rows, classes) probabilities, or (rows,) values. Raises RowsFailed for scores that are no
        numbers: an answer made of them would be wrong."""
        if not np.isfinite(scores).all():
            raise RowsFailed("The model gave a result that is no number.", remedy="Look at its training.")
        if self.regression:
            return [Outcome(value) for value in scores.astype(np.float64).ravel().tolist()]
        best = scores.argmax(axis=1).tolist()
        rounded = scores.astype(np.float64).round(DIGITS).tolist()
        return [
            Outcome(self.codes[at], self.classes[at], row[at], dict(zip(self.classes, row, strict=True)))
            for at, row in zip(best, rounded, strict=True)
        ]


def label_of(outcome: Outcome) -> str | float:
    """The class's name, or the value."""
    return outcome.prediction if outcome.prediction_name is None else outcome.prediction_name
