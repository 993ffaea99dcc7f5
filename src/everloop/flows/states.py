"""The states of releases. Each change is one transaction: the release, who answers from now on, the history,
and in prod the alias ``champion`` with all that hangs on it.

Who answers is the newest entry of an append-only table, whose numbers are unique: of two who change the same
model at once, one gets a Conflict, and a process that is killed leaves the old entry in force or the new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from everloop.core.errors import Conflict, DeploymentError, UnknownVersion
from everloop.core.ids import new_id, token
from everloop.core.models import ModelVersion
from everloop.core.releases import (
    BUCKETS,
    CHAMPION,
    OPEN,
    PROD,
    Approval,
    Arm,
    Change,
    Release,
    Status,
    Traffic,
)
from everloop.deployment import buckets
from everloop.store import history, models, releases
from everloop.store.database import Tx

from . import environments, promotion
from .project import Project

_NAMES = {"canary": "canary", "blue-green": "green", "rolling": "new", "shadow": "shadow"}


def champion(tx: Tx, model: str, environment: str) -> str | None:
    """The version that is current in an environment."""
    entry = releases.in_force(tx, model, environment)
    if entry is None and environment == PROD:  # promoted by an earlier everloop
        return models.list_aliases(tx, model).get(CHAMPION)
    return entry.champion if entry else None


def running(project: Project) -> list[Release]:
    """The releases that run in the environment that is served here."""
    environment = project.settings.serving.environment
    with project.store.reading() as tx:
        return releases.list_releases(tx, environment=environment, statuses=("running",))


def candidate(release: Release) -> str:
    """The name of the arm of a release's version."""
    return _NAMES.get(release.strategy, CHAMPION)


# -- the beginning -----------------------------------------------------------------------------------------


def promote_now(
    tx: Tx, project: Project, version: ModelVersion, reason: str, environment: str = PROD
) -> Release:
    """A direct release: the version answers everything from now on, or once the role has approved that the
    environment asks for. Raises Refused by the environment's rules, Conflict while another runs."""
    place = environments.find(project, environment)
    environments.check(tx, project, place, version)
    releases.begin(tx, version.model)
    _refuse_second(tx, version.model, place.name)
    release = Release(
        release_id=new_id("rel", project.clock.now()),
        model=version.model,
        environment=place.name,
        strategy="direct",
        version=version.version,
        status="waiting",
        created_at=project.clock.now(),
        by=project.user,
        reason=reason,
        against=champion(tx, version.model, place.name),
    )
    return enter(tx, project, release) if place.approval else promote(tx, project, release, reason)


def enter(tx: Tx, project: Project, release: Release) -> Release:
    """Take in a release that waits for its approval, or begin it. Raises Conflict while another runs, and
    where it was planned against a champion that is none any more."""
    releases.begin(tx, release.model)
    _refuse_second(tx, release.model, release.environment)
    current = champion(tx, release.model, release.environment)
    if current != release.against:
        raise Conflict(
            f"{release.model}@{current} became current in {release.environment} while this release was "
            f"planned against {release.against or 'nothing'}.",
            remedy="Release it again: it is planned anew.",
        )
    releases.put(tx, release)
    strategy = release.strategy
    what = f"{release.model}@{release.version} to {release.environment} by {strategy}"
    _tell(tx, project, release, "released", f"{what}: {release.reason}" if release.reason else what)
    return release


def begin(tx: Tx, project: Project, release: Release) -> Release:
    """Let a release answer what its strategy gives it at first."""
    releases.begin(tx, release.model)
    now = project.clock.now()
    if release.strategy == "direct" or release.against is None:
        return promote(tx, project, release, release.reason or "a direct release")
    running = replace(release, status="running", started_at=now, step=0, step_since=now)
    releases.put(tx, running)
    shape = _shape(running)
    _direct(tx, project, running, "shifted", running.against or "", reason="the release begins", **shape)
    _tell(tx, project, running, "shifted", _shares(running.model, shape["arms"]), shape)
    return running


def _shape(release: Release) -> dict[str, Any]:
    """The traffic of a release at its beginning."""
    against = release.against or ""
    name = candidate(release)
    if release.strategy == "canary":
        arms = buckets.canary(against, release.version, release.plan.steps[0])
        shared = {"unit": release.unit, "rules": release.rules, "overrides": release.overrides}
        return {"arms": arms, "salt": token(), **shared}
    if release.strategy == "ab":
        shared = {"unit": release.unit, "rules": release.rules, "overrides": release.overrides}
        return {"arms": release.arms, "salt": token(), **shared}
    if release.strategy == "shadow":
        return {"arms": buckets.direct(against), "shadows": (release.version,)}
    arms = (replace(buckets.direct(release.version)[0], name=name),)
    return {"arms": arms, "warm": (against,), "one_by_one": release.strategy == "rolling"}


def _refuse_second(tx: Tx, model: str, environment: str) -> None:
    other = releases.open_release(tx, model, environment)
    if other is not None:
        raise Conflict(
            f"Release {other.release_id} ({model}@{other.version} by {other.strategy}) is {other.status} in "
            f"{environment}.",
            remedy=f"Wait for it, or end it: everloop release abort {other.release_id}",
        )


# -- on the way --------------------------------------------------------------------------------------------


def approve(tx: Tx, project: Project, release: Release, role: str, note: str = "") -> Release:
    """Keep an approval; the release may then begin."""
    given = Approval(role, project.user, project.clock.now(), note)
    approved = replace(release, approvals=(*release.approvals, given))
    releases.put(tx, approved)
    said = f"{release.release_id} approved as {role}" + (f": {note}" if note else "")
    _tell(tx, project, approved, "approved", said, {"role": role, "note": note})
    return approved


def widen(tx: Tx, project: Project, release: Release, step: int, reason: str) -> Release:
    """Take a canary to one of its steps: candidate and control keep every bucket that they have."""
    before = _expect(tx, release)
    return _shift(
        tx, project, release, before, buckets.widen(before.arms, release.plan.steps[step]), step, reason
    )


def reweigh(tx: Tx, project: Project, release: Release, weights: Mapping[str, int], reason: str) -> Release:
    """Give the arms of an A/B test other weights; arms that grow keep every bucket that they have."""
    before = _expect(tx, release)
    arms = buckets.reallocate(before.arms, weights)
    return _shift(tx, project, release, before, arms, release.step, reason)


def _shift(
    tx: Tx, project: Project, release: Release, before: Traffic, arms: tuple[Arm, ...], step: int, reason: str
) -> Release:
    now = project.clock.now()
    moved = replace(release, step=step, step_since=now if step != release.step else release.step_since)
    releases.put(tx, moved)
    entry = replace(before, arms=arms, sequence=before.sequence + 1, at=_after(before, now), change="shifted")
    releases.direct(tx, replace(entry, reason=reason, by=project.user))
    _tell(tx, project, moved, "shifted", f"{_shares(release.model, arms)}: {reason}", {"arms": arms})
    return moved


# -- the end -----------------------------------------------------------------------------------------------


def promote(tx: Tx, project: Project, release: Release, reason: str) -> Release:
    """The release's version is the champion from now on."""
    done = _ended(tx, project, release, "promoted", reason)
    version = _version(tx, release.model, release.version)
    arms = buckets.direct(release.version)
    warm = (release.against,) if release.against else ()
    _direct(tx, project, done, "promoted", release.version, arms=arms, reason=reason, warm=warm)
    previous = release.against
    place = "champion" if release.environment == PROD else f"current in {release.environment}"
    said = f"{release.model}@{release.version} is {place}" + (f" after {previous}" if previous else "")
    _tell(tx, project, done, "promoted", f"{said}: {reason}", {"previous": previous, "reason": reason})
    if release.environment == PROD:
        promotion.install(tx, project, version)
    return done


def end(tx: Tx, project: Project, release: Release, status: Status, reason: str) -> Release:
    """The release is over and its version not taken: the champion answers everything again."""
    done = _ended(tx, project, release, status, reason)
    if release.status == "running":
        before = _expect(tx, release)
        arms = buckets.direct(before.champion)
        change: Change = "rolled_back" if status == "rolled_back" else "ended"
        good = _release_of(tx, release.model, release.environment, before.champion)
        _direct(
            tx, project, replace(done, release_id=good), change, before.champion, arms=arms, reason=reason
        )
    kept = release.against or "nothing"
    words = {
        "rolled_back": f"{release.model}@{release.version} rolled back to {kept}",
        "inconclusive": f"{release.release_id} is inconclusive, {kept} stays",
        "concluded": f"{release.release_id} concluded, {kept} stays",
    }.get(status, f"{release.release_id} aborted, {kept} stays")
    _tell(tx, project, done, status, f"{words}: {reason}", {"reason": reason})
    return done


def go_back(
    tx: Tx, project: Project, model: str, environment: str, version: str | None, reason: str
) -> tuple[str, str]:
    """Make an earlier version the champion again [the last good one]; returns the version before and after.

    The last good one is that before the champion, without those that were rolled back from.
    """
    releases.begin(tx, model)
    current = champion(tx, model, environment)
    if current is None:
        raise DeploymentError(f"Nothing of {model} is in {environment}.", remedy="Deploy a version first.")
    to = version or last_good(tx, model, environment)
    if to is None:
        raise DeploymentError(
            f"There is nothing before {model}@{current} in {environment} to go back to.",
            remedy="Name a version: --to VERSION.",
        )
    if to == current:
        raise Conflict(f"{model}@{to} is current in {environment} already.", remedy="Nothing to do.")
    made = _version(tx, model, to)
    now = project.clock.now()
    blamed = _release_of(tx, model, environment, current)
    release = releases.find(tx, blamed) if blamed else None
    if release is not None and release.status == "promoted":
        releases.put(tx, replace(release, status="rolled_back", finished_at=now, outcome=reason))
    good = _release_of(tx, model, environment, to)
    shown = Release(good, model, environment, "direct", to, "promoted", now, project.user, against=current)
    if not good:  # it was never released here: now it is
        shown = replace(shown, release_id=new_id("rel", now), reason=reason, finished_at=now, outcome=reason)
        releases.put(tx, shown)
    arms = buckets.direct(to)
    _direct(tx, project, shown, "rolled_back", to, arms=arms, reason=reason, warm=(current,))
    details = {"previous": current, "reason": reason, "rolled_back": blamed}
    _tell(tx, project, shown, "rolled_back", f"{model}@{current} rolled back to {to}: {reason}", details)
    if environment == PROD:
        promotion.install(tx, project, made)
    return current, to


def champions(tx: Tx, model: str, environment: str) -> set[str]:
    """All versions that were ever current in an environment."""
    found = {version for _, version, _ in releases.champions(tx, model, environment)}
    before = _before_releases(tx, model, environment)
    return found if before is None else found | {before}


def last_good(tx: Tx, model: str, environment: str) -> str | None:
    """The champion before the current one, without versions that were rolled back from since they were last
    promoted."""
    stack: list[str] = []
    for change, version, _ in releases.champions(tx, model, environment):
        if change == "rolled_back" and version in stack:
            while stack[-1] != version:
                stack.pop()
        elif not stack or stack[-1] != version:
            stack.append(version)
    ended = releases.last_outcomes(tx, model, environment)
    for version in reversed(stack[:-1]):
        if ended.get(version) != "rolled_back" and version != stack[-1]:
            return version
    if len(stack) > 1:
        return None
    before = _before_releases(tx, model, environment)
    return before if stack and before != stack[0] else None


def _before_releases(tx: Tx, model: str, environment: str) -> str | None:
    """The version that was current before releases were kept."""
    first = releases.first(tx, model, environment)
    return releases.find(tx, first.release_id).against if first and first.release_id else None


# -- what all changes share --------------------------------------------------------------------------------


def _ended(tx: Tx, project: Project, release: Release, status: Status, reason: str) -> Release:
    releases.begin(tx, release.model)
    if release.status not in OPEN:
        raise Conflict(
            f"Release {release.release_id} is {release.status}.",
            remedy="See 'everloop release list' for those that run.",
        )
    done = replace(release, status=status, finished_at=project.clock.now(), outcome=reason)
    releases.put(tx, done)
    return done


def _expect(tx: Tx, release: Release) -> Traffic:
    """The traffic of a running release. Raises Conflict when something else is in force."""
    releases.begin(tx, release.model)
    before = releases.in_force(tx, release.model, release.environment)
    if before is None or before.release_id != release.release_id:
        raise Conflict(
            f"Release {release.release_id} is not what answers in {release.environment}.",
            remedy="See 'everloop release status'.",
        )
    return before


def _direct(
    tx: Tx, project: Project, release: Release, change: Change, champion: str, *,
    arms: tuple[Arm, ...], reason: str, **more: Any,
) -> None:  # fmt: skip
    before = releases.in_force(tx, release.model, release.environment)
    entry = Traffic(
        model=release.model,
        environment=release.environment,
        sequence=before.sequence + 1 if before else 1,
        at=_after(before, project.clock.now()),
        change=change,
        champion=champion,
        arms=arms,
        release_id=release.release_id,
        by=project.user,
        reason=reason,
        **more,
    )
    releases.direct(tx, entry)


def _after(before: Traffic | None, now: datetime) -> datetime:
    """Times never go back, whatever the clocks of several machines say."""
    return max(before.at, now) if before else now


def _release_of(tx: Tx, model: str, environment: str, version: str) -> str:
    """The newest release that made a version champion; empty: one from before releases were kept."""
    found = [one for _, made, one in releases.champions(tx, model, environment) if made == version]
    return found[-1] if found else ""


def _version(tx: Tx, model: str, number: str) -> ModelVersion:
    known = {version.version: version for version in models.list_model_versions(tx, model)}
    if number not in known:
        raise UnknownVersion(f"There is no {model}@{number}.", remedy="See 'everloop models list'.")
    return known[number]


def _shares(model: str, arms: Sequence[Arm]) -> str:
    return ", ".join(f"{arm.name} {model}@{arm.version} {arm.weight / BUCKETS:.4g}" for arm in arms)


def _tell(
    tx: Tx,
    project: Project,
    release: Release,
    kind: str,
    summary: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    shown = {
        "release_id": release.release_id,
        "environment": release.environment,
        "version": release.version,
    }
    more = {name: value for name, value in (details or {}).items() if name != "arms"}
    if details and "arms" in details:
        more["arms"] = {arm.name: [arm.version, arm.weight] for arm in details["arms"]}
    plain = {
        name: value for name, value in more.items() if isinstance(value, (str, int, float, dict, type(None)))
    }
    now = project.clock.now()
    history.append(tx, release.model, kind, summary, at=now, by=project.user, details={**shown, **plain})
