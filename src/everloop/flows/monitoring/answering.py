"""What is checked of a window as soon as it is over: its inputs, its answers, the performance to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

import numpy as np

from everloop.core.documents import load
from everloop.core.monitoring import Checked, Result
from everloop.flows.project import Project
from everloop.monitoring import checks, estimated, faults
from everloop.monitoring.backtest import Track
from everloop.settings.monitoring import Watch
from everloop.store import monitors, predictions

from . import contracting, damaging, production, referring, spans, summing
from .looked import Looked, damaged
from .referring import References
from .spans import Span
from .summing import Summed

BEFORE = 31  # windows that a check looks back on
DRIFT = ("quality", "data", "joint", "prediction")
MOST_ROWS = 200_000  # of a window, whose probabilities are read


def check(
    project: Project, known: References, version: str, span: Span, rules: Watch, alpha: float
) -> Looked:
    """Everything that was looked at; see ``checking.alpha``."""
    window = summing.window(project, known, version, span.since, span.until)
    if window is None or window.rows < rules.min_rows:
        text = (
            f"{span.rows} rows in {spans.LONGEST.days} days are too few to check: "
            f"monitoring.min_rows is {rules.min_rows}."
        )
        few = Result("check", "rows", "rows", False, text, value=float(span.rows), unable=True)
        return Looked([few], span.rows)
    past = before(project, known, version)
    recent = [one.inputs for one in past]
    results = list(checks.check(known.inputs, window.inputs, alpha=alpha, recent=recent))
    if known.answers is not None and window.answers is not None:
        recent = [one.answers for one in past if one.answers is not None]
        moved = checks.check(known.answers, window.answers, alpha=alpha, recent=recent)
        results += [_of_prediction(one) for one in moved]
    if known.estimator is not None:
        results += _estimated(project, known, version, span, alpha)
    broken = damaging.explain(project, known, version, span, window.inputs, results)
    results = faults.told_once(results, broken)
    results += contracting.of_window(project, known, version, span)
    results += _of_the_future(project, known.run.model, version)
    results = [each for each in results if each.subject not in known.masked]
    results += [_masked(name) for name in sorted(known.masked)]
    results += damaged(window.damaged)
    missing = [f"{text[0].upper()}{text[1:]}." for text in known.without]
    results += [Result("check", "reference", "reference", False, each, unable=True) for each in missing]
    return Looked(results, window.rows, window=window)


def _of_the_future(project: Project, model: str, version: str) -> list[Result]:
    """Such rows come into no window before their time."""
    late = project.clock.now() + summing.HOUR
    with project.store.reading() as tx:
        rows = predictions.count(tx, predictions.Wanted(model=model, version=version, since=late))
    if not rows:
        return []
    text = f"{rows:,} predictions have times after {late:%Y-%m-%d %H:%M} UTC: a server's clock is wrong."
    return [Result("check", "time", "future", False, text, "warning", value=float(rows), unable=True)]


def _masked(name: str) -> Result:
    text = f"'{name}' is masked: its values are not in the log, so it is not watched."
    return Result("check", name, "masked", False, text)


def before(project: Project, known: References, version: str) -> list[Summed]:
    """The windows that were checked last, oldest first, without those that were odd by themselves and are
    over: they would be found again in the windows after them."""
    with project.store.reading() as tx:
        past = monitors.checks(tx, known.run.model, version=version, kind="answers", limit=BEFORE)
    found = [summing.past(project, known, version, one.since, one.until) for one in reversed(usual(past))]
    return [one for one in found if one is not None]


def usual(past: Sequence[Checked]) -> list[Checked]:
    """Without those that were odd by themselves and are over. The newest first, as they are given."""
    kept: list[Checked] = []
    for one in past:
        is_over = bool(kept) and not _moved(kept[-1])
        if not (is_over and _is_odd(one)):
            kept.append(one)
    return kept


def _moved(checked: Checked) -> bool:
    """Whether anything fired, or waits for a second voice."""
    return any(each.family in DRIFT and (each.fired or each.details.get("alone")) for each in checked.results)


def _is_odd(checked: Checked) -> bool:
    """Whether something moved that is found in the window alone."""
    return any(
        each.family in DRIFT
        and (each.details.get("alone") or (each.fired and each.details.get("windows", 1) == 1))
        for each in checked.results
    )


def _of_prediction(result: Result) -> Result:
    """Answers that moved say more than inputs that did."""
    level = "warning" if result.fired and result.level == "info" else result.level
    return replace(result, family="prediction", level=level)


def _estimated(project: Project, known: References, version: str, span: Span, alpha: float) -> list[Result]:
    if known.estimator is None:
        return []
    model = known.run.model
    with project.store.snapshot() as tx:
        answers = monitors.answers(tx, model, version, span.since, span.until, inputs=False)
        rows = list(islice(answers, MOST_ROWS))
        kept = monitors.mark(tx, model, version).get("track")
    said = production.of_rows(known.run, known.positive, rows)
    there = ~np.isnan(said.said.reshape(len(said), -1)).any(axis=1)
    when = np.array([datetime.fromisoformat(row["at"]).timestamp() for row in rows])[there]
    return estimated.estimate(
        known.estimator,
        **referring.given_to_judge(said.take(there)),
        order=when,
        alpha=alpha,
        track=load(Track, kept) if kept else None,
    )
