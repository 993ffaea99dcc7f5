"""What there is to learn from: labelled predictions whose labels are complete, and samples that were sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from stat import S_ISREG
from typing import Any

from everloop.core.monitoring import Checked
from everloop.flows.monitoring.spans import Span
from everloop.flows.project import Project
from everloop.flows.serving import labels
from everloop.retraining.triage import Rows
from everloop.store import datasets, models, monitors, predictions, samples
from everloop.store.database import Tx
from everloop.store.predictions import Wanted
from everloop.store.times import to_text

LOOK_BACK = timedelta(days=400)
MOST_ROWS = 500_000  # of production, the newest


def seen_until(tx: Tx, model: str) -> datetime | None:
    """Until when the champion has learnt from production; None where it has not."""
    told = _learnt(tx, model).get("production", "")
    return moment(told) if told else None


def _unseen_samples(tx: Tx, model: str) -> int:
    """How many samples the champion has not learnt from, whatever candidates have."""
    return samples.count(tx, model, after=_learnt(tx, model).get("samples") or None)


def _learnt(tx: Tx, model: str) -> Mapping[str, str]:
    """What was added to the data of the champion, and up to which."""
    champion = models.champion(tx, model)
    if champion is None or not champion.dataset:
        return {}
    version = datasets.known_version(tx, champion.data_version, champion.dataset, statistics=False)
    return version.origin if version else {}


def count(project: Project, model: str, until: datetime | None, faults: Sequence[Span] = ()) -> Rows:
    """The rows that the champion has not seen. ``until``: labels of what was predicted before then are
    complete; ``faults``: what no check has seen of broken feeds."""
    now = project.clock.now()
    with project.store.snapshot() as tx:
        sent = _unseen_samples(tx, model)
        if not learns(project, model):
            return Rows(new=sent)
        since = seen_until(tx, model) or now - LOOK_BACK
        total = predictions.count(tx, Wanted(model, since=since))
        labelled = predictions.count(tx, Wanted(model, since=since, label="known"))
        known = Wanted(model, since=since, until=until, label="known")
        done = predictions.count(tx, known) if until else 0
        taught, out = _taught(tx, model, since, until, faults)
    return Rows(taught - out + sent, labelled - done, total - labelled, out, done - taught)


def new(project: Project, model: str, until: datetime | None) -> int:
    """Of these the rows that it would learn: they are counted often."""
    now = project.clock.now()
    with project.store.snapshot() as tx:
        sent = _unseen_samples(tx, model)
        if not learns(project, model):
            return sent
        taught, out = _taught(tx, model, seen_until(tx, model) or now - LOOK_BACK, until)
    return taught - out + sent


def _taught(
    tx: Tx, model: str, since: datetime, until: datetime | None, faults: Sequence[Span] = ()
) -> tuple[int, int]:
    """How many labelled predictions could be learnt, and how many of these are of broken windows."""
    if until is None:
        return 0, 0
    known = Wanted(model, since=since, until=until, label="known", teaches=True)
    out = sum(
        predictions.count(tx, replace(known, since=max(each.since, since), until=min(each.until, until)))
        for each in _apart([*broken_spans(tx, model, since), *faults])
        if max(each.since, since) < min(each.until, until)
    )
    return predictions.count(tx, known), out


def broken_spans(tx: Tx, model: str, since: datetime) -> list[Span]:
    """Windows from then on in which a feed was found broken, apart from each other."""
    found = [one for one in monitors.checks(tx, model, since=since) if is_broken(one)]
    return _apart([Span(one.since, one.until, one.rows) for one in found])


def _apart(found: Sequence[Span]) -> list[Span]:
    """In order, with those that overlap as one."""
    spans: list[Span] = []
    for one in sorted(found, key=lambda each: each.since):
        if spans and one.since < spans[-1].until:
            last = spans[-1]
            spans[-1] = Span(last.since, max(last.until, one.until), last.rows + one.rows)
        else:
            spans.append(one)
    return spans


def is_broken(checked: Checked) -> bool:
    return any(each.breaks_feed for each in checked.results)


def production(
    project: Project,
    model: str,
    until: datetime,
    faults: Sequence[Span] = (),
    damaged: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Labelled predictions from before then as rows to train on, oldest first, without those of broken
    windows, of ``faults`` beside these, and those whose label the answer has decided. What cannot be read
    is left out, too, and its id added to ``damaged``. Each has ``inputs`` by name, ``target``, ``at``, when
    it was predicted, ``weight``, what it counts, and ``judges``, whether a model may be judged by it."""
    settings = project.model(model)
    wanted = Wanted(model, since=project.clock.now() - LOOK_BACK, until=until, label="known", teaches=True)
    with project.store.snapshot() as tx:
        spans = [*broken_spans(tx, model, LONG_AGO), *faults]
        broken = [(to_text(each.since), to_text(each.until)) for each in spans]
        rows = [
            {
                "inputs": inputs_of(row, settings.time_column),
                "target": row["label"],
                "at": row["at"],
                "weight": 1.0 / row["inclusion"] if row["inclusion"] else 1.0,
                "judges": row["selection"] != "seen",
            }
            for row in predictions.intact(predictions.each(tx, wanted), damaged)
            if not _within(row["at"], broken)
        ]
    return rows[-MOST_ROWS:]


LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def until(project: Project, model: str) -> datetime | None:
    """Until when labels are complete; see ``labels.complete_until``."""
    return labels.complete_until(project, model) if learns(project, model) else None


def written(project: Project, model: str) -> datetime | None:
    """When the model's file was written; None where there is none, or none that may be looked at."""
    path = project.model(model).data.path
    try:
        stat = (project.settings.root / path).stat() if path else None
    except OSError:
        return None
    return datetime.fromtimestamp(stat.st_mtime, UTC) if stat and S_ISREG(stat.st_mode) else None


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def learns(project: Project, model: str) -> bool:
    """Whether labelled predictions are rows to train on: not where the log masks what the model was asked."""
    settings = project.model(model)
    return settings.retraining.production and not settings.serving.mask


def inputs_of(row: Any, time_column: str | None) -> dict[str, Any]:
    """What was asked; where its time is not told, when it was predicted."""
    given: dict[str, Any] = json.loads(row["inputs"])
    if time_column is not None and given.get(time_column) is None:
        given[time_column] = row["at"]
    return given


def _within(at: str, spans: Sequence[tuple[str, str]]) -> bool:
    return any(since <= at < until for since, until in spans)
