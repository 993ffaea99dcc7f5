"""Production summed up, an hour at a time: any window over any number of servers is a merge of hours.

An hour is a pure function of the recorded predictions, so it is made again when more have come, and a process
that dies between leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from everloop.core.runs import Run
from everloop.flows.project import Project
from everloop.monitoring import windows
from everloop.monitoring.windows import Window
from everloop.store import monitors, predictions
from everloop.store.predictions import Wanted

from . import production
from .referring import References

HOUR = timedelta(hours=1)
BATCH = 5_000  # rows in memory


@dataclass(frozen=True)
class Summed:
    """The inputs and the answers of a window."""

    inputs: Window
    answers: Window | None

    @property
    def rows(self) -> int:
        return self.inputs.rows


def hour_name(moment: datetime) -> str:
    """As predictions are counted by: ``2026-11-21T09``."""
    return moment.astimezone(UTC).isoformat()[:13]


def sum_up(
    project: Project, model: str, version: str, known: References, since: datetime, until: datetime
) -> None:
    """Sum up the hours in between that are not yet, or that more predictions have come of."""
    with project.store.reading() as tx:
        there = predictions.per_hour(tx, Wanted(model, version, since=since, until=until))
        done = monitors.hour_rows(tx, model, version, hour_name(since), hour_name(until))
    for hour, rows in sorted(there.items()):
        if done.get(hour) != rows:
            start = datetime.fromisoformat(f"{hour}:00:00+00:00")
            _sum_hour(project, model, version, known, start)


def _sum_hour(project: Project, model: str, version: str, known: References, start: datetime) -> None:
    made: list[Summed] = []
    rows = 0
    with project.store.snapshot() as tx:
        answers = monitors.answers(tx, model, version, start, start + HOUR)
        while some := list(islice(answers, BATCH)):
            rows += len(some)
            made = [merged([*made, _summed(known, known.run, some)])]
    document = {
        "inputs": made[0].inputs.to_document(),
        "answers": made[0].answers.to_document() if made[0].answers else None,
    }
    with project.store.writing() as tx:
        monitors.put_hour(tx, model, version, hour_name(start), rows, document)


def _summed(known: References, run: Run, rows: Sequence[Any]) -> Summed:
    answers = None
    if known.answers is not None:
        table = production.of_rows(run, known.positive, rows).table()
        answers = windows.summarise(known.answers, table)
    return Summed(windows.summarise(known.inputs, production.inputs(rows, known.kinds)), answers)


def merged(parts: Sequence[Summed]) -> Summed:
    """At least one."""
    if len(parts) == 1:
        return parts[0]
    answers = [part.answers for part in parts if part.answers is not None]
    return Summed(windows.merge([part.inputs for part in parts]), windows.merge(answers) if answers else None)


def load(
    project: Project, model: str, version: str, known: References, since: datetime, until: datetime
) -> Summed | None:
    """The window from ``since`` to before ``until``, both whole hours; None where nobody asked."""
    with project.store.reading() as tx:
        rows = monitors.hours(tx, model, version, hour_name(since), hour_name(until))
    parts = list(_parts(known, [row["document"] for row in rows]))
    return merged(parts) if parts else None


def _parts(known: References, documents: Sequence[dict[str, Any]]) -> Iterator[Summed]:
    for document in documents:
        answers = document["answers"]
        yield Summed(
            Window.from_document(known.inputs, document["inputs"]),
            Window.from_document(known.answers, answers) if known.answers and answers else None,
        )
