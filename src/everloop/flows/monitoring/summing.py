"""Production summed up, an hour at a time: any window over any number of servers is a merge of hours.

An hour is a pure function of the recorded predictions, so it is made again when more have come, and a process
that dies between leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from everloop.flows.project import Project
from everloop.monitoring import windows
from everloop.monitoring.windows import Window
from everloop.store import monitors, predictions
from everloop.store.database import Row, Tx
from everloop.store.predictions import Wanted

from . import production
from .referring import References
from .spans import Span, begin_of

HOUR = timedelta(hours=1)
BATCH = 5_000  # rows in memory


KEPT = timedelta(days=90)  # hours and windows


@dataclass(frozen=True)
class Summed:
    """The inputs and the answers of a window, without the predictions that are ``damaged``, by id."""

    inputs: Window
    answers: Window | None
    damaged: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.inputs.rows

    def document(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs.to_document(),
            "answers": self.answers.to_document() if self.answers else None,
            "damaged": list(self.damaged),
        }


def hour_name(moment: datetime) -> str:
    """As predictions are counted by: ``2026-11-21T09``."""
    return moment.astimezone(UTC).isoformat()[:13]


def window(
    project: Project, known: References, version: str, since: datetime, until: datetime
) -> Summed | None:
    """The window from ``since`` to before ``until``, both whole hours; None where nobody asked.

    What is not summed up yet, or was before more predictions came, is summed up now."""
    model = known.run.model
    with project.store.reading() as tx:
        there = predictions.per_hour(tx, Wanted(model, version, since=since, until=until))
        done = monitors.hour_rows(tx, model, version, hour_name(since), hour_name(until))
    for hour, rows in sorted(there.items()):
        if done.get(hour) != rows:
            _sum_hour(project, known, version, begin_of(hour))
    parts = _kept(project, known, version, 1, since, until)
    return merged(parts) if parts else None


def keep(tx: Tx, model: str, version: str, span: Span, made: Summed) -> None:
    """Keep a window that was checked, so that later ones can look back on it; old ones go."""
    hours = round((span.until - span.since) / HOUR)
    if hours > 1:
        monitors.put_window(tx, model, version, hour_name(span.since), hours, made.rows, made.document())
    monitors.forget_windows(tx, model, version, hour_name(span.since - KEPT))


def past(
    project: Project, known: References, version: str, since: datetime, until: datetime
) -> Summed | None:
    """A window that was checked."""
    found = _kept(project, known, version, round((until - since) / HOUR), since, since + HOUR)
    return found[0] if found else None


def merged(parts: Sequence[Summed]) -> Summed:
    """At least one."""
    answers = [part.answers for part in parts if part.answers is not None]
    inputs = windows.merge([part.inputs for part in parts])
    damaged = tuple(each for part in parts for each in part.damaged)
    return Summed(inputs, windows.merge(answers) if answers else None, damaged)


def _sum_hour(project: Project, known: References, version: str, start: datetime) -> None:
    model, made, rows = known.run.model, None, 0
    damaged: list[str] = []
    with project.store.snapshot() as tx:
        answers = monitors.answers(tx, model, version, start, start + HOUR, damaged=damaged)
        while some := list(islice(answers, BATCH)):
            rows += len(some)
            summed = _summed(known, some, start)
            made = merged([made, summed]) if made else summed
    if made is not None:
        made, rows = replace(made, damaged=tuple(damaged)), rows + len(damaged)
        with project.store.writing() as tx:
            monitors.put_window(tx, model, version, hour_name(start), 1, rows, made.document())


def _summed(known: References, rows: Sequence[Row], start: datetime) -> Summed:
    table = known.table(rows)
    inputs = windows.summarise(known.inputs, table, phases=known.phase_of(start))
    if known.answers is None:
        return Summed(inputs, None)
    said = production.of_rows(known.run, known.positive, rows).table()
    return Summed(inputs, windows.summarise(known.answers, said))


def _kept(
    project: Project, known: References, version: str, hours: int, since: datetime, until: datetime
) -> list[Summed]:
    with project.store.reading() as tx:
        rows = monitors.windows(tx, known.run.model, version, hours, hour_name(since), hour_name(until))
    found = []
    for document in (row["document"] for row in rows):
        answers = document["answers"]
        found.append(
            Summed(
                Window.from_document(known.inputs, document["inputs"]),
                Window.from_document(known.answers, answers) if known.answers and answers else None,
                tuple(document.get("damaged", ())),
            )
        )
    return found
