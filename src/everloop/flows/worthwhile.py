"""Whether training would help, asked of the champion's errors on labelled rows that it has not seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core import spans
from everloop.core.decisions import Evidence
from everloop.core.errors import Invalid, MLOpsError, TooFewRows
from everloop.core.runs import Run
from everloop.retraining import benefit, moving, triage
from everloop.store import models
from everloop.training import trying

from . import candidates
from .fitted import About
from .material import Material
from .project import Project


def judge(material: Material, run: Run, proven: bool, known: About) -> Evidence:
    """``fired``: a candidate is worth training. ``run`` made the champion; ``proven``: labels have shown that
    it got worse. ``known`` of the rows: the time of those that were there before the rest is the first."""
    there = material.labelled & ~material.seen(run)
    new = there & ~material.had(run)
    there = new if new.sum() >= benefit.FEWEST else there
    if run.task == "classification":
        there &= np.isin(_labels(material, run, there), run.classes)
    found = _benefit(material, run, np.flatnonzero(there))
    learnt = max(1, run.train_rows + run.test_rows)
    growth = float(material.labelled.sum()) / learnt
    steps, refused = _tried(material, run)
    good, why = benefit.worth(
        found,
        growth=growth,
        steps=steps,
        moves=_moves(material, run, known) if steps >= benefit.WAIT else None,
        refused=refused,
        gained=_gained(material, run),
        proven=proven,
        window=spans.seconds(material.model.monitoring.window),
    )
    value = None if found is None else found.gain
    return Evidence("benefit", good, why, value, 0.0)


def _moves(material: Material, run: Run, known: About) -> moving.Moves | None:
    """Of all labelled rows whose time is known, and that are there whatever the model answered."""
    name, there, times = material.model.time_column, material.labelled, known.times
    if known.judges is not None:
        there = there & known.judges
    if name is not None:
        times = _seconds(material, name)
    elif times is not None:
        there = there & (times > times.min())
    if times is None:
        return None
    rows = np.flatnonzero(there)
    new = int((there & ~material.had(run)).sum())
    table = material.table.take(pa.array(rows))
    columns = {each: table.column(each) for each in run.features if each != name}
    told = {each: column_of(one) for each, one in columns.items() if not pa.types.is_temporal(one.type)}
    return moving.judge(told | {material.model.target: material.truth(run, rows)}, times[rows], new)


def _benefit(material: Material, run: Run, rows: np.ndarray) -> benefit.Benefit | None:
    if not len(rows):
        return None
    table = material.table.take(pa.array(rows))
    answers, truth = material.answers(run, table), material.truth(run, rows)
    if run.task == "classification":
        truth = _codes(run, truth)
        answers = answers[:, 1] if len(run.classes) == 2 else answers
    features = {name: column_of(table.column(name)) for name in run.features}
    try:
        return benefit.estimate(answers, truth, features, _times(material, table), kind=run.task)
    except (TooFewRows, Invalid):
        return None


def _labels(material: Material, run: Run, there: np.ndarray) -> np.ndarray:
    """Of all rows as texts; empty where none is asked for."""
    found = np.full(len(there), "", dtype=object)
    found[there] = material.truth(run, np.flatnonzero(there))
    return found


def _codes(run: Run, truth: np.ndarray) -> np.ndarray:
    codes = {name: code for code, name in enumerate(run.classes)}
    return np.array([codes[name] for name in truth])


def column_of(values: pa.ChunkedArray) -> np.ndarray:
    """Numbers, times as numbers, anything else as texts."""
    kind = values.type
    if pa.types.is_boolean(kind):
        values, kind = values.cast(pa.int8()), pa.int8()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.array([str(each) for each in values.to_pylist()], dtype=object)
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _seconds(material: Material, name: str) -> np.ndarray | None:
    """Of each row, since the epoch; None for a column that holds no times, or not of each row."""
    try:
        times = trying.read_times(material.table, replace(material.recipe, time_column=name), None)
    except MLOpsError:
        return None
    return times.values if times.real else None


def _times(material: Material, table: pa.Table) -> np.ndarray:
    """By the column of times, else in the order of the table: what is new comes last."""
    name = material.model.time_column
    found: Any = None
    if name is not None and name in table.column_names:
        found = column_of(table.column(name))
    if found is None or found.dtype == object or np.isnan(found).any():
        return np.arange(table.num_rows, dtype=np.float64)
    return np.asarray(found)


def _tried(material: Material, run: Run) -> tuple[float, int]:
    """How many periods ago a candidate was last trained, and how many were not promoted in a row. Where that
    is not known nothing waits."""
    last, refused = last_tried(material.project, run)
    if last is None:
        return benefit.WAIT, refused
    since = (material.project.clock.now() - last).total_seconds()
    return since / spans.seconds(material.model.monitoring.window), refused


def last_tried(project: Project, run: Run) -> tuple[datetime | None, int]:
    """When a candidate was last trained (before any: the champion, which ``run`` made), and how many were not
    promoted in a row. One that came to nothing, as its turn failed, is none. None where all are dated in the
    future: a clock was wrong."""
    with project.store.reading() as tx:
        runs = models.list_runs(tx, run.model, limit=20)
        registered = {one.run_id for one in models.list_model_versions(tx, run.model)}
    newer = [one for one in runs if one.started_at > run.started_at and one.run_id in registered]
    known = triage.past([run.started_at, *(one.started_at for one in newer)], project.clock.now())
    return max(known, default=None), len(newer)


def _gained(material: Material, run: Run) -> float | None:
    with material.project.store.reading() as tx:
        runs = models.list_runs(tx, run.model, limit=benefit.MEMORY)
        judged = [candidates.gate_of(tx, one.turn_id) for one in runs]
    return benefit.gained(each for each in judged if each is not None)
