"""Releases as people are told of them: the plan in words, who answers, what is current where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from everloop.core.errors import NotFound, UnknownModel, nearest
from everloop.core.releases import BUCKETS, Environment, Guardrail, Interval, Look, Release, Traffic
from everloop.core.spans import words
from everloop.deployment.checks import LEAST, stated
from everloop.deployment.compared import find_measure
from everloop.deployment.words import listed, number, percent
from everloop.flows import environments, states
from everloop.flows import models as registered
from everloop.flows.project import Project
from everloop.store import failures as asked
from everloop.store import models, observations, releases

from . import deploying


@dataclass(frozen=True)
class View:
    """A release, its plan in words, who answers in its environment now, and its newest look. ``failed``: by
    arm, the requests that it could not answer, and how many of these the fallback answered. ``waits``: whose
    approval it waits for, and how that is given."""

    release: Release
    plan: tuple[str, ...]
    answers: Traffic | None = None
    look: Look | None = None
    failed: Mapping[str, Instead] = field(default_factory=dict)
    waits: str = ""


@dataclass(frozen=True)
class Instead:
    """Of the ``requests`` that an arm could not answer, those that the fallback ``answered``."""

    requests: int
    answered: int


@dataclass(frozen=True)
class Failed:
    """A request that an arm could not answer (``failed``), or whose inputs it refused (``refused``)."""

    at: datetime
    variant: str
    version: str
    kind: str
    error: str
    request_id: str


@dataclass(frozen=True)
class Current:
    """The version of a model that is current in an environment. ``since`` is None for one that was promoted
    before releases were kept; ``release_id`` is the release that made it that, ``on_its_way`` one that is
    open there."""

    version: str
    since: datetime | None = None
    release_id: str | None = None
    on_its_way: str | None = None


@dataclass(frozen=True)
class Place:
    """An environment and what is current of each model in it."""

    environment: Environment
    current: Mapping[str, Current]


def view(project: Project, release: Release) -> View:
    with project.store.reading() as tx:
        answers = releases.in_force(tx, release.model, release.environment)
        looks = releases.list_looks(tx, release.release_id, limit=1)
        rescued = observations.rescued(tx, release.release_id) if release.strategy != "shadow" else {}
    failed = {arm: Instead(*counts) for arm, counts in rescued.items()}
    waits = deploying.waits_for(project, release)
    return View(release, plan(project, release), answers, looks[-1] if looks else None, failed, waits)


def failures(project: Project, release: Release, limit: int) -> list[Failed]:
    """The newest requests of a release that were not answered, newest first."""
    with project.store.reading() as tx:
        rows = asked.list_failures(tx, release.release_id, limit)
    return [
        Failed(
            datetime.fromisoformat(row["at"]),
            *(str(row[name] or "") for name in ("variant", "version", "kind", "error", "request_id")),
        )
        for row in rows
    ]


def named(project: Project, name: str, environment: str | None = None) -> Release:
    """The release that a release's id or a model's name means: of a model the open one, else the newest.
    Raises NotFound."""
    with project.store.reading() as tx:
        known = models.registered(tx)
    if name in known:
        return deploying.of_model(project, name, environment)
    try:
        return deploying.find(project, name)
    except NotFound as error:
        if name.startswith("rel_"):
            raise
        raise UnknownModel(
            f"There is no model or release '{name}'.",
            remedy=f"{nearest(name, known)} 'everloop release list' shows all releases.",
        ) from error


def places(project: Project) -> list[Place]:
    """Each environment with its rules and what is current in it."""
    found = []
    with project.store.reading() as tx:
        known = models.registered(tx)
        for name in environments.names(project):
            current = {}
            for model in known:
                version = states.champion(tx, model, name)
                if version is not None:
                    running = releases.open_release(tx, model, name)
                    since = releases.champion_since(tx, model, name)
                    made = releases.champions(tx, model, name)
                    current[model] = Current(
                        version, since, made[-1][2] if made else None, running.release_id if running else None
                    )
            found.append(Place(environments.find(project, name), current))
    return found


def rules_words(environment: Environment) -> str:
    """What a version needs to come to an environment."""
    said = []
    if environment.validated:
        said.append("it passed the gate")
    if environment.after:
        waited = f" for {words(environment.seconds)}" if environment.seconds else ""
        said.append(f"it has been current in {environment.after}{waited}")
    if environment.approval:
        said.append(f"'{environment.approval}' approves")
    return listed(said) if said else "no rule"


# -- a look ------------------------------------------------------------------------------------------------

EVIDENCE = (
    "Evidence: how many times likelier all this is if the guardrail is broken than if not. 1 says nothing; "
    "the number that vetoes is rarely reached by chance, however often one looks."
)


def proven_words(release: Release, interval: Interval) -> str:
    """What is proven of a measure, and what its goal asks for beyond that."""
    said = interval.proven.replace("_", " ")
    measures = release.plan.measures
    goal = next((each.goal for each in measures if each.name == interval.measure), "no_harm")
    first = release.strategy == "ab" and bool(measures) and measures[0].name == interval.measure
    asked = goal == "better" or first
    return f"{said}; not yet better" if asked and interval.proven == "no_harm" else said


def turned(look: Look) -> str:
    """Which differences are the other way round; empty if none is."""
    names = sorted({i.measure for i in look.intervals if find_measure(i.measure).sign < 0})
    if not names:
        return ""
    return f"Of {listed(names)} less is better: the difference is control minus new, so that + is better."


# -- the plan ----------------------------------------------------------------------------------------------


def plan(project: Project, release: Release) -> tuple[str, ...]:
    """What a release does; before it begins also whose approval it needs, and what the gate had against
    it."""
    if release.status not in ("planned", "waiting"):
        return plan_words(release)
    role = environments.find(project, release.environment).approval
    said = [f"It begins when '{role}' approves it."] if role else []
    tags = registered.find(project, _named(release)).version.tags
    if tags.get("gate_verdict") == "keep":
        said.append(f"The gate did not promote {release.version}: {tags['gate']}.")
    return (*plan_words(release), *said)


def plan_words(release: Release) -> tuple[str, ...]:
    """What a release does, by what it is judged, and what its plan can detect."""
    if release.strategy == "direct":
        after = f" after {release.against}" if release.against else ""
        return (f"{_named(release)} answers every request in {release.environment} at once{after}.",)
    return tuple(
        line
        for line in (
            *_course(release),
            _promotes(release),
            _vetoes(release),
            _deadline(release),
            *release.plan.detects,
        )
        if line
    )


def _course(release: Release) -> list[str]:
    """Who answers what, step by step."""
    plan, new, old = release.plan, _named(release), release.against
    if release.strategy == "canary":
        first, *later = [percent(step, BUCKETS) for step in plan.steps]
        then = f", then {', '.join(later)}" if later else ""
        return [
            f"{new} answers {first} of the requests in {release.environment}, beside a control of the same "
            f"size ({old}){then}; each step takes {words(plan.dwell)} at least."
        ]
    if release.strategy == "ab":
        shares = [f"{arm.name} ({arm.version}) {percent(arm.weight, BUCKETS)}" for arm in release.arms]
        split = [f"The requests in {release.environment} are split: {listed(shares)}."]
        if plan.bandit:
            split.append(
                f"Thompson sampling moves the split to the arms that do better; each keeps "
                f"{percent(plan.floor)} at least, and {percent(plan.hold_out)} of the requests stay split as "
                "they are."
            )
        return split
    if release.strategy == "shadow":
        return [f"{new} sees the requests that {old} answers in {release.environment}, and answers nobody."]
    how = "one worker after the other" if release.strategy == "rolling" else "at once"
    if not plan.dwell:
        taken = f"it is taken when {'all have it' if release.strategy == 'rolling' else 'it is there'}"
        return [f"{new} takes over every request in {release.environment}, {how}; {taken} and answers."]
    return [
        f"{new} takes over every request in {release.environment}, {how}; {old} stays loaded for "
        f"{words(plan.dwell)}, until {release.version} has proved itself."
    ]


def _promotes(release: Release) -> str:
    measures = release.plan.measures
    if release.strategy in ("blue-green", "rolling"):
        return ""
    if not measures:
        return f"{_ends_well(release)} when all steps have run and no guardrail was touched."
    best = release.strategy == "ab"
    asked: dict[str, list[str]] = {}
    for place, each in enumerate(measures):
        what = find_measure(each.name)
        if what.sign == 0:
            proof = f"proven not to differ by {number(each.margin)} or more"
        elif each.goal == "better" or (best and place == 0):
            proof = "proven better"
        else:
            proof = f"proven not worse by {number(each.margin)} or more"
        asked.setdefault(proof, []).append(what.words)
    parts = [f"{listed(names)} {'is' if len(names) == 1 else 'are'} {p}" for p, names in asked.items()]
    return f"{'The arm is promoted of which' if best else f'{_ends_well(release)} when'} {listed(parts)}."


def _ends_well(release: Release) -> str:
    return "It is concluded" if release.strategy == "shadow" else "It is promoted"


def _vetoes(release: Release) -> str:
    rails = release.plan.guardrails
    counted = [rail for rail in rails if rail.event != "crash"]
    if release.strategy in ("blue-green", "rolling"):
        usual = release.plan.usual
        parts = [
            f"{_what(rail)} for over {percent(stated(rail, usual))} of the units ({LEAST} at least)"
            for rail in counted
        ]
    else:
        parts = [f"{_or([_rail(rail) for rail in counted])} more often than under the control"] * bool(
            counted
        )
    parts += ["the serving process crashes twice" for rail in rails if rail.event == "crash"]
    return f"It is rolled back at once when {_or(parts)}." if parts else ""


def _what(rail: Guardrail) -> str:
    return {
        "failed": "requests fail",
        "refused": "inputs are refused",
        "slow": f"answers take over {number(rail.above or 0.0)} ms",
    }[rail.event]


def _rail(rail: Guardrail) -> str:
    what = _what(rail)
    return what if rail.ratio == 1 else f"{what} ({number(rail.ratio)} times as often is put up with)"


def _or(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _deadline(release: Release) -> str:
    if release.strategy in ("blue-green", "rolling"):
        return ""
    alpha = percent(release.plan.alpha)
    return (
        f"What is not proven after {words(release.plan.longest)} is inconclusive: {release.against} stays. "
        f"A false verdict has a probability of {alpha} at most, however often one looks."
    )


def _named(release: Release) -> str:
    return f"{release.model}@{release.version}"


def shares(entry: Traffic) -> list[tuple[str, str, float]]:
    """Who answers: arm, version, share of the requests."""
    return [(arm.name, arm.version, arm.weight / BUCKETS) for arm in entry.arms]
