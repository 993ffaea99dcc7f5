"""The gate: may the challenger become champion?

Promoted is who is shown to be better: the lower end of the two-sided interval lies above ``margin``, and no
guarded slice is harmed (see slices.py). So a challenger that is no better is promoted in (1 - confidence) /
2 of cases at most, 2.5% at 95%, each time one is tried on fresh rows. A first model has nothing to replace:
it need only do better than a constant answer. What the policy asks besides the comparison is checked beside
it (constraints.py, calibration.py, fairness.py), and any of it that fires stops the promotion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everloop.core.decisions import BASELINE, Evidence, GatePolicy, GateVerdict
from everloop.core.errors import Invalid, InvalidSettings, TooFewRows, UnknownColumn, nearest
from everloop.core.runs import Business, Task

from . import reasons
from .measures import Answers, find_metric
from .paired import compare, pair
from .slices import guard

Array = NDArray[Any]


def judge(
    policy: GatePolicy,
    *,
    task: Task,
    classes: tuple[str, ...],
    positive: str | None,
    truth: Array,
    champion: Array | None,
    challenger: Array,
    baseline: Array | None,
    slices: Mapping[str, Array],
    business: Business | None = None,
    champion_name: str | None = None,
) -> GateVerdict:
    """Compare challenger and champion on the same unseen rows, paired. Takes no random numbers.

    ``truth`` (n,): labels as strings (classification) or values (regression). Predictions: probabilities (n,
    k) in the order of ``classes``, or values (n,); a ``baseline`` is a constant predictor's and stands in
    where there is no champion. ``positive`` defaults to the last of two classes; with more classes and none
    given, metrics of one class are averaged over all. ``slices``: column -> (n,) values, each guarded level
    by level.

    Raises InvalidSettings for a policy that cannot be followed, UnknownColumn for a slice of the policy that
    is not given, Invalid for arrays that do not fit.
    """
    metric = find_metric(policy.metric, task)
    _check_policy(policy, slices)
    rows = len(truth)
    if rows < policy.min_rows:
        return GateVerdict(False, reasons.too_few(rows, policy.min_rows))
    for column, values in slices.items():
        if np.shape(values) != (rows,):
            raise Invalid(f"The slice '{column}' has shape {np.shape(values)}; {rows:,} values are needed.")
    asked = (task, classes, positive, business)
    new = answered("the challenger's predictions", truth, challenger, *asked)

    reference, against = (baseline, "a constant answer") if champion is None else (champion, "the champion")
    if reference is None:
        return GateVerdict(True, reasons.nothing_to_compare(rows))
    if champion is not None and champion_name:
        against = f"champion {champion_name}"
    old = answered(f"the predictions of {against}", truth, reference, *asked)
    named = BASELINE if champion is None else champion_name or "champion"

    try:
        overall = compare(metric, pair(metric, old, new), policy.confidence_of_look)
    except TooFewRows as error:
        return GateVerdict(False, f"{metric.words} cannot be measured: {error.message}", against=named)
    if champion is not None and task == "classification" and len(classes) > len(np.unique(old.truth)) == 1:
        return GateVerdict(False, reasons.one_class(classes[old.truth[0]], rows), against=named)
    if np.allclose(old.given, new.given, rtol=1e-9, atol=1e-12):
        return GateVerdict(False, reasons.alike(against, rows), overall, against=named)
    if champion is None:
        reason = reasons.first_model(overall, against)
        return GateVerdict(overall.improvement > 0, reason, overall, against=named)
    judged, worse = guard(policy, metric, old, new, slices)
    reason = reasons.against_champion(overall, against, policy.margin, judged, worse)
    promote = overall.low > policy.margin and not worse
    return GateVerdict(promote, reason, overall, judged, tuple(c.name for c in worse), named)


def constrained(verdict: GateVerdict, checks: Sequence[Evidence]) -> GateVerdict:
    """The verdict with what else was asked: a check that fired stops the promotion."""
    against = [check for check in checks if check.fired]
    reason = reasons.but(verdict.reason, against) if against and verdict.promote else verdict.reason
    promote = verdict.promote and not against
    return replace(verdict, promote=promote, reason=reason, checks=tuple(checks))


def answered(
    what: str,
    truth: Array,
    given: Array,
    task: Task,
    classes: tuple[str, ...],
    positive: str | None,
    business: Business | None = None,
) -> Answers:
    """What a model answered, checked: see ``judge`` for shapes and errors."""
    if task == "regression":
        shape: tuple[int, ...] = (len(truth),)
        return Answers(_finite("truth", truth, shape), _finite(what, given, shape), None, business)
    code, known = _positive_code(classes, positive), _codes(truth, classes)
    return Answers(known, _finite(what, given, (len(truth), len(classes))), code, business)


def _check_policy(policy: GatePolicy, slices: Iterable[str]) -> None:
    if not 0.5 <= policy.confidence < 1:
        raise InvalidSettings(
            f"A confidence of {policy.confidence:g} is not possible.",
            remedy="Choose one from 0.5 to below 1, as 0.95.",
        )
    if policy.slice_margin < 0:
        raise InvalidSettings(
            f"A slice margin of {policy.slice_margin:g} would stop challengers that harm no slice.",
            remedy="Choose 0 or more.",
        )
    for column in policy.slices:
        if column not in slices:
            raise UnknownColumn(
                f"The gate's slice '{column}' is not a column.", remedy=nearest(column, slices)
            )


def _positive_code(classes: tuple[str, ...], positive: str | None) -> int | None:
    if positive is None:
        return 1 if len(classes) == 2 else None
    if positive not in classes:
        raise InvalidSettings(
            f"The positive class '{positive}' is not a class.", remedy=nearest(positive, classes)
        )
    return classes.index(positive)


def _codes(truth: Array, classes: tuple[str, ...]) -> NDArray[np.int64]:
    codes = pd.Index(classes).get_indexer(pd.Index(np.asarray(truth, dtype=object)))
    if (codes < 0).any():
        first = truth[int(np.argmax(codes < 0))]
        raise Invalid(
            f"The label '{first}' is not among the model's classes.", remedy=nearest(str(first), classes)
        )
    return codes.astype(np.int64)


def _finite(what: str, values: Array, shape: tuple[int, ...]) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != shape:
        raise Invalid(f"The shape of {what} is {numbers.shape}; it must be {shape}.")
    if not np.isfinite(numbers).all():
        bad = int(numbers.size - np.isfinite(numbers).sum())
        raise Invalid(f"{bad:,} of {numbers.size:,} numbers in {what} are missing or infinite.")
    return numbers
