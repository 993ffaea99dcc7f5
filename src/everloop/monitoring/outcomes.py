"""Answers of a model beside what came true: read from what callers have, with rows that cannot be used left
out and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from everloop.core.errors import Invalid, WrongType, nearest
from everloop.core.runs import Business, Task

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Flags = NDArray[np.bool_]
SUM_TOLERANCE = 1e-3  # probabilities of float32, rounded to 7 digits, over a hundred classes

NO_LABEL = "no label"
NO_ANSWER = "no answer"
NOT_A_NUMBER = "a probability that is no number"
NOT_A_PROBABILITY = "probabilities below 0 or that do not add up to 1"
UNKNOWN_CLASS = "a label that is no class of the model"


@dataclass(frozen=True)
class Kind:
    """What a model answers. ``classes`` is empty for numbers; ``positive`` is the position of the class that
    counts, or None: then measures average over the classes."""

    task: Task
    classes: tuple[str, ...] = ()
    positive: int | None = None
    business: Business | None = None


@dataclass(frozen=True)
class Outcomes:
    """Rows that can be judged, in the order given.

    Classification: ``truth`` and ``decided`` are codes of classes (n,), ``given`` the probabilities (n, k) or
    None. Regression: ``truth`` and ``given`` are values (n,). ``rows``: where they stood in the input;
    ``left_out``: how many others there were, by reason.
    """

    kind: Kind
    truth: NDArray[Any]
    given: Floats | None
    decided: Codes
    rows: Codes
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[Any]) -> Outcomes:
        given = None if self.given is None else self.given[chosen]
        return replace(
            self,
            truth=self.truth[chosen],
            given=given,
            decided=self.decided[chosen],
            rows=self.rows[chosen],
        )


def kind_of(
    classes: Sequence[object] | None, positive: object | None, business: Business | None = None
) -> Kind:
    """Classification where classes are named, else regression. Raises Invalid."""
    if classes is None:
        if positive is not None:
            raise Invalid(
                f"There is a positive class, '{positive}', but no classes.",
                remedy="Name the classes in the order of the probabilities.",
            )
        return Kind("regression")
    names = tuple(labels(list(classes)))
    if len(names) < 2 or len(set(names)) < len(names):
        raise Invalid(
            f"A classifier has two classes or more, each once; these are {', '.join(map(repr, names))}.",
            remedy="Name each class of the model once, in the order of the probabilities.",
        )
    if positive is None:
        return Kind("classification", names)
    name = labels([positive])[0]
    if name not in names:
        raise Invalid(f"'{name}' is no class of the model.", remedy=nearest(str(name), names))
    return Kind("classification", names, names.index(name), business if len(names) == 2 else None)


def read(
    kind: Kind,
    truth: Any,
    *,
    answers: Any = None,
    probabilities: Any = None,
) -> Outcomes:
    """``answers`` are labels (left out: the most probable class) or numbers; ``probabilities`` are (n, k) in
    the order of the classes, or (n,) of the positive class where there are two. Raises Invalid and WrongType
    where shapes or types cannot be meant so; single rows that cannot be used are left out and counted."""
    if kind.task == "regression":
        return _numbers(kind, truth, answers)
    known = labels(truth)
    n = len(known)
    codes = codes_of(known, kind.classes)
    given = _shaped(kind, probabilities, n)
    if answers is None and given is None:
        raise Invalid(
            "There are neither answers nor probabilities to judge.",
            remedy="Give answers=, or probabilities= in the order of the classes.",
        )
    reasons: dict[str, Flags] = {}
    if given is not None:
        given, reasons = checked(given)
    if answers is None:
        decided = np.asarray(np.nan_to_num(given if given is not None else 0.0).argmax(axis=1))
        if kind.positive is not None and len(kind.classes) == 2 and given is not None:
            hit = kind.positive
            decided = np.where(np.nan_to_num(given[:, hit]) >= 0.5, hit, 1 - hit)
    else:
        said = labels(answers)
        if len(said) != n:
            raise _uneven("answers", len(said), n)
        decided = codes_of(said, kind.classes)
        reasons[NO_ANSWER] = _absent(said)
    missing = _absent(known)
    reasons = {NO_LABEL: missing, UNKNOWN_CLASS: (codes < 0) & ~missing, **reasons}
    rows, left_out = _kept(n, reasons)
    return Outcomes(
        kind,
        codes[rows],
        None if given is None else given[rows],
        decided[rows].astype(np.intp),
        rows,
        left_out,
    )


def checked(given: Floats) -> tuple[Floats, dict[str, Flags]]:
    """(n, k) probabilities scaled to add up to exactly 1, and which rows cannot be used, by reason."""
    bad: Flags = ~np.isfinite(given.sum(axis=1))
    total = np.where(bad, 1.0, given.sum(axis=1))
    odd = ~bad & ((np.abs(total - 1) > SUM_TOLERANCE) | (np.nan_to_num(given).min(axis=1) < 0))
    scaled = np.asarray(given / np.where(total > 0, total, 1.0)[:, None], dtype=np.float64)
    return scaled, {NOT_A_NUMBER: bad, NOT_A_PROBABILITY: odd}


def labels(values: Any) -> NDArray[np.object_]:
    """One text per value, None where missing: ``true`` for True, ``3`` for 3 and for 3.0."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        plain = values if isinstance(values, np.ndarray) or hasattr(values, "dtype") else list(values)
        try:
            values = pa.array(plain, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers beside texts
            values = pa.array([None if v is None or v != v else str(v) for v in plain])
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    if pa.types.is_null(values.type):
        return np.full(len(values), None, dtype=object)
    try:
        return np.asarray(values.cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object)
    except TypeError:  # a chunked array takes no argument
        return np.asarray(values.cast(pa.string()).to_numpy(), dtype=object)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise WrongType(
            f"Values of type {values.type} are no labels.", remedy="Give texts, booleans or whole numbers."
        ) from error


def numbers(values: Any, what: str) -> Floats:
    """Floats, NaN where missing. Raises WrongType for texts."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pandas()
    try:
        return np.asarray(
            [np.nan if v is None else v for v in values] if isinstance(values, list) else values,
            dtype=np.float64,
        )
    except (TypeError, ValueError) as error:
        raise WrongType(f"The {what} are not all numbers: {error}.", remedy="Give numbers.") from error


def taken(values: Any, rows: Codes) -> Any:
    """These rows of a column, whatever holds it."""
    if hasattr(values, "iloc"):
        return values.iloc[rows]
    return values.take(rows) if hasattr(values, "take") else np.asarray(values)[rows]


def codes_of(texts: NDArray[np.object_], classes: Sequence[str]) -> Codes:
    """Positions of texts among the classes, -1 for others and for None."""
    found = pc.index_in(pa.array(texts, pa.string()), value_set=pa.array(classes, pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.intp)


def _numbers(kind: Kind, truth: Any, answers: Any) -> Outcomes:
    if answers is None:
        raise Invalid("There are no answers to judge.", remedy="Give answers=, one number a row.")
    known, said = numbers(truth, "true values"), numbers(answers, "answers")
    if known.shape != said.shape or known.ndim != 1:
        raise _uneven("answers", len(said), len(known))
    usable = np.isfinite(known)
    rows, left_out = _kept(len(known), {NO_LABEL: ~usable, NO_ANSWER: ~np.isfinite(said)})
    return Outcomes(kind, known[rows], said[rows], np.zeros(len(rows), dtype=np.intp), rows, left_out)


def _shaped(kind: Kind, probabilities: Any, n: int) -> Floats | None:
    if probabilities is None:
        return None
    given = numbers(probabilities, "probabilities")
    k = len(kind.classes)
    if given.ndim == 1 and k == 2 and kind.positive is not None:
        pair = [1 - given, given] if kind.positive == 1 else [given, 1 - given]
        given = np.column_stack(pair)
    if given.size == 0 and n == 0:
        given = given.reshape(0, k)
    if given.ndim != 2 or given.shape[1] != k:
        raise Invalid(
            f"Probabilities of shape {given.shape} do not fit {k} classes.",
            remedy="Give (rows, classes) in the order of the classes"
            + (", or (rows,) of the positive class." if k == 2 else "."),
        )
    if len(given) != n:
        raise _uneven("probabilities", len(given), n)
    return given


def _absent(texts: NDArray[np.object_]) -> Flags:
    return np.asarray(pc.is_null(pa.array(texts, pa.string())).to_numpy(zero_copy_only=False), dtype=bool)


def _kept(n: int, reasons: Mapping[str, Flags]) -> tuple[Codes, dict[str, int]]:
    """The rows that no reason takes out, and how many each reason takes; the first reason counts."""
    kept, left_out = np.ones(n, dtype=bool), {}
    for reason, flags in reasons.items():
        if (count := int(np.count_nonzero(flags & kept))) > 0:
            left_out[reason] = count
        kept &= ~flags
    return np.flatnonzero(kept), left_out


def _uneven(what: str, got: int, rows: int) -> Invalid:
    return Invalid(
        f"There are {got:,} {what} and {rows:,} true values.", remedy="Give one of each for every row."
    )
