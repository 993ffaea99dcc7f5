"""Performance of a window whose labels have come, beside what the model did on rows held out when it was
trained. A finding is harm that chance does not explain and that is large enough to count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from everloop.core.errors import InvalidSettings, TooFewRows, nearest
from everloop.core.monitoring import SHARES, Result
from everloop.core.runs import Business

from .intervals import wilson
from .judgement import Compared, Usual, compare, holm, sentence, smallest, usual
from .metrics import METRICS, Measured, Metric, bounds, certain, metrics_of
from .outcomes import UNKNOWN_CLASS, Floats, Kind, Outcomes, kind_of, read, taken
from .slicing import Cut, cut, members

FAMILY: Final = "performance"
MODEL = "model"  # the subject of what concerns all rows
LEAST_ROWS = 30
_UNKNOWN_FLOOR = 0.01
_MOST_SLICES = 60


@dataclass(frozen=True)
class Baseline:
    """How a model did on held-out rows: ``usual`` by subject (``model`` or a slice) and metric. ``ordered``:
    the rows were in the order of time, so that the dependence of their errors is known."""

    kind: Kind
    ordered: bool
    probabilities: bool
    usual: Mapping[str, Mapping[str, Usual]]
    cuts: Mapping[str, Cut] = field(default_factory=dict)

    def of_model(self, metric: str) -> Usual:
        """Raises InvalidSettings for a metric that the baseline has not."""
        if metric not in self.usual[MODEL]:
            raise InvalidSettings(
                f"The baseline has no metric '{metric}'.", remedy=nearest(metric, self.usual[MODEL])
            )
        return self.usual[MODEL][metric]


def baseline(
    truth: Any,
    *,
    answers: Any = None,
    probabilities: Any = None,
    classes: Sequence[object] | None = None,
    positive: object | None = None,
    business: Business | None = None,
    order: Any = None,
    slices: Mapping[str, Any] | None = None,
) -> Baseline:
    """From held-out rows. ``classes`` are named in the order of ``probabilities`` (n, k); without them the
    model answers numbers. ``order`` (times or numbers) says when each row happened: without it errors are
    taken to be independent, which is said in every result. ``slices`` are columns to judge by, too.

    Raises TooFewRows under 30 usable rows, Invalid and WrongType for input that does not fit."""
    kind = kind_of(classes, positive, business)
    outcomes = read(kind, truth, answers=answers, probabilities=probabilities)
    if len(outcomes) < LEAST_ROWS:
        raise TooFewRows(
            f"A baseline needs {LEAST_ROWS} rows with label and answer; there are {len(outcomes)}"
            f"{_told_left_out(outcomes)}.",
            remedy="Hold out more rows, or bring more labels.",
        )
    columns = {name: taken(values, outcomes.rows) for name, values in (slices or {}).items()}
    if order is not None:
        by_time = np.argsort(taken(order, outcomes.rows), kind="stable")
        outcomes = outcomes.take(by_time)
        columns = {name: taken(values, by_time) for name, values in columns.items()}
    cuts = {name: cut(name, values) for name, values in columns.items()}
    found: dict[str, dict[str, Usual]] = {}
    for subject, part in _parts(outcomes, cuts, columns):
        if len(part) >= LEAST_ROWS and len(found) <= _MOST_SLICES:
            found[subject] = _usual(part, ordered=order is not None)
    return Baseline(kind, order is not None, outcomes.given is not None, found, cuts)


def measure(
    base: Baseline,
    truth: Any,
    *,
    answers: Any = None,
    probabilities: Any = None,
    order: Any = None,
    slices: Mapping[str, Any] | None = None,
    alpha: float = 0.01,
    floors: Mapping[str, float] | None = None,
) -> list[Result]:
    """One result per metric of the model, and of each slice where the baseline has slices and ``slices`` are
    given. ``fired``: worse than usual, with all tests together false with probability ``alpha`` at most, and
    by the metric's floor or more. Without changes this is how often a window fires at all; half of it is
    spent on the model and half on its slices. ``low`` and ``high`` bound the window's value with 95 %."""
    floors = _checked_floors(floors or {})
    outcomes = read(base.kind, truth, answers=answers, probabilities=probabilities)
    results = list(_about_rows(outcomes))
    if len(outcomes) < LEAST_ROWS:
        text = (
            f"{len(outcomes)} rows have label and answer{_told_left_out(outcomes)}; performance needs "
            f"{LEAST_ROWS}."
        )
        return [*results, Result(FAMILY, MODEL, "rows", False, text, value=float(len(outcomes)), unable=True)]
    sliced = bool(base.cuts) and slices is not None
    columns = {name: taken(values, outcomes.rows) for name, values in (slices or {}).items()}
    if order is not None:
        by_time = np.argsort(taken(order, outcomes.rows), kind="stable")
        outcomes = outcomes.take(by_time)
        columns = {name: taken(values, by_time) for name, values in columns.items()}
    share = alpha / 2 if sliced else alpha
    parts = _parts(outcomes, base.cuts if sliced else {}, columns)
    tests: list[_Test] = []
    small: list[str] = []
    for subject, part in parts:
        if subject not in base.usual:
            continue
        if len(part) < LEAST_ROWS:
            small.append(subject)
            continue
        tests += _tests(subject, part, base.usual[subject], base.kind, ordered=order is not None)
    for chosen in (
        [t for t in tests if t.subject == MODEL],
        [t for t in tests if t.subject != MODEL],
    ):
        results += _judged(chosen, share, floors, calibrated=base.ordered)
    if small:
        text = f"{len(small)} slices had fewer than {LEAST_ROWS} labels: {', '.join(small[:5])}."
        results.append(Result(FAMILY, "slices", "rows", False, text, details={"slices": small}))
    return results


def bounded(results: Sequence[Result], metric: str, limit: float) -> Result:
    """Whether the model's ``metric`` among ``results`` of a window is worse than a ``limit`` that somebody
    has set. That is what happened in this window, by chance or not; its interval is told beside it."""
    known = METRICS.get(metric)
    if known is None:
        text = f"{metric} is not measured on windows, so its limit of {limit:g} is not watched."
        return Result(FAMILY, MODEL, "limit", False, text, unable=True)
    if metric in SHARES and not 0 <= limit <= 1:
        text = f"{known.words} is between 0 and 1, so its limit of {limit:g} is not watched."
        return Result(FAMILY, MODEL, "limit", False, sentence(text), unable=True)
    one = next(
        (r for r in results if (r.subject, r.statistic) == (MODEL, metric) and r.value is not None), None
    )
    if one is None or one.value is None:
        text = f"{known.words} of this window is not known, so its limit of {limit:g} was not watched."
        return Result(FAMILY, MODEL, "limit", False, sentence(text), unable=True)
    fired = known.sign * (one.value - limit) < 0
    side = "below" if known.sign > 0 else "above"
    side = side if fired else f"not {side}"
    text = f"{known.words} {one.value:.4g} is {side} the limit of {limit:g} that was set"
    within = f" (95 % interval {one.low:.4g} to {one.high:.4g})." if one.low is not None else "."
    return Result(
        FAMILY, MODEL, "limit", fired, sentence(text + within), "critical" if fired else "info",
        value=one.value, usual=one.usual, low=one.low, high=one.high, floor=limit,
        details={"metric": metric, "limit": limit},
    )  # fmt: skip


def found(base: Baseline, rows: int, *, alpha: float, power: float = 0.9) -> dict[str, float]:
    """By metric of the model, the smallest harm that a window of so many labels shows with this power."""
    metrics = base.usual[MODEL]
    return {
        name: max(
            smallest(known, rows, alpha / len(metrics), power),
            METRICS[name].least(known.value, known.spread),
        )
        for name, known in metrics.items()
    }


@dataclass(frozen=True)
class _Test:
    subject: str
    metric: Metric
    measured: Measured
    known: Usual
    rows: int
    compared: Compared | None


def _parts(
    outcomes: Outcomes, cuts: Mapping[str, Cut], columns: Mapping[str, Any]
) -> Iterator[tuple[str, Outcomes]]:
    yield MODEL, outcomes
    for name, chosen in members(cuts, columns, len(outcomes)):
        yield name, outcomes.take(np.flatnonzero(chosen))


def _usual(part: Outcomes, *, ordered: bool) -> dict[str, Usual]:
    weighed = certain(part)
    found = {}
    for metric in metrics_of(part.kind, part.given is not None):
        measured = metric.measure(weighed)
        if measured.influence is not None:
            rows = measured.rows(weighed.weights)
            known = usual(rows, ordered=ordered)
            found[metric.name] = replace(known, value=measured.value)
    return found


def _tests(
    subject: str, part: Outcomes, known: Mapping[str, Usual], kind: Kind, *, ordered: bool
) -> Iterator[_Test]:
    weighed = certain(part)
    for metric in metrics_of(kind, part.given is not None):
        if metric.name not in known:
            continue
        measured = metric.measure(weighed)
        reference, compared = known[metric.name], None
        if measured.influence is not None:
            rows: Floats = measured.rows(weighed.weights)
            compared = compare(measured.value, rows, reference, metric.sign, ordered=ordered)
        yield _Test(subject, metric, measured, reference, len(part), compared)


def _judged(
    tests: list[_Test], alpha: float, floors: Mapping[str, float], *, calibrated: bool
) -> Iterator[Result]:
    able = [test for test in tests if test.compared is not None]
    adjusted = dict(zip(map(id, able), holm([t.compared.p_value for t in able if t.compared]), strict=True))
    for test in tests:
        metric, known, compared = test.metric, test.known, test.compared
        if compared is None:
            if test.subject == MODEL:
                text = f"{metric.words} cannot be measured on {test.rows:,} labels: {test.measured.why}."
                yield Result(
                    FAMILY, MODEL, metric.name, False, sentence(text), usual=known.value, unable=True
                )
            continue
        floor = floors.get(metric.name, metric.least(known.value, known.spread))
        p = adjusted[id(test)]
        fired = p <= alpha and compared.harm >= floor
        low, high = bounds(metric, test.measured, compared.reach(0.05))
        yield Result(
            FAMILY,
            test.subject,
            metric.name,
            fired,
            _words(test, low, high, floor, fired, calibrated),
            level="critical" if fired else "info",
            value=test.measured.value,
            usual=known.value,
            low=low,
            high=high,
            p_value=p,
            floor=floor,
            details={"rows": test.rows, "harm": compared.harm, "calibrated": calibrated},
        )


def _words(test: _Test, low: float, high: float, floor: float, fired: bool, calibrated: bool) -> str:
    of = "" if test.subject == MODEL else f" where {test.subject}"
    text = (
        f"{test.metric.words}{of} is {test.measured.value:.4g} ({low:.4g} to {high:.4g}; {test.rows:,} "
        f"labels), usually {test.known.value:.4g}"
    )
    if fired:
        text += f": worse by more than chance explains and than the {floor:.2g} that counts"
    if not calibrated:
        text += "; errors are taken to be independent, since the order of the held-out rows is not known"
    return sentence(text + ".")


def _about_rows(outcomes: Outcomes) -> Iterator[Result]:
    """What was left out; and labels that the model does not know, which are a finding of their own."""
    n = len(outcomes) + sum(outcomes.left_out.values())
    unknown = outcomes.left_out.get(UNKNOWN_CLASS, 0)
    if unknown:
        low, high = wilson(unknown, n)
        fired = low > _UNKNOWN_FLOOR
        text = f"{unknown:,} of {n:,} labels are no class of the model, and were left out of all metrics."
        yield Result(
            FAMILY, MODEL, "unknown_labels", fired, text,
            level="critical" if fired else "info", value=unknown / n, usual=0.0, low=low, high=high,
            floor=_UNKNOWN_FLOOR,
        )  # fmt: skip
    broken = {
        reason: count
        for reason, count in outcomes.left_out.items()
        if reason not in (UNKNOWN_CLASS, "no label")
    }
    if broken:
        text = f"{sum(broken.values()):,} of {n:,} rows were left out: " + ", ".join(
            f"{count:,} with {reason}" for reason, count in broken.items()
        )
        yield Result(
            FAMILY, MODEL, "left_out", False, text + ".", level="warning",
            value=sum(broken.values()) / n, unable=True, details=broken,
        )  # fmt: skip


def _told_left_out(outcomes: Outcomes) -> str:
    parts = [f"{count:,} were left out for {reason}" for reason, count in outcomes.left_out.items()]
    return f" ({'; '.join(parts)})" if parts else ""


def _checked_floors(floors: Mapping[str, float]) -> Mapping[str, float]:
    for name, value in floors.items():
        if name not in METRICS:
            raise InvalidSettings(f"There is no metric '{name}'.", remedy=nearest(name, METRICS))
        if not value >= 0:
            raise InvalidSettings(f"The floor of {name} is {value}.", remedy="Give 0 or more.")
    return floors
