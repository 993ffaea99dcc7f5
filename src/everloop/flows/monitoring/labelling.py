"""What is judged of a window when its labels have come: performance, and the stream of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import dropwhile, islice
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.documents import dump, load
from everloop.core.monitoring import Checked, Level, Result
from everloop.flows.project import Project
from everloop.monitoring import backtest, concept, performance
from everloop.monitoring.backtest import Track
from everloop.monitoring.concept import RisingLoss
from everloop.settings.monitoring import Watch
from everloop.store import monitors
from everloop.store.database import Row

from . import production, referring
from .looked import Looked, damaged
from .referring import References
from .spans import MOST_WAITING, Span

MOST_ROWS = 200_000  # of a window
_USUAL, _MANY = 3, 20  # so many windows with so many labels each: a window without any is no chance


def check(
    project: Project, known: References, version: str, span: Span, rules: Watch, alpha: float
) -> Looked:
    """Everything that was looked at of the rows with a label."""
    model = known.run.model
    lost: list[str] = []
    with project.store.snapshot() as tx:
        found = monitors.answers(
            tx,
            model,
            version,
            span.since,
            span.until,
            labelled=True,
            inputs=bool(rules.slices),
            damaged=lost,
        )
        rows = list(islice(found, MOST_ROWS))
        mark = monitors.mark(tx, model, version)
        past = monitors.check_of(tx, model, version, "answers", span.since)
        judged = monitors.checks(tx, model, version=version, kind="labels", limit=MOST_WAITING)
    if not rows or (not span.mature and len(rows) < span.rows):
        return Looked(_given_up(rows, span, rules, judged), len(rows))
    if known.baseline is None:
        return Looked([], len(rows))
    said = production.of_rows(known.run, known.positive, rows)
    given = referring.given_to_judge(said)
    when = _times(rows)
    slices = _slices(known, rows, rules)
    measured = performance.measure(
        known.baseline, said.truth, **given, order=when, slices=slices, alpha=alpha / 2
    )
    kept = {**mark}
    limits = _bounded(known, rules, measured)
    results = [*measured, *limits, *_errors(known, said, span, rules, alpha / 2, kept)]
    results += damaged(lost)
    if past is not None:
        track = load(Track, kept["track"]) if kept.get("track") else Track()
        estimates = [each for each in past.results if each.family == "estimated"]
        kept["track"] = dump(backtest.back_test(track, estimates, measured))
    return Looked(results, len(rows), kept)


def _bounded(known: References, rules: Watch, measured: Sequence[Result]) -> list[Result]:
    limit = rules.performance_min
    limit = rules.accuracy_min_threshold if limit is None else limit
    if limit is None:
        return []
    usual = "rmse" if known.run.task == "regression" else "accuracy"
    return [performance.bounded(measured, rules.metric or usual, limit)]


def _given_up(rows: Sequence[Row], span: Span, rules: Watch, judged: Sequence[Checked]) -> list[Result]:
    """Nothing is said of a model that never got a label, or only now and then. ``judged``: windows before
    this one, the newest first."""
    before = list(dropwhile(lambda one: not one.rows, judged))[:_USUAL]
    if not rows and not (before and all(one.rows >= _MANY for one in before)):
        return []
    why = (
        "whether more come is not known" if rows
        else "earlier windows had labels, so see whether what brings them still runs"
    )  # fmt: skip
    text = f"{len(rows):,} of {span.rows:,} predictions had a label: {why}; performance is not judged."
    level: Level = "info" if rows else "warning"
    return [Result("check", "labels", "labels", False, text, level, value=float(len(rows)), unable=True)]


def _errors(
    known: References, said: production.Answers, span: Span, rules: Watch, alpha: float, kept: dict[str, Any]
) -> list[Result]:
    """The stream of errors, fed in the order of prediction time; ``kept`` is brought up to date."""
    if known.losses is None:
        return []
    there = said.take(said.known())
    if kept.get("errors"):
        detector = RisingLoss.from_document(kept["errors"])
    else:  # one false alarm in as many labels as come while windows fire ``1 / alpha`` times
        detector = RisingLoss(known.losses, average_run=max(1_000.0, span.rows / alpha))
    fed = int(kept.get("fed", 0))
    alarms = detector.feed(referring.losses(there), np.arange(fed, fed + len(there)))
    kept["errors"], kept["fed"] = detector.to_document(), fed + len(there)
    return [concept.judged(detector, alarms, len(there))]


def _slices(known: References, rows: Sequence[Row], rules: Watch) -> Mapping[str, Any] | None:
    if not rules.slices:
        return None
    inputs = known.table(rows)
    empty = pa.nulls(inputs.num_rows)
    return {
        name: inputs.column(name) if name in inputs.column_names else empty
        for name in rules.slices
        if known.baseline and name in known.baseline.cuts
    }


def _times(rows: Sequence[Row]) -> np.ndarray:
    return np.array([datetime.fromisoformat(row["at"]).timestamp() for row in rows])
