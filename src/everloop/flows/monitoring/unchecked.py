"""Rows that are needed before their window is over and checked: their feed is looked at now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Result
from everloop.flows.project import Project
from everloop.monitoring import checks
from everloop.store import monitors, predictions
from everloop.store.predictions import Wanted

from . import answering, checking, damaging, referring, spans, summing
from .spans import Span
from .summing import HOUR

LEAST = 100  # rows, with fewer nothing is told of them


@dataclass(frozen=True)
class Fault:
    """What is broken in a part of production that no check has seen."""

    span: Span
    result: Result


def faults(project: Project, model: str, until: datetime) -> list[Fault]:
    """Of what was predicted before ``until``. Nothing is kept and nobody alerted: the check of the window
    does that, when it is over."""
    with project.store.reading() as tx:
        versions = monitors.versions(tx, model, until - spans.LONGEST)
    return [
        Fault(span, result)
        for version in versions
        for span in _parts(project, model, version, until)
        for result in _looked(project, model, version, span)
        if result.breaks_feed
    ]


def _parts(project: Project, model: str, version: str, until: datetime) -> Iterator[Span]:
    """From the end of the last check on, as long as windows, or longer where few asked."""
    step = spans.length(spans.rules_of(project, model))
    with project.store.reading() as tx:
        last = monitors.checks(tx, model, version=version, kind="answers", limit=1)
        begun = monitors.first(tx, model, version, last[0].until if last else until - spans.LONGEST)
        if begun is None or begun >= until:
            return
        hours = predictions.per_hour(tx, Wanted(model, version, since=begun, until=until))
    since = end = spans.floor(begun, HOUR)
    rows = 0
    while end < until:
        following = min(end + step, spans.floor(until, HOUR) + HOUR)
        rows += spans.asked(hours, end, following)
        end = following
        if rows >= LEAST:
            yield Span(since, end, rows)
            since, rows = end, 0


def _looked(project: Project, model: str, version: str, span: Span) -> list[Result]:
    try:
        known = referring.of_version(project, model, version)
    except MLOpsError:
        return []  # nothing is known of what is usual
    window = summing.window(project, known, version, span.since, span.until)
    if window is None:
        return []
    recent = [one.inputs for one in answering.before(project, known, version)]
    alpha = checking.alpha(spans.rules_of(project, model))
    results = list(checks.check(known.inputs, window.inputs, alpha=alpha, recent=recent))
    return results + damaging.explain(project, known, version, span, window.inputs, results)
