"""The demo: the flights of 2013 arrive week by week, and each arrival is one turn of the loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.turns import Listener, TurnSummary
from everloop.data import writing
from everloop.data.examples.arrivals import arrivals
from everloop.data.examples.flights import flights
from everloop.store import history, models, turns
from everloop.training import fitting, targets

from . import data, turn
from .demo_folder import FILE, MODEL
from .material import Material
from .project import Project

WEEKS = 40
_TIME = "scheduled"
_FIRST_MONTHS = 3


@dataclass(frozen=True)
class Arrival:
    """Flights that arrive together, from ``begins`` on: the rows ``first`` to ``last`` of the table."""

    begins: datetime
    first: int
    last: int


@dataclass(frozen=True)
class Week:
    """A period that has arrived: what its turn did, which version had served, and how well on its flights."""

    arrival: Arrival
    summary: TurnSummary
    served: str | None
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Story:
    """The table in order of time, and how it arrives: the first months, then period by period."""

    table: pa.Table
    arrivals: tuple[Arrival, ...]

    def until(self, arrival: Arrival) -> pa.Table:
        return self.table.slice(0, arrival.last)

    def of(self, arrival: Arrival) -> pa.Table:
        return self.table.slice(arrival.first, arrival.last - arrival.first)


def tell(weeks: int = WEEKS, days: int = 7) -> Story:
    """January to March, then ``weeks`` weeks in periods of ``days`` days."""
    table = flights()
    start = int(pc.sum(pc.less_equal(table["month"], _FIRST_MONTHS)).as_py())
    found = [Arrival(table[_TIME][0].as_py(), 0, start)]
    for begins, rows in islice(arrivals(table.slice(start), _TIME, days), -(-7 * weeks // days)):
        found.append(Arrival(begins, found[-1].last, found[-1].last + rows.num_rows))
    return Story(table, tuple(found))


def left(project: Project, story: Story) -> Sequence[Arrival]:
    """The arrivals that no finished turn has had yet."""
    newest = -np.inf
    with project.store.reading() as tx:
        for row in turns.list_turns(tx, MODEL):
            if row["status"] in ("done", "stopped"):
                version = data.find(project, row["summary"]["data_version"])
                newest = max(newest, version.statistics[_TIME].maximum or newest)
    times = story.table[_TIME]
    return [a for a in story.arrivals if times[a.last - 1].as_py().timestamp() > newest]


def replay(
    project: Project, story: Story, chosen: Sequence[Arrival], listener: Listener = turn.silent
) -> Iterator[Week]:
    """Let the chosen periods arrive: the file grows by one and the loop turns once, each time."""
    for arrival in chosen:
        content = writing.to_bytes(story.until(arrival), FILE.suffix)
        project.write_file(project.settings.root / FILE, content)
        summary = turn.run(project, MODEL, listener=listener)
        served, metrics = _measured(project, summary)
        yield Week(arrival, summary, served, metrics)
        if served is not None:
            _measure_first(project, story.of(arrival), summary, served)


def _measured(project: Project, summary: TurnSummary) -> tuple[str | None, dict[str, float]]:
    """Which version served when the rows of this turn came, and how well."""
    with project.store.reading() as tx:
        found = [m for m in history.list_metrics(tx, MODEL) if m["turn_id"] == summary.turn_id and m["rows"]]
    served = found[0]["model_version"] if found else None
    return served, {m["name"]: m["value"] for m in found if m["model_version"] == served}


def _measure_first(project: Project, arrived: pa.Table, summary: TurnSummary, served: str) -> None:
    """How the first model would have done on these rows, once another one serves: for the comparison."""
    with project.store.reading() as tx:
        first = models.list_model_versions(tx, MODEL)[0]
        run = models.find_run(tx, first.run_id)
    if first.version == served:
        return
    known = arrived.filter(pc.is_valid(arrived[run.recipe.target]))
    pipeline = Material(project, project.model(MODEL)).pipeline(run)
    answers = fitting.predict(pipeline, known, run.features, run.task)
    truth = targets.target_labels(known[run.recipe.target])
    values = fitting.measure(truth, answers, run.task, run.classes, run.recipe.positive, run.recipe)
    with project.store.writing() as tx:
        history.add_metrics(
            tx,
            MODEL,
            values,
            at=project.clock.now(),
            rows=known.num_rows,
            data_version=summary.data_version,
            model_version=first.version,
            turn_id=summary.turn_id,
        )
