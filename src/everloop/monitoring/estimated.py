"""Performance of a window before its labels come.

Classification: confidence-based performance estimation. Held-out labels calibrate the model's probabilities
(isotonic), and a window's metrics follow from the calibrated probabilities of its rows. Regression: a model
of the errors to expect (see ``errormodel``). Both see that inputs moved to where the model is worse; neither
can see that the relation of inputs and truth changed. Every result says so: ``assumes P(y|x) unchanged``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.special import stdtrit

from everloop.core.errors import Invalid, TooFewRows
from everloop.core.monitoring import Result
from everloop.core.runs import Business

from .backtest import Track
from .calibration import Steps, isotonic
from .dependence import Dependence, dependence
from .errormodel import ErrorModel, learn
from .judgement import Compared, Usual, compare, holm, sentence, tested, usual
from .metrics import Measured, Metric, Weighed, certain, metrics_of
from .outcomes import Floats, Kind, Outcomes, kind_of, numbers, read, taken

FAMILY: Final = "estimated"
MODEL = "model"
ASSUMES = "assumes P(y|x) unchanged"
LEAST_REFERENCE = 300
LEAST_ROWS = 100
_CHUNKS = 20
_FOLDS = 5
_LEAST_CHUNK = 50
_LEVEL = 0.05  # of the intervals


@dataclass(frozen=True)
class Estimator:
    """What held-out rows taught. ``steps`` calibrate each class (of two classes: the second), ``errors`` is
    the model of a regression's errors. ``usual`` are estimates over the reference by metric, ``follows`` how
    what labels add to them depends on time, ``widen`` how much larger the errors of estimates over chunks of
    the reference were than their theory."""

    kind: Kind
    rows: int
    ordered: bool
    steps: tuple[Steps, ...]
    errors: ErrorModel | None
    usual: Mapping[str, Usual]
    widen: Mapping[str, float]
    follows: Dependence


@dataclass(frozen=True)
class Estimate:
    """Of one metric: the value, the standard error of the true value around it (labels and calibration), and
    the part of the calibration alone."""

    measured: Measured
    weights: Floats
    error: float
    calibration: float


def fit(
    truth: Any,
    *,
    answers: Any = None,
    probabilities: Any = None,
    classes: Sequence[object] | None = None,
    positive: object | None = None,
    business: Business | None = None,
    order: Any = None,
    features: Mapping[str, Any] | None = None,
) -> Estimator:
    """From held-out rows, as for ``performance.baseline``. ``features`` are columns that the model of a
    regression's errors may look at. Raises TooFewRows under 300 usable rows, and Invalid for a classifier
    without probabilities."""
    kind = kind_of(classes, positive, business)
    if kind.task == "classification" and probabilities is None:
        raise Invalid(
            "Performance without labels needs the probabilities of a classifier.",
            remedy="Give probabilities=, or serve a model that has them.",
        )
    outcomes = read(kind, truth, answers=answers, probabilities=probabilities)
    if len(outcomes) < LEAST_REFERENCE:
        raise TooFewRows(
            f"Estimating performance needs {LEAST_REFERENCE} held-out rows; there are {len(outcomes)}.",
            remedy="Hold out more rows.",
        )
    columns = {name: taken(values, outcomes.rows) for name, values in (features or {}).items()}
    if order is not None:
        by_time = np.argsort(taken(order, outcomes.rows), kind="stable")
        outcomes = outcomes.take(by_time)
        columns = {name: taken(values, by_time) for name, values in columns.items()}
    bare = _learnt(outcomes, columns, order is not None)
    widen = _widened(outcomes, columns, order is not None)
    return replace(bare, widen=widen)


def estimate(
    estimator: Estimator,
    *,
    answers: Any = None,
    probabilities: Any = None,
    order: Any = None,
    features: Mapping[str, Any] | None = None,
    alpha: float = 0.01,
    track: Track | None = None,
) -> list[Result]:
    """One result per metric. ``low`` and ``high`` hold the window's true value with 95 % while P(y|x) is
    unchanged. ``fired``: lower than usual beyond chance (all metrics together with probability ``alpha``)
    and by the metric's floor. A metric whose estimates have been wrong (see ``backtest``) is ``unable`` until
    they are right again; its value is still there, to be tested."""
    window, columns, left_out = _window(estimator, answers, probabilities, order, features)
    metrics = [m for m in metrics_of(estimator.kind, True) if m.name in estimator.usual]
    if len(window) < LEAST_ROWS:
        text = f"{len(window)} answers are too few to estimate performance from; it needs {LEAST_ROWS}."
        return [Result(FAMILY, MODEL, "rows", False, text, value=float(len(window)), unable=True)]
    found = {m.name: _estimated(estimator, m, window, columns) for m in metrics}
    compared = {
        m.name: _compared(estimator, m, found[m.name], ordered=order is not None)
        for m in metrics
        if found[m.name].measured.influence is not None
    }
    adjusted = dict(zip(compared, holm([c.p_value for c in compared.values()]), strict=True))
    results = []
    for metric in metrics:
        if metric.name not in compared:
            text = f"{metric.words} cannot be estimated: {found[metric.name].measured.why}."
            results.append(Result(FAMILY, MODEL, metric.name, False, sentence(text), unable=True))
            continue
        result = _result(
            estimator, metric, found[metric.name], compared[metric.name],
            adjusted[metric.name], alpha, len(window), left_out,
        )  # fmt: skip
        if track is not None and (doubt := track.doubt(metric.name)):
            text = f"{metric.words} is not estimated for now: {doubt}."
            result = replace(result, fired=False, level="info", unable=True, message=sentence(text))
        results.append(result)
    return results


def _learnt(outcomes: Outcomes, columns: Mapping[str, Any], ordered: bool) -> Estimator:
    kind = outcomes.kind
    bare = Estimator(kind, len(outcomes), ordered, (), None, {}, {}, Dependence())
    given = outcomes.given
    if given is None:
        raise Invalid("There are no answers to learn from.", remedy="Give answers= or probabilities=.")
    if kind.task == "regression":
        model = learn(outcomes.truth - given, given, columns)
        bare = replace(bare, errors=model)
        rest = np.abs(outcomes.truth - given) - model.expected(given, columns)[:, 0]
    else:
        which = range(1, 2) if len(kind.classes) == 2 else range(len(kind.classes))
        bare = replace(bare, steps=tuple(isotonic(given[:, c], (outcomes.truth == c) * 1.0) for c in which))
        weights = _weights(bare, given)
        decided = np.maximum(outcomes.decided, 0)
        rest = (outcomes.truth == decided) - weights[np.arange(len(decided)), decided]
    bare = replace(bare, follows=dependence(rest) if ordered else Dependence())
    known = {}
    for metric in metrics_of(kind, True):
        got = _estimated(bare, metric, outcomes, columns)
        if got.measured.influence is not None:
            rows = got.measured.rows(got.weights)
            known[metric.name] = usual(rows, ordered=ordered)
    return replace(bare, usual=known)


def _widened(outcomes: Outcomes, columns: Mapping[str, Any], ordered: bool) -> dict[str, float]:
    """By metric, the root mean square of (true - estimated) / error over chunks of rows that the estimator
    had not learnt from; 1 at least."""
    n = len(outcomes)
    chunks = min(_CHUNKS, n // _LEAST_CHUNK)
    scores: dict[str, list[float]] = {}
    bounds = np.linspace(0, n, _FOLDS + 1).astype(int)
    for fold in range(_FOLDS):
        inside = np.arange(bounds[fold], bounds[fold + 1])
        others = np.setdiff1d(np.arange(n), inside)
        learnt = _learnt(outcomes.take(others), {k: taken(v, others) for k, v in columns.items()}, ordered)
        for rows in np.array_split(inside, max(chunks // _FOLDS, 1)):
            chunk = outcomes.take(rows)
            part = {k: taken(v, rows) for k, v in columns.items()}
            weighed = certain(chunk)
            for metric in metrics_of(outcomes.kind, True):
                actual = metric.measure(weighed)
                got = _estimated(learnt, metric, chunk, part)
                if actual.influence is not None and got.measured.influence is not None and got.error > 0:
                    z = (actual.value - got.measured.value) / got.error
                    scores.setdefault(metric.name, []).append(z)
    return {name: max(1.0, math.sqrt(float(np.mean(np.square(z))))) for name, z in scores.items()}


def _weights(estimator: Estimator, given: Floats) -> Floats:
    """(n, k) calibrated probabilities."""
    if len(estimator.kind.classes) == 2:
        second = estimator.steps[0](given[:, 1])
        return np.column_stack([1 - second, second])
    each = np.column_stack([steps(given[:, c]) for c, steps in enumerate(estimator.steps)])
    total = each.sum(axis=1, keepdims=True)
    return np.where(total > 0, each / np.where(total > 0, total, 1.0), given)


def _estimated(
    estimator: Estimator, metric: Metric, window: Outcomes, columns: Mapping[str, Any]
) -> Estimate:
    n = len(window)
    given = window.given if window.given is not None else np.zeros(n)
    if estimator.errors is not None:
        expected = estimator.errors.expected(given, columns)
        kind = int(metric.name == "rmse")
        loss = expected[:, 0] if kind == 0 else np.sqrt(expected[:, 1])
        weights = np.ones((n, 1))
        measured = metric.measure(Weighed(estimator.kind, weights, given, window.decided, loss))
        noise = estimator.errors.noise[kind] * expected[:, kind] ** 2
        slope = 1.0 if kind == 0 else 1 / (2 * measured.value)
        labels = float((noise * slope**2).sum()) / n**2
        calibration = float(noise.mean() * slope**2) / estimator.rows
    else:
        weights = _weights(estimator, given)
        measured = metric.measure(Weighed(estimator.kind, weights, given, window.decided))
        if measured.influence is None:
            return Estimate(measured, weights, 0.0, 0.0)
        influence = measured.influence
        mean = (weights * influence).sum(axis=1)
        labels = float(((weights * influence**2).sum(axis=1) - mean**2).sum()) / n**2
        calibration = _of_calibration(estimator, given, influence)
    labels *= estimator.follows.at(n)
    calibration *= estimator.follows.at(estimator.rows)
    return Estimate(measured, weights, math.sqrt(max(labels + calibration, 0.0)), math.sqrt(calibration))


def _of_calibration(estimator: Estimator, given: Floats, influence: Floats) -> float:
    """Variance of the metric from what the steps do not know: rows of one step err together."""
    n, total = len(given), 0.0
    for position, steps in enumerate(estimator.steps):
        column = 1 if len(estimator.steps) == 1 else position
        pull = influence[:, 1] - influence[:, 0] if len(estimator.steps) == 1 else influence[:, column]
        at = steps.of(given[:, column])
        moved = np.bincount(at, weights=pull, minlength=len(steps.rows)) / n
        total += float((moved**2 * steps.variance()).sum())
    return total


def _compared(estimator: Estimator, metric: Metric, got: Estimate, *, ordered: bool) -> Compared:
    known = estimator.usual[metric.name]
    rows = got.measured.rows(got.weights)
    plain = compare(got.measured.value, rows, known, metric.sign, ordered=ordered)
    error = math.hypot(plain.error, got.calibration)
    return tested(plain.harm, error, plain.freedom, known)


def _result(
    estimator: Estimator,
    metric: Metric,
    got: Estimate,
    compared: Compared,
    p: float,
    alpha: float,
    rows: int,
    left_out: int,
) -> Result:
    known = estimator.usual[metric.name]
    floor = metric.least(known.value, known.spread)
    widen = estimator.widen.get(metric.name, 1.0)
    reach = got.error * widen * float(stdtrit(_CHUNKS - 1, 1 - _LEVEL / 2))
    value = got.measured.value
    low, high = value - reach, value + reach
    if not metric.relative:
        low, high = max(low, 0.0), min(high, 1.0)
    elif metric.sign < 0:  # losses
        low = max(low, 0.0)
    fired = p <= alpha and compared.harm >= floor
    text = (
        f"{metric.words} is estimated at {value:.4g} ({low:.4g} to {high:.4g}; {rows:,} answers without "
        f"labels), usually {known.value:.4g}; {ASSUMES}."
    )
    return Result(
        FAMILY, MODEL, metric.name, fired, sentence(text), level="warning" if fired else "info", value=value,
        usual=known.value, low=low, high=high, p_value=p, floor=floor,
        details={"rows": rows, "left_out": left_out, "harm": compared.harm, "assumes": "P(y|x) unchanged"},
    )  # fmt: skip


def _window(
    estimator: Estimator, answers: Any, probabilities: Any, order: Any, features: Mapping[str, Any] | None
) -> tuple[Outcomes, dict[str, Any], int]:
    """The rows of a window that can be used, in the order of time: read with labels made up, which nothing
    looks at."""
    kind = estimator.kind
    if kind.task == "regression":
        if answers is None:
            raise Invalid("There are no answers to estimate from.", remedy="Give answers=, one number a row.")
        made_up: Any = np.zeros(len(numbers(answers, "answers")))
    else:
        if probabilities is None:
            raise Invalid("There are no probabilities to estimate from.", remedy="Give probabilities=.")
        made_up = [kind.classes[0]] * len(probabilities)
    window = read(kind, made_up, answers=answers, probabilities=probabilities)
    columns = {name: taken(values, window.rows) for name, values in (features or {}).items()}
    left_out = sum(window.left_out.values())
    if order is not None:
        by_time = np.argsort(taken(order, window.rows), kind="stable")
        window = window.take(by_time)
        columns = {name: taken(values, by_time) for name, values in columns.items()}
    return window, columns, left_out
