"""A model's past as a world to simulate the loop in: recorded predictions with their labels, or its data in
the order of their times. Models are trained by the model's own recipe on the rows known at that time, and
compared by its own gate. Only read: nothing is registered or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.decisions import GateVerdict
from everloop.core.errors import Invalid, TooFewRows
from everloop.core.runs import Recipe
from everloop.data import identity
from everloop.deployment import gate
from everloop.flows import usercode, worthwhile
from everloop.flows.constraints import levels
from everloop.flows.project import Project
from everloop.flows.serving import samples
from everloop.monitoring import performance
from everloop.retraining import trial
from everloop.retraining.simulation.world import DAY, Rows, Trained
from everloop.settings import Model
from everloop.store import labels, predictions
from everloop.store.predictions import Wanted
from everloop.training import fitting, prepared, targets, trying

from . import gathering

FIRST = 1 / 3  # of the rows of a table, on which the first model is trained unless a day is named
LEAST = 50  # labelled rows to judge by
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Traffic:
    """Rows of the past, oldest first: ``at`` (n,) in seconds since the epoch, -inf of rows from before all
    traffic; ``known`` (n,), when their labels came, inf for never. ``source`` in words."""

    table: pa.Table
    at: Floats
    known: Floats
    source: str
    since: float
    until: float


def read(
    project: Project, model: Model, since: datetime | None, until: datetime | None, delay: float
) -> Traffic:
    """Recorded predictions where some have labels, else the model's data; ``delay``: seconds that the labels
    of these took. Raises Invalid where there are neither, TooFewRows."""
    found = _recorded(project, model, until) or _data(project, model, delay)
    times = found.at[np.isfinite(found.at)]
    first = since.timestamp() if since else _usual_begin(found, times)
    last = until.timestamp() if until else float(times[-1]) + 1
    first -= first % DAY  # a day of UTC
    _check_days(found, first, last, float(times[-1]))
    judged = np.isfinite(found.known) & (found.at >= first) & (found.at < last)
    if judged.sum() < LEAST:
        raise TooFewRows(
            f"Of {found.source} {int(judged.sum())} with a label are from {_day(first)} to {_day(last)}; it "
            f"takes {LEAST}.",
            remedy="Name other days with --since and --until.",
        )
    there = found.at < last
    return Traffic(
        found.table.filter(pa.array(there)), found.at[there], found.known[there], found.source, first, last
    )


def _check_days(found: Traffic, first: float, last: float, newest: float) -> None:
    """Raises Invalid where they are in no order, TooFewRows where there is nothing in them, or no label."""
    if first > newest:
        raise TooFewRows(
            f"{found.source[0].upper()}{found.source[1:]} are until {_day(newest)}; the first day is "
            f"{_day(first)}.",
            remedy="Name an earlier one with --since.",
        )
    if first >= last:
        raise Invalid(
            f"The first day, {_day(first)}, is not before its end, {_day(last)}.",
            remedy="Name other days with --since and --until.",
        )
    if not (found.known < last).any():
        raise TooFewRows(
            f"Of {found.source} no label is known before the end, {_day(last)}.",
            remedy="Name a shorter --delay, or a later --until.",
        )


def _usual_begin(found: Traffic, times: Floats) -> float:
    """Recorded predictions from the first on; of a table the first third is what was there before."""
    return float(times[0]) if np.isneginf(found.at).any() else float(times[int(FIRST * len(times))])


def _recorded(project: Project, model: Model, until: datetime | None) -> Traffic | None:
    with project.store.snapshot() as tx:
        wanted = Wanted(model.name, until=until, teaches=True)
        if not predictions.count(tx, replace(wanted, label="known")):
            return None
        asked = list(predictions.each(tx, wanted))
        came = labels.latest(tx, [row["prediction_id"] for row in asked])
    base = samples.base_of(project, model)
    rows = [{"inputs": gathering.inputs_of(row, model.time_column), "target": row["label"]} for row in asked]
    at = [datetime.fromisoformat(row["at"]).timestamp() for row in asked]
    names = [row["prediction_id"] for row in asked]
    known = [
        datetime.fromisoformat(came[each]["received_at"]).timestamp() if each in came else np.inf
        for each in names
    ]
    labelled = ~targets.missing(base.column(model.target))
    return Traffic(
        pa.concat_tables([base, samples.like(base.schema, model, rows)]),
        np.concatenate([np.full(base.num_rows, -np.inf), at]),
        np.concatenate([np.where(labelled, -np.inf, np.inf), known]),
        f"{len(asked):,} recorded predictions",
        0.0,
        0.0,
    )


def _data(project: Project, model: Model, delay: float) -> Traffic:
    if model.time_column is None:
        raise Invalid(
            f"No recorded prediction of {model.name} has a label, and its data have no time_column.",
            remedy=f"Set models.{model.name}.time_column, or bring labels: everloop predictions label.",
        )
    table = samples.base_of(project, model)
    recipe = replace(model.recipe(model.task or targets.infer_task(table.column(model.target))))
    times = trying.read_times(table, replace(recipe, time_column=model.time_column), None)
    if not times.real:
        raise Invalid(
            f"'{model.time_column}' holds numbers, not times.", remedy="Name a column of dates or times."
        )
    order = np.argsort(times.values, kind="stable")
    table, at = table.take(pa.array(order)), times.values[order]
    labelled = ~targets.missing(table.column(model.target))
    known = np.where(labelled, at + delay, np.inf)
    return Traffic(
        table, at, known, f"its {table.num_rows:,} rows of data by '{model.time_column}'", 0.0, 0.0
    )


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


class Past:
    """See ``retraining.simulation.world.World``. The first of its days is the one before ``traffic.since``:
    in it the first model is trained."""

    def __init__(self, project: Project, model: Model, traffic: Traffic) -> None:
        self.model, self.traffic, self._project = model, traffic, project
        start = traffic.since - DAY
        self.begin = datetime.fromtimestamp(start, UTC)
        self.days = 1 + int(np.ceil((traffic.until - traffic.since) / DAY))
        self.table = traffic.table
        self.times, self.known = traffic.at - start, traffic.known - start
        target = self.table.column(model.target)
        self.task = model.task or targets.infer_task(target)
        self.kind = self.task
        labelled = ~targets.missing(target)
        self.classes: tuple[str, ...] = ()
        if self.task == "classification":
            self._truth: Any = targets.target_labels(target)
            self.classes = tuple(sorted({str(each) for each in self._truth[labelled]}))
            codes = {name: float(code) for code, name in enumerate(self.classes)}
            self.truth = np.array([codes.get(each, np.nan) for each in self._truth])
        else:
            self._truth = self.truth = targets.target_values(target)
        self._recipe, self._factory = self._cooked()
        self._fits: dict[str, Trained] = {}
        self._usual: dict[int, performance.Baseline | None] = {}
        with project.store.snapshot() as tx:
            self._faults = gathering.broken_spans(tx, model.name, gathering.LONG_AGO)

    @cached_property
    def _hashes(self) -> np.ndarray:
        return identity.row_hashes(self.table)

    @property
    def fits(self) -> int:
        """How many different models were trained."""
        return len(self._fits)

    def _cooked(self) -> tuple[Recipe, Any]:
        """The recipe without folds, tuning and warm starts, and what builds the user's estimator."""
        name, factory = self.model.training.model_type, None
        if usercode.is_user_code(name):
            factory = usercode.read(self._project, name)
        recipe = self.model.recipe(self.task)
        chosen = "try" if recipe.data == "all" and self.model.retraining.try_data else recipe.data
        return replace(recipe, folds=0, tune=None, warm_start=False, data=chosen), factory

    def clock(self, day: int) -> datetime:
        return self.begin + timedelta(days=day + 1)

    def fault(self, day: int) -> str:
        since, until = self.begin + timedelta(days=day), self.begin + timedelta(days=day + 1)
        there = any(each.since < until and each.until > since for each in self._faults)
        return "Its monitors found the feed broken" if there else ""

    def broken(self, day: int) -> bool:
        return bool(self.fault(day))

    def fit(self, rows: Rows) -> Trained:
        key = sha256(rows.tobytes()).hexdigest()
        if key not in self._fits:
            times = self.traffic.at[rows]
            times = np.where(np.isfinite(times), times, self.traffic.since)
            fitted = fitting.fit(
                self.table.take(pa.array(rows)), self._recipe, self._hashes[rows], factory=self._factory,
                times=times,
            )  # fmt: skip
            self._fits[key] = Trained(fitted, rows[fitted.train_index], rows[fitted.test_index])
        return self._fits[key]

    def answers(self, model: Any, rows: Rows) -> Floats:
        said = fitting.predict(model.pipeline, self.table.take(pa.array(rows)), model.features, model.task)
        if self.kind == "regression" or model.classes == self.classes:
            return said
        placed = np.zeros((len(rows), len(self.classes)))
        for position, name in enumerate(model.classes):
            placed[:, self.classes.index(name)] = said[:, position]
        return placed

    def features(self, rows: Rows) -> Mapping[str, Any]:
        table = self.table.take(pa.array(rows))
        names = prepared.chosen_features(table, self._recipe)
        return {name: worthwhile.column_of(table.column(name)) for name in names}

    def worse(self, model: Trained, rows: Rows) -> str:
        """By the real measures of performance on windows."""
        key = id(model)
        try:
            if key not in self._usual:
                about: dict[str, Any] = {}
                if self.classes:
                    about = {"classes": self.classes, "positive": self._positive}
                order = self.times[model.held]
                self._usual[key] = performance.baseline(
                    self._truth[model.held], **self._given(model, model.held), **about,
                    business=self._recipe.business, order=None if np.isneginf(order).any() else order,
                )  # fmt: skip
        except TooFewRows:
            self._usual[key] = None
        base = self._usual[key]
        if base is None:
            return ""
        times = self.times[rows] if base.ordered else None
        found = performance.measure(base, self._truth[rows], **self._given(model, rows), order=times)
        return next((each.message for each in found if each.fired and each.subject == performance.MODEL), "")

    def _given(self, model: Trained, rows: Rows) -> dict[str, Any]:
        said = self.answers(model.model, rows)
        if not self.classes:
            return {"answers": said}
        names = np.asarray(self.classes, dtype=object)
        return {"answers": names[said.argmax(axis=1)], "probabilities": said}

    def moved(self, model: Trained, rows: Rows) -> str:
        """Inputs that move are no reason to retrain by themselves: not looked for."""
        return ""

    @property
    def _positive(self) -> str | None:
        if len(self.classes) != 2:
            return None
        return self.model.positive or self.classes[1]

    def judge(
        self,
        rows: Rows,
        champion: Floats | None,
        new: Trained,
        answers: Floats,
        name: str,
        *,
        again: bool = False,
    ) -> GateVerdict:
        learnt = self._truth[new.learnt]
        constant = fitting.baseline(learnt, learnt[:1], self.task, self.classes)
        table = self.table.take(pa.array(rows))
        policy = self.model.gate_policy()
        if again:
            policy = trial.policy(policy)
        return gate.judge(
            policy,
            task=self.task,
            classes=self.classes,
            positive=self._positive,
            truth=self._truth[rows],
            champion=champion,
            challenger=answers,
            baseline=np.repeat(constant, len(rows), axis=0),
            slices={each: levels(table, each) for each in policy.slices},
            business=self._recipe.business,
            champion_name=name or None,
        )
