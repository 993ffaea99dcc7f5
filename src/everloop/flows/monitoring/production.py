"""Recorded predictions as tables: the inputs, and what was answered."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.runs import Run
from everloop.store.database import Row

NUMBERS = (bool, int, float)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model said of some rows, and their truth where it is known.

    Args:
        classes: empty for a regression.
        said: probabilities (rows, classes), NaN where they were not recorded; of a regression values (rows,).
        decided: the class that was answered, as str (rows,); of a regression the values again.
        truth: labels as str, or values (rows,); None, or NaN, where it is not known.
    """

    classes: tuple[str, ...]
    positive: str | None
    said: np.ndarray
    decided: np.ndarray
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.said)

    def table(self) -> pa.Table:
        """The columns that drift of the answers is looked for in: ``prediction``, and of a classification
        ``confidence``, or ``score``, the probability of the positive class of two."""
        if not self.classes:
            return pa.table({"prediction": self.decided})
        columns = {"prediction": pa.array(self.decided, pa.string())}
        if self.positive is not None:
            columns["score"] = pa.array(self.said[:, self.classes.index(self.positive)])
        else:
            columns["confidence"] = pa.array(self.said.max(axis=1, initial=0.0))
        return pa.table(columns)

    def known(self) -> np.ndarray:
        """Which rows have a truth that the model knows, and all that was said."""
        if not self.classes:
            return np.asarray(~np.isnan(self.truth) & ~np.isnan(self.said))
        return np.asarray(np.isin(self.truth.astype(str), self.classes) & ~np.isnan(self.said).any(axis=1))

    def take(self, where: np.ndarray) -> Answers:
        return Answers(self.classes, self.positive, self.said[where], self.decided[where], self.truth[where])


def of_model(run: Run, positive: str | None, said: np.ndarray, truth: np.ndarray) -> Answers:
    """What ``training.fitting.predict`` gave, with the truth."""
    if run.task == "regression":
        return Answers((), None, said, said, truth)
    return Answers(
        run.classes, positive, said, np.asarray(run.classes, dtype=object)[said.argmax(axis=1)], truth
    )


def of_rows(run: Run, positive: str | None, rows: Sequence[Row]) -> Answers:
    """What was recorded; see ``store.monitors.answers``."""
    if run.task == "regression":
        values = np.array([_number(row["value"]) for row in rows])
        return Answers((), None, values, values, np.array([_number(row.get("label_value")) for row in rows]))
    given = [json.loads(row["probabilities"]) if row["probabilities"] else {} for row in rows]
    said = np.array([[each.get(name, np.nan) for name in run.classes] for each in given])
    decided = np.array([row["prediction"] for row in rows], dtype=object)
    truth = np.array([row.get("label") for row in rows], dtype=object)
    return Answers(run.classes, positive, said.reshape(len(rows), len(run.classes)), decided, truth)


def inputs(rows: Iterable[Row], kinds: Mapping[str, str], masked: Collection[str] = ()) -> pa.Table:
    """The recorded inputs, a column for each that any row has but those that are ``masked``: what is logged
    of them is no value. Where no column is left, those of ``kinds``, all missing. ``kinds`` of the reference:
    a column whose values are of another kind stays as it came, so that the change is seen."""
    given = [json.loads(row["inputs"]) for row in rows]
    names = dict.fromkeys(name for row in given for name in row if name not in masked)
    if not names:
        return pa.table({name: pa.nulls(len(given)) for name in kinds})
    return pa.table({name: column([row.get(name) for row in given], kinds.get(name)) for name in names})


def column(values: Sequence[Any], kind: str | None) -> pa.Array:
    """Values of JSON as an Arrow array of the kind, or as texts where they are of several."""
    there = [value for value in values if value is not None]
    if kind == "boolean" and all(isinstance(value, bool) for value in there):
        return pa.array(values, pa.bool_())
    if kind in (None, "number", "boolean", "date") and all(isinstance(value, NUMBERS) for value in there):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    texts = pa.array([None if value is None else _text(value) for value in values], pa.string())
    return _moments(texts) if kind == "date" else texts


def _moments(texts: pa.Array) -> pa.Array:
    """Of texts, all with a zone or all without one; others stay texts."""
    for zone in (None, "UTC"):
        try:
            return texts.cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid:
            continue
    return texts


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)
