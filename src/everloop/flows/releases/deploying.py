"""What operators do with releases: deploy, approve, promote, abort, roll back, look where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from everloop.core.errors import Conflict, Invalid, NotFound, Refused, nearest
from everloop.core.ids import new_id
from everloop.core.models import ModelVersion
from everloop.core.moments import checked
from everloop.core.releases import (
    CONTROL,
    PROD,
    STRATEGIES,
    Arm,
    Look,
    Release,
    Rule,
    Strategy,
    Traffic,
    Unit,
)
from everloop.deployment import bandit, buckets
from everloop.flows import environments, states
from everloop.flows import models as registered
from everloop.flows.project import Project
from everloop.registry.versions import resolve
from everloop.store import models, releases
from everloop.store.database import Tx

from . import planning
from .planning import Wishes


@dataclass(frozen=True)
class Request:
    """What is to be released, and how. ``arms`` of an A/B test: name -> (version, share). ``hourly`` units an
    hour are expected [what was seen]."""

    spec: str
    environment: str = PROD
    strategy: str = "direct"
    reason: str = ""
    arms: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    unit: Unit | None = None
    rules: tuple[Rule, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    wishes: Wishes = field(default_factory=Wishes)


@dataclass(frozen=True)
class Standing:
    """Where a model is in an environment: who answers, the release on its way, and its newest look."""

    model: str
    environment: str
    traffic: Traffic | None
    release: Release | None = None
    look: Look | None = None


def prepare(project: Project, request: Request) -> Release:
    """The release as it would begin, with its plan: nothing is written, so that it has no id.

    Raises Refused for a version that may not come, or a plan that cannot finish; Conflict for one that is
    current already.
    """
    strategy = _strategy(request.strategy)
    _check_fits(request, strategy)
    environment = environments.find(project, request.environment)
    version = registered.find(project, request.spec).version
    with project.store.reading() as tx:
        environments.check(tx, project, environment, version)
        current = states.champion(tx, version.model, environment.name)
        arms = _arms(tx, request, version, current) if strategy == "ab" else ()
    if strategy != "direct" and current is None:
        raise Refused(
            f"Nothing of {version.model} is in {environment.name}: there is nothing to release beside.",
            remedy="The first release is a direct one: --strategy direct.",
        )
    if strategy not in ("direct", "ab") and current is not None:
        _check_inputs(project, version, current)
    if strategy != "ab" and current == version.version:
        raise Conflict(
            f"{version.model}@{version.version} is current in {environment.name} already.",
            remedy="Nothing to do.",
        )
    asked = project.settings.models.get(version.model)
    rules = asked.release if asked else project.settings.release
    release = Release(
        release_id="",
        model=version.model,
        environment=environment.name,
        strategy=strategy,
        version=version.version,
        status="planned",
        created_at=project.clock.now(),
        by=project.user,
        reason=request.reason,
        against=current,
        arms=arms,
        unit=request.unit or rules.unit,
        rules=request.rules,
        overrides=request.overrides,
    )
    _check_routes(release)
    return replace(release, plan=planning.make(project, release, rules, request.wishes))


def deploy(project: Project, request: Request) -> Release:
    """Begin a release, or let it wait for the approval that its environment asks for. Raises what ``prepare``
    does, and Conflict while another release of the model is open there."""
    planned = prepare(project, request)
    release = replace(planned, release_id=new_id("rel", planned.created_at), status="waiting")
    environment = environments.find(project, release.environment)
    with project.store.writing() as tx:
        entered = states.enter(tx, project, release)
        return entered if environment.approval else states.begin(tx, project, entered)


def waits_for(project: Project, release: Release) -> str:
    """Whose approval a release waits for, and how it is given; empty for one that does not wait."""
    environment = environments.find(project, release.environment)
    if release.status != "waiting" or not environment.approval:
        return ""
    return environments.approving(environment, release.release_id)


def approve(project: Project, release_id: str, role: str, note: str = "") -> Release:
    """Approve a release that waits; it begins when the role is the one that its environment asks for."""
    with project.store.writing() as tx:
        release = _open(tx, release_id)
        if release.status != "waiting":
            raise Conflict(
                f"Release {release.release_id} is {release.status}.", remedy="It needs no approval."
            )
        wanted = environments.find(project, release.environment).approval
        if wanted and role != wanted:
            raise Refused(
                f"{release.environment} asks for the approval of '{wanted}', not of '{role}'.",
                remedy=f"Somebody who is '{wanted}' has to approve it.",
            )
        return states.begin(tx, project, states.approve(tx, project, release, role, note))


def promote(project: Project, release_id: str, reason: str = "promoted by hand") -> Release:
    """End a running release by taking its version, whatever its verdict is so far. Of an A/B test that is the
    one it was made for."""
    with project.store.writing() as tx:
        return states.promote(tx, project, _running(tx, project, release_id), reason)


def abort(project: Project, release_id: str, reason: str = "aborted by hand") -> Release:
    """End a release without taking its version."""
    with project.store.writing() as tx:
        return states.end(tx, project, _open(tx, release_id), "aborted", reason)


def rollback(
    project: Project,
    model: str,
    environment: str = PROD,
    *,
    to: str | None = None,
    at: datetime | None = None,
    reason: str = "rolled back by hand",
) -> tuple[str, str]:
    """Go back: end a running release; else make the last good version current again, that of a moment
    (``at``) or a named one (``to``). Returns the versions before and after."""
    where = environments.find(project, environment).name
    if to is not None and at is not None:
        raise Invalid("Both a version and a moment are given.", remedy="Give one of the two.")
    moment = None if at is None else checked(at, "at")
    if moment is not None and moment > project.clock.now():
        raise Invalid(f"{moment.isoformat()} is still to come.", remedy="Give a moment that has been.")
    with project.store.writing() as tx:
        known = _known(tx, model)
        releases.begin(tx, model)
        running = releases.open_release(tx, model, where)
        if running is not None:
            states.end(tx, project, running, "rolled_back", reason)
            if to is None and at is None:
                return running.version, running.against or ""
        if moment is not None:
            then = releases.in_force(tx, model, where, moment)
            if then is None:
                raise NotFound(
                    f"Nothing of {model} was in {where} at {moment.isoformat()}.",
                    remedy=f"See 'everloop history {model} --env {where}'.",
                )
            to = then.champion
        number = resolve(to, known, models.list_aliases(tx, model)).version if to else None
        if running is not None and number is not None and number == states.champion(tx, model, where):
            return running.version, number
        if number is not None and number not in states.champions(tx, model, where):
            _check_new(tx, project, where, next(each for each in known if each.version == number))
        return states.go_back(tx, project, model, where, number, reason)


def _check_new(tx: Tx, project: Project, where: str, version: ModelVersion) -> None:
    """Going back to a version that was never there is a release, and the rules of the environment hold."""
    environment = environments.find(project, where)
    environments.check(tx, project, environment, version)
    if environment.approval:
        raise Refused(
            f"{version.model}@{version.version} was never current in {where}, which asks for the approval of "
            f"'{environment.approval}'.",
            remedy=f"Deploy it: everloop deploy {version.model}@{version.version} --env {where}",
        )


def roll_back_release(project: Project, release_id: str, reason: str = "rolled back by hand") -> Release:
    """Undo one release: end it while it runs, go back behind it while its version is current."""
    with project.store.writing() as tx:
        release = releases.find(tx, release_id)
        releases.begin(tx, release.model)
        if release.status in ("waiting", "running"):
            return states.end(tx, project, release, "rolled_back", reason)
        current = releases.in_force(tx, release.model, release.environment)
        if current is None or current.release_id != release.release_id or release.status != "promoted":
            raise Conflict(
                f"Release {release.release_id} of {release.model}@{release.version} is {release.status} and "
                f"not what answers in {release.environment}.",
                remedy=f"Go back to a version: everloop rollback {release.model} --to VERSION",
            )
        states.go_back(tx, project, release.model, release.environment, None, reason)
        return releases.find(tx, release.release_id)


def standing(project: Project, model: str, environment: str) -> Standing:
    """Where a model is in an environment."""
    where = environments.find(project, environment).name
    with project.store.reading() as tx:
        _known(tx, model)
        release = releases.open_release(tx, model, where)
        looks = releases.list_looks(tx, release.release_id, limit=1) if release else []
        entry = releases.in_force(tx, model, where)
    return Standing(model, where, entry, release, looks[-1] if looks else None)


def find(project: Project, release_id: str) -> Release:
    with project.store.reading() as tx:
        return releases.find(tx, release_id)


def of_model(project: Project, model: str, environment: str | None = None) -> Release:
    """The open release of a model, else its newest one."""
    where = environments.find(project, environment).name if environment else None
    with project.store.reading() as tx:
        _known(tx, model)
        found = releases.list_releases(tx, model, where, statuses=("waiting", "running"), limit=1)
        found = found or releases.list_releases(tx, model, where, limit=1)
    if not found:
        raise NotFound(
            f"There is no release of {model} yet.", remedy=f"Make one: everloop deploy {model}@latest"
        )
    return found[0]


def list_releases(
    project: Project, model: str | None = None, environment: str | None = None, limit: int | None = None
) -> list[Release]:
    """Newest first."""
    where = environments.find(project, environment).name if environment else None
    with project.store.reading() as tx:
        if model is not None:
            _known(tx, model)
        return releases.list_releases(tx, model, where, limit=limit)


def looks(project: Project, release_id: str, limit: int | None = None) -> list[Look]:
    """The looks at a release, oldest first; with ``limit`` the newest of them."""
    with project.store.reading() as tx:
        return releases.list_looks(tx, releases.find(tx, release_id).release_id, limit)


# -- what is asked for ---------------------------------------------------------------------------------------


def _strategy(name: str) -> Strategy:
    for known in STRATEGIES:
        if name.strip().lower().replace("_", "-").replace("a/b", "ab") == known:
            return known
    raise Invalid(f"There is no strategy '{name}'.", remedy=nearest(name, STRATEGIES))


def _arms(tx: Tx, request: Request, version: ModelVersion, current: str | None) -> tuple[Arm, ...]:
    """The arms of an A/B test: the champion is the control unless an arm is called that."""
    known = models.list_model_versions(tx, version.model)
    aliases = models.list_aliases(tx, version.model)
    given = dict(request.arms) or {"candidate": (version.version, 0.5)}
    shares = {
        name: (resolve(number, known, aliases).version, share) for name, (number, share) in given.items()
    }
    rest = 1.0 - sum(share for _, share in shares.values())
    if CONTROL not in shares and current is not None:
        if rest < 1e-9:
            raise Invalid(
                "The shares of the arms leave nothing for the control.",
                remedy="Let them sum to less than 1, or name one arm 'control'.",
            )
        shares = {CONTROL: (current, rest), **shares}
    _check_arms({name: number for name, (number, _) in shares.items()}, version)
    if request.wishes.bandit:
        versions = {name: number for name, (number, _) in shares.items()}
        return bandit.start(versions, request.wishes.floor, request.wishes.hold_out)
    return buckets.split(shares)


def _check_arms(versions: Mapping[str, str], released: ModelVersion) -> None:
    """Each arm is another version, and one of them that which is released."""
    names: dict[str, str] = {}
    for name, number in versions.items():
        if number in names:
            raise Invalid(
                f"The arms '{names[number]}' and '{name}' are both {released.model}@{number}: none is tested "
                "against itself.",
                remedy="Give each arm a version of its own.",
            )
        names[number] = name
    if names.get(released.version, CONTROL) == CONTROL:
        tested = ", ".join(f"{name} ({number})" for name, number in versions.items() if name != CONTROL)
        raise Invalid(
            f"{released.model}@{released.version} is to be released, and what is tested is {tested}.",
            remedy=f"Name one: --arm NAME={released.version}:SHARE, or deploy the version of an arm.",
        )


def _check_fits(request: Request, strategy: Strategy) -> None:
    """Nothing is asked for that this strategy would not do: it may be the wrong strategy."""
    asked = request.wishes
    gradual = tuple(each for each in STRATEGIES if each != "direct")
    judged: tuple[Strategy, ...] = ("canary", "shadow", "ab")
    fitting: tuple[tuple[str, bool, Sequence[Strategy]], ...] = (
        ("arms", bool(request.arms), ("ab",)),
        ("split to adjust", asked.bandit, ("ab",)),
        ("steps", asked.steps is not None, ("canary",)),
        ("measures", asked.measures is not None or asked.goal is not None, judged),
        ("label delay", asked.label_delay is not None, judged),
        ("size to agree on", asked.size is not None, judged),
        (
            "plan",
            any(each is not None for each in (asked.dwell, asked.longest, asked.alpha, asked.hourly)),
            gradual,
        ),
    )
    for what, given, strategies in fitting:
        if given and strategy not in strategies:
            raise Invalid(
                f"A {strategy} release has no {what}.",
                remedy=f"Leave it away, or choose the strategy {' or '.join(strategies)}.",
            )


def _check_inputs(project: Project, version: ModelVersion, current: str) -> None:
    """Versions that are compared answer the same requests."""
    with project.store.reading() as tx:
        other = models.find_model_version(tx, version.model, current)
    if other is None or other.form is None or version.form is None:
        return
    new, old = ({each.name for each in one.form.fields} for one in (version, other) if one.form)
    if new == old:
        return
    lacking, more = sorted(old - new), sorted(new - old)
    said = [f"does not take {', '.join(map(repr, lacking))}"] if lacking else []
    said += [f"asks for {', '.join(map(repr, more))}"] if more else []
    raise Refused(
        f"{version.model}@{version.version} {' and '.join(said)}, unlike {current}: no request fits both.",
        remedy="Change the callers and deploy it directly, or under a model name of its own.",
    )


def _check_routes(release: Release) -> None:
    """Rules and overrides name arms of the release."""
    named = {rule.arm for rule in release.rules} | set(release.overrides.values())
    if not named:
        return
    if release.strategy not in ("canary", "ab"):
        raise Invalid(f"A {release.strategy} release has no arms to route to.", remedy="Leave rules away.")
    arms = {arm.name for arm in release.arms} or {states.candidate(release), "control", "champion"}
    for name in named - arms:
        raise Invalid(f"There is no arm '{name}'.", remedy=nearest(name, arms))


def _known(tx: Tx, model: str) -> list[ModelVersion]:
    known = models.list_model_versions(tx, model)
    if not known:
        raise registered.unknown(models.registered(tx), model)
    return known


def _open(tx: Tx, release_id: str) -> Release:
    release = releases.find(tx, release_id)
    releases.begin(tx, release.model)
    return releases.find(tx, release.release_id)


def _running(tx: Tx, project: Project, release_id: str) -> Release:
    release = _open(tx, release_id)
    if release.status != "running":
        approval = waits_for(project, release)
        raise Conflict(
            f"Release {release.release_id} is {release.status}.",
            remedy=approval or "Only one that runs ends so.",
        )
    return release
