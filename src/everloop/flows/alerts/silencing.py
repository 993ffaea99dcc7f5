"""Silences: for a while nobody is told of a model, or of one subject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from everloop.core.errors import Conflict, Invalid, nearest
from everloop.core.ids import new_id
from everloop.core.monitoring import Silence
from everloop.flows.project import Project
from everloop.store import alerts, history, models, monitors
from everloop.store.database import Tx

from . import routing

LONGEST = 90 * 86_400.0  # seconds: a silence that nobody remembers hides everything


def silence(
    project: Project, model: str | None, seconds: float, why: str, *, subject: str | None = None
) -> Silence:
    """For ``model`` (None: all). Raises UnknownModel; Invalid for no time, over 90 days, no reason."""
    if model is not None:
        project.model(model)
    if not 0 < seconds <= LONGEST:
        raise Invalid(
            "A silence lasts more than no time and at most 90 days.", remedy="Write it as 2h or 3d."
        )
    if not why.strip():
        raise Invalid("A silence needs a reason.", remedy="Say why: others will ask.")
    now = project.clock.now()
    made = Silence(
        new_id("silence", now), model, subject, now, now + timedelta(seconds=seconds), project.user, why
    )
    with project.store.writing() as tx:
        alerts.put_silence(tx, made)
        _tell(tx, project, made, "silenced", f"{_what(made)} until {made.until:%Y-%m-%d %H:%M} UTC: {why}")
    return made


def unknown(project: Project, made: Silence) -> str | None:
    """What is to be said of a silence whose subject no monitor has told of yet: it holds, since one may be
    silenced ahead, and may be misspelt. None where it is known, or nothing is known to compare it with."""
    if made.subject is None:
        return None
    with project.store.reading() as tx:
        of = [made.model] if made.model is not None else models.registered(tx)
        known = {name for model in of for name in _subjects(tx, model)}
    if not known or made.subject in known:
        return None
    whose = made.model or "any model"
    return f"No monitor of {whose} has looked at '{made.subject}' yet. {nearest(made.subject, known)}"


def _subjects(tx: Tx, model: str) -> Iterator[str]:
    """What findings about a model can be about: its features, and all that was looked at last."""
    for found in models.list_model_versions(tx, model):
        yield from models.find_run(tx, found.run_id).features
    for one in monitors.latest_checks(tx, model):
        for result in one.results:
            yield from routing.names(result)
    for alert in alerts.list_alerts(tx, model, "open"):
        for finding in alert.findings:
            yield from routing.names(finding.result)


def end(project: Project, silence_id: str) -> Silence:
    """Before its time. Raises NotFound, Conflict for one that has ended."""
    now = project.clock.now()
    with project.store.writing() as tx:
        found = alerts.find_silence(tx, silence_id)
        if found.until <= now:
            raise Conflict(
                f"{found.silence_id} has ended at {found.until:%Y-%m-%d %H:%M} UTC.",
                remedy="'everloop alerts silences' shows those that hold.",
            )
        ended = replace(found, until=now)
        alerts.put_silence(tx, ended)
        _tell(tx, project, ended, "unsilenced", _what(ended))
    return ended


def listed(project: Project, *, every: bool = False) -> list[Silence]:
    """Those that hold, or ``every`` one."""
    with project.store.reading() as tx:
        return alerts.list_silences(tx, None if every else project.clock.now())


def _what(made: Silence) -> str:
    return f"{made.silence_id}, {made.subject or 'everything'} of {made.model or 'all models'}"


def _tell(tx: Tx, project: Project, made: Silence, kind: str, said: str) -> None:
    if made.model is not None:
        history.append(tx, made.model, kind, said, at=project.clock.now(), by=project.user)
