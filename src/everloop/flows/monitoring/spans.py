"""Which windows of production are over and were not checked yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from everloop.core import spans
from everloop.flows.project import Project
from everloop.flows.serving import labels
from everloop.settings.monitoring import Watch
from everloop.store import monitors, predictions
from everloop.store.predictions import Wanted

GRACE = timedelta(minutes=5)  # in which the predictions of an hour still come in from the logs
DAY = timedelta(days=1)
LONGEST = timedelta(days=30)  # of a window, while too few rows come
MOST_WAITING = 400  # windows whose labels are waited for


@dataclass(frozen=True)
class Span:
    """A window of a version: whole hours from ``since`` to before ``until``, UTC. ``mature``: its labels have
    come."""

    since: datetime
    until: datetime
    rows: int
    mature: bool = False


def waiting(project: Project) -> list[str]:
    """The models with windows that are over and were not checked yet, or whose labels are waited for."""
    now = project.clock.now()
    with project.store.reading() as tx:
        names = predictions.models(tx)
        versions = {name: monitors.versions(tx, name, now - LONGEST) for name in names}
    return [
        name
        for name, found in versions.items()
        if any(waits(project, name, version, rules_of(project, name)) for version in found)
    ]


def rules_of(project: Project, model: str) -> Watch:
    """How a model is watched, also one that is not in the settings."""
    settings = project.settings.models.get(model)
    return settings.monitoring if settings else project.settings.monitoring


def length(rules: Watch) -> timedelta:
    return timedelta(seconds=spans.seconds(rules.window))


def floor(moment: datetime, step: timedelta) -> datetime:
    """Days and shorter windows begin where UTC days do."""
    origin = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, for weeks
    return origin + (moment - origin) // step * step


def over(project: Project, model: str, version: str, rules: Watch) -> Iterator[Span]:
    """Windows whose answers are to be checked, oldest first. One with fewer than ``min_rows`` rows goes on
    into the next, for 30 days at most."""
    now, step = project.clock.now(), length(rules)
    with project.store.reading() as tx:
        last = monitors.checks(tx, model, version=version, kind="answers", limit=1)
        begun = monitors.first(tx, model, version, last[0].until if last else now - LONGEST)
        if begun is None:
            return
        hours = predictions.per_hour(tx, Wanted(model, version, since=floor(begun, step), until=now))
    since = max(floor(begun, step), last[0].until) if last else floor(begun, step)
    until, rows = since, 0
    while until + step + GRACE <= now:
        following = until + step
        rows += asked(hours, until, following)
        until = following
        if rows >= rules.min_rows or until - since >= LONGEST:
            yield Span(since, until, rows)
            since, rows = until, 0


def waits(project: Project, model: str, version: str, rules: Watch) -> bool:
    """Whether a window is to be checked, or its labels are waited for."""
    if next(over(project, model, version, rules), None) is not None:
        return True
    with project.store.reading() as tx:
        newest = [
            monitors.checks(tx, model, version=version, kind=kind, limit=1) for kind in ("answers", "labels")
        ]
    answers, judged = newest
    return bool(answers) and (not judged or judged[0].since < answers[0].since)


def labelled(project: Project, model: str, version: str, rules: Watch) -> Iterator[Span]:
    """Windows whose labels are to be judged, oldest first: their labels have come, or were waited for long
    enough."""
    now = project.clock.now()
    wait = timedelta(seconds=spans.seconds(rules.label_wait))
    with project.store.reading() as tx:
        checked = monitors.checks(tx, model, version=version, kind="answers", limit=MOST_WAITING)
        last = monitors.checks(tx, model, version=version, kind="labels", limit=1)
    waiting = [one for one in reversed(checked) if not last or one.since >= last[0].until]
    if not waiting:
        return
    ready = _maturity(project, model, waiting[0].since, now, length(rules))
    for one in waiting:
        there = [come for start, come in ready.items() if one.since <= start < one.until]
        mature = bool(there) and all(there)
        if mature or now - one.until > wait:
            yield Span(one.since, one.until, one.rows, mature)
        else:
            return  # later ones wait for it: errors are looked at in the order of time


def _maturity(
    project: Project, model: str, since: datetime, until: datetime, step: timedelta
) -> dict[datetime, bool]:
    periods = labels.maturity(project, model, since, until, by="hour" if step < DAY else "day")
    return {period.start: period.mature for period in periods}


def asked(hours: Mapping[str, int], since: datetime, until: datetime) -> int:
    """How many rows there are from ``since`` to before ``until``, of ``predictions.per_hour``."""
    return sum(n for hour, n in hours.items() if since <= begin_of(hour) < until)


def begin_of(hour: str) -> datetime:
    """Of an hour as predictions are counted by."""
    return datetime.fromisoformat(f"{hour}:00:00+00:00")
