"""The memory of production: what happened to a model, what served at a moment and why, and from an answer
back to the raw data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from everloop.core.data import DatasetVersion
from everloop.core.documents import dump
from everloop.core.errors import Invalid, NotFound
from everloop.core.models import Event, Lineage, ModelVersion
from everloop.core.moments import ago, checked
from everloop.core.monitoring import Checked, Kind
from everloop.core.releases import BUCKETS, CHAMPION, PROD, Look, Release, Strategy, Traffic
from everloop.core.serving import Prediction
from everloop.deployment import buckets
from everloop.flows import environments
from everloop.flows import models as registered
from everloop.flows.project import Project
from everloop.flows.serving.history import Label, labels_of
from everloop.registry import lineage
from everloop.store import datasets, models, monitors, predictions, releases
from everloop.store import history as events
from everloop.store.database import Tx

MOST_PARENTS = 20
MOST_ANSWERS = 2_000  # the newest, of which labels are looked up
LIVE_DAYS = 7
KINDS: tuple[Kind, ...] = ("answers", "labels")
_LATE = 5  # entries of the traffic that a worker may lag behind
_DONE: Mapping[str, tuple[str, ...]] = {  # what a verdict becomes in the history
    "advance": ("shifted",),
    "promote": ("promoted", "concluded"),
    "roll_back": ("rolled_back",),
    "inconclusive": ("inconclusive",),
}


@dataclass(frozen=True)
class Served:
    """An arm at a moment: its share of the requests, and where its version comes from. ``gate`` is what the
    gate said of it, ``held_out`` how good it was on rows held out when it was trained."""

    arm: str
    version: str
    share: float
    dataset: str | None = None
    data_version: str | None = None
    run_id: str | None = None
    git_commit: str | None = None
    gate: str | None = None
    held_out: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """The newest value of a metric at a moment; held-out metrics of the versions are told with these."""

    name: str
    value: float
    at: datetime
    rows: int | None
    model_version: str | None


@dataclass(frozen=True)
class Live:
    """How right a version's answers from ``since`` on were, by the labels that had come by then: the share of
    right ones (``accuracy``) or the mean absolute error (``mae``) of the ``labelled`` ``predictions``."""

    version: str
    metric: Literal["accuracy", "mae"]
    score: float
    labelled: int
    predictions: int
    since: datetime


@dataclass(frozen=True)
class Then:
    """What served at a moment. ``champion`` is what the environment would go back to; ``since``, ``by`` and
    ``reason``: when, by whom and why this traffic was put in force. ``reference`` is the data version that
    later data were compared with; ``look`` the newest look at the release. ``metrics`` were recorded of what
    served, ``live`` is how right it was in the week before (of its newest 2,000 answers at most), ``checks``
    what its monitors had checked last."""

    model: str
    environment: str
    at: datetime
    champion: str
    since: datetime
    by: str
    reason: str
    arms: tuple[Served, ...]
    shadows: tuple[Served, ...] = ()
    release_id: str = ""
    strategy: Strategy | None = None
    look: Look | None = None
    reference: str | None = None
    metrics: tuple[Measured, ...] = ()
    live: tuple[Live, ...] = ()
    checks: tuple[Checked, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """An answer and all that led to it. ``traffic`` is what chose the variant, at ``step`` (from 1 on) of
    ``release``; None where the answer is of no release. ``lineage`` leads on to run, code, data and the file
    that they came from; of the chains the nearest 20 are told."""

    prediction: Prediction
    labels: tuple[Label, ...]
    environment: str
    release: Release | None
    traffic: Traffic | None
    step: int | None
    lineage: Lineage | None


# -- what happened -----------------------------------------------------------------------------------------


def history(
    project: Project, model: str, environment: str | None = None, limit: int | None = None
) -> list[Event]:
    """What happened to a model [the releases to an environment], oldest first; with ``limit`` the newest.

    What a verdict brought about has the look with all its numbers as ``look`` in its details.
    """
    where = environments.find(project, environment).name if environment else None
    with project.store.reading() as tx:
        found = events.list_events(tx, model, limit, environment=where)
        ids = sorted({str(event.details["release_id"]) for event in found if event.details.get("release_id")})
        looks = releases.verdicts(tx, ids) if ids else []
    verdicts: dict[int, Look] = {}
    for look in looks:
        event = next((each for each in found if _is_of(each, look) and each.sequence not in verdicts), None)
        if event is not None:
            verdicts[event.sequence] = look
    return [
        replace(event, details={**event.details, "look": dump(verdicts[event.sequence])})
        if event.sequence in verdicts
        else event
        for event in found
    ]


def check_known(project: Project, model: str) -> None:
    """Raises UnknownModel where a model is neither in the settings nor registered."""
    with project.store.reading() as tx:
        known = models.registered(tx)
    if model not in known:
        project.model(model)


def _is_of(event: Event, look: Look) -> bool:
    """Whether an event is what a look brought about: the first of its kind that is not before the look."""
    return (
        event.details.get("release_id") == look.release_id
        and event.kind in _DONE[look.verdict]
        and event.at >= look.at
        and look.reason in event.summary
    )


# -- what served -------------------------------------------------------------------------------------------


def at(project: Project, model: str, moment: datetime, environment: str = PROD) -> Then:
    """What served at a moment, where it came from, and what was known of it then.

    Raises NotFound where nothing was in the environment yet, Invalid for a moment that is still to come or
    has no zone.
    """
    where = environments.find(project, environment).name
    moment, now = checked(moment, "The moment"), project.clock.now()
    if moment > now:
        raise Invalid(f"{_shown(moment)} is still to come.", remedy=f"It is {_shown(now)} now.")
    with project.store.reading() as tx:
        entry = releases.in_force(tx, model, where, moment) or _earlier(tx, model, where, moment)
        if entry is None:
            raise _nothing(tx, model, where, moment)
        release = _release(tx, entry.release_id)
        looks = releases.list_looks(tx, entry.release_id, limit=1, until=moment) if release else []
        arms = tuple(
            _served(tx, model, arm.name, arm.version, arm.weight / BUCKETS)
            for arm in entry.arms
            if arm.weight
        )
        shadows = tuple(_served(tx, model, "shadow", version, 0.0) for version in entry.shadows)
        known = {each.version: each for each in (*arms, *shadows)}
        return Then(
            model=model,
            environment=where,
            at=moment,
            champion=entry.champion,
            since=entry.at,
            by=entry.by,
            reason=entry.reason,
            arms=arms,
            shadows=shadows,
            release_id=entry.release_id,
            strategy=release.strategy if release else None,
            look=looks[-1] if looks else None,
            reference=_reference(tx, model, moment),
            metrics=_metrics(tx, model, moment, known),
            live=_live(tx, model, moment, known),
            checks=_checks(tx, model, moment, known),
        )


def _earlier(tx: Tx, model: str, environment: str, moment: datetime) -> Traffic | None:
    """What was promoted before releases were kept."""
    found = events.list_events(tx, model, 1, kind=lineage.PROMOTED, environment=environment, until=moment)
    if not found:
        return None
    event = found[0]
    version, reason = str(event.details.get("version", "")), str(event.details.get("reason", ""))
    arms = buckets.direct(version)
    return Traffic(model, environment, 0, event.at, "promoted", version, arms, by=event.by, reason=reason)


def _served(tx: Tx, model: str, arm: str, number: str, share: float) -> Served:
    version = models.find_model_version(tx, model, number)
    if version is None:
        return Served(arm, number, share)
    return Served(
        arm=arm,
        version=number,
        share=share,
        dataset=version.dataset or None,
        data_version=version.data_version or None,
        run_id=version.run_id,
        git_commit=version.git_commit,
        gate=version.tags.get("gate"),
        held_out=version.metrics,
    )


def _reference(tx: Tx, model: str, moment: datetime) -> str | None:
    """The data that later ones were compared with: those of production's champion, or those that somebody
    named since it came."""
    entry = releases.in_force(tx, model, PROD, moment)
    entry = entry or _earlier(tx, model, PROD, moment)
    since = releases.champion_since(tx, model, PROD, moment) or (entry.at if entry else None)
    named = events.list_events(tx, model, 1, kind="referenced", until=moment)
    if named and (since is None or named[0].at >= since):
        return str(named[0].details["data_version"])
    version = models.find_model_version(tx, model, entry.champion) if entry else None
    return version.data_version if version and version.dataset else None


def _metrics(tx: Tx, model: str, moment: datetime, known: Mapping[str, Served]) -> tuple[Measured, ...]:
    """Without what only repeats that a version was so good on held-out rows."""
    found = []
    for row in events.known_metrics(tx, model, moment, list(known)):
        name, value, version = row["name"], row["value"], row["model_version"]
        held_out = known[version].held_out.get(name) if version else None
        if value != held_out or row["rows"] is not None:
            found.append(Measured(name, value, datetime.fromisoformat(row["at"]), row["rows"], version))
    return tuple(found)


def _live(tx: Tx, model: str, moment: datetime, known: Mapping[str, Served]) -> tuple[Live, ...]:
    since = ago(moment, days=LIVE_DAYS)
    return tuple(
        Live(
            version=row["version"],
            metric="accuracy" if row["error"] is None else "mae",
            score=float(row["right"] if row["error"] is None else row["error"]),
            labelled=int(row["labelled"]),
            predictions=int(row["many"]),
            since=since,
        )
        for row in predictions.scored(tx, model, since, moment, MOST_ANSWERS)
        if row["labelled"] and row["version"] in known
    )


def _checks(tx: Tx, model: str, moment: datetime, known: Mapping[str, Served]) -> tuple[Checked, ...]:
    return tuple(
        check
        for version in known
        for kind in KINDS
        for check in monitors.checks(tx, model, version=version, kind=kind, before=moment, limit=1)
    )


def _nothing(tx: Tx, model: str, environment: str, moment: datetime) -> NotFound:
    known = models.registered(tx)
    if model not in known:
        return registered.unknown(known, model)
    beginning = releases.first(tx, model, environment)
    return NotFound(
        f"Nothing of {model} was in {environment} at {_shown(moment)}.",
        remedy=f"The first came at {_shown(beginning.at)}."
        if beginning
        else f"Nothing was released there yet: everloop deploy {model}@latest --env {environment}",
    )


# -- from an answer back to the raw data -------------------------------------------------------------------


def explain(project: Project, prediction_id: str) -> Explanation:
    """From an answer back: the release and what chose its variant, the model, its run, code and data.

    Raises NotFound for a prediction that is not recorded.
    """
    with project.store.reading() as tx:
        row = predictions.one(tx, prediction_id)
        if row is None:
            raise NotFound(
                f"There is no prediction '{prediction_id[:80]}'.",
                remedy="'everloop predictions list' shows the newest; those removed are no longer known.",
            )
        found = predictions.as_prediction(row)
        release = _release(tx, found.release_id or "")
        environment = release.environment if release else project.settings.serving.environment
        entries = releases.list_traffic(tx, found.model, environment, until=found.at, limit=_LATE)
        under = [each for each in entries if each.release_id == (found.release_id or "")]
        entry = next((each for each in under if _chose(each, found)), under[0] if under else None)
        return Explanation(
            prediction=found,
            labels=tuple(labels_of(project, prediction_id)),
            environment=environment,
            release=release,
            traffic=entry,
            step=_step(release, entry) if release and entry else None,
            lineage=_lineage(tx, found.model, found.version),
        )


def _chose(entry: Traffic, prediction: Prediction) -> bool:
    """Whether a prediction's variant was chosen by this traffic: a worker may be behind the newest."""
    how, _, name = prediction.variant.rpartition(":")
    if how:  # by a rule, or as an exception
        return any((arm.name, arm.version) == (name, prediction.version) for arm in entry.arms)
    share = prediction.probability
    if (entry.champion, prediction.variant, share) == (prediction.version, CHAMPION, 1.0):
        return True
    return any(
        (arm.name, arm.version) == (name, prediction.version)
        and (share is None or abs(arm.weight / BUCKETS - share) < 0.5 / BUCKETS)
        for arm in entry.arms
    )


def _step(release: Release, entry: Traffic) -> int | None:
    """At which step of its plan a canary was, from 1 on."""
    weights = [arm.weight for arm in entry.arms if arm.version == release.version]
    return next((at for at, step in enumerate(release.plan.steps, 1) if step in weights), None)


def _lineage(tx: Tx, model: str, number: str) -> Lineage | None:
    version = models.find_model_version(tx, model, number)
    if version is None:
        return None
    promotions = events.list_events(tx, model, kind=lineage.PROMOTED, limit=MOST_PARENTS)
    return lineage.lineage(
        version,
        _with_parents(tx, version),
        {version.run_id: models.find_run(tx, version.run_id)},
        {each.version_id: each for each in _data(tx, version)},
        promotions,
    )


def _with_parents(tx: Tx, version: ModelVersion) -> list[ModelVersion]:
    found = [version]
    while len(found) <= MOST_PARENTS and found[-1].parent:
        model, _, number = found[-1].parent.rpartition("@")
        parent = models.find_model_version(tx, model or version.model, number)
        if parent is None or parent in found:
            break
        found.append(parent)
    return found


def _data(tx: Tx, version: ModelVersion) -> list[DatasetVersion]:
    found: list[DatasetVersion] = []
    following: str | None = version.data_version
    while following and len(found) <= MOST_PARENTS:
        known = datasets.known_version(tx, following, version.dataset or None, statistics=False)
        if known is None or known in found:
            break
        found.append(known)
        following = known.parent
    return found


def _release(tx: Tx, release_id: str) -> Release | None:
    """None where it is not known here, as after a restore of an older backup."""
    try:
        return releases.find(tx, release_id) if release_id else None
    except NotFound:
        return None


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
