"""A look at a running release: see, judge, write down, act."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core.errors import Conflict
from everloop.core.releases import PROD, Look, Release, Seen
from everloop.deployment import judging
from everloop.deployment.judging import Judgement
from everloop.flows import states
from everloop.flows.project import Project
from everloop.store import loop, releases
from everloop.store.database import Tx

from . import observing

KEEP_EVERY = timedelta(seconds=5)
KEPT = 500  # looks that changed nothing, in as much time again as a release has run


def look(project: Project, release_id: str) -> tuple[Release, Look]:
    """Look at a release and do what the verdict says, in one transaction with the look.

    Raises Conflict for a release that does not run, or that somebody else changed meanwhile.
    """
    with project.store.reading() as tx:
        release = releases.find(tx, release_id)
    if release.status != "running" or release.started_at is None:
        raise Conflict(f"Release {release.release_id} is {release.status}.", remedy="Look at one that runs.")
    now = project.clock.now()
    seen = observing.seen(project, release, now)
    since = release.step_since or release.started_at
    judged = judging.judge(
        release,
        seen,
        (now - release.started_at).total_seconds(),
        (now - since).total_seconds(),
        release.plan.usual,
    )
    return _settle(project, release, now, seen, judged)


def glance(project: Project, release: Release) -> tuple[Release, Look] | None:
    """Look at failures, refusals and crashes alone, and roll back where they veto; None where they do not.
    Cheap enough for every second: units are counted only if those of the last look were too few, as more of
    them only weaken the evidence. A shadow serves nobody: it has time. Raises Conflict."""
    if release.strategy == "shadow":
        return None
    with project.store.reading() as tx:
        before = releases.list_looks(tx, release.release_id, limit=1)
    known = {each.arm: each.units for look in before for each in look.seen}
    usual = release.plan.usual
    if judging.alarmed(release, observing.troubles(project, release, known), usual) is None:
        return None
    now, seen = project.clock.now(), observing.troubles(project, release)
    judged = judging.alarmed(release, seen, usual)
    return _settle(project, release, now, seen, judged) if judged else None


def _settle(
    project: Project, release: Release, now: datetime, seen: tuple[Seen, ...], judged: Judgement
) -> tuple[Release, Look]:
    """Keep a look and do what its verdict says, in one transaction."""
    with project.store.writing() as tx:
        releases.begin(tx, release.model)
        if releases.find(tx, release.release_id) != release:
            raise Conflict(f"Release {release.release_id} was changed meanwhile.", remedy="Look again.")
        before = releases.list_looks(tx, release.release_id, limit=1)
        made = Look(
            release_id=release.release_id,
            sequence=before[0].sequence + 1 if before else 1,
            at=now,
            step=release.step,
            verdict=judged.verdict,
            reason=judged.reason,
            seen=seen,
            intervals=judged.intervals,
            checks=judged.checks,
            winner=judged.winner,
        )
        if _is_news(made, before[0] if before else None, release.started_at or now):
            releases.add_look(tx, made)
        return _act(tx, project, release, made), made


def _is_news(look: Look, before: Look | None, began: datetime) -> bool:
    """Looks that changed nothing are kept the more seldom the longer the release runs: some thousands in all,
    and the newest one tells of now."""
    apart = max(KEEP_EVERY, (look.at - began) / KEPT)
    return before is None or look.verdict != "hold" or look.at - before.at >= apart


def _next(tx: Tx, release: Release) -> str:
    """What people do after a shadow; empty where the loop itself goes on with a canary."""
    carried = [each for each in loop.under_way(tx, release.model) if release.release_id in each.releases]
    if any(each.rollout == "shadow-canary" for each in carried):
        return ""
    by_hand = f"everloop deploy {release.model}@{release.version} --strategy canary"
    if release.environment != PROD:
        by_hand += f" --env {release.environment}"
    return f" Release it by canary next: {by_hand}"


def _act(tx: Tx, project: Project, release: Release, look: Look) -> Release:
    if look.verdict == "advance":
        return states.widen(tx, project, release, release.step + 1, look.reason)
    if look.verdict == "promote" and release.strategy == "shadow":
        return states.end(tx, project, release, "concluded", f"{look.reason}{_next(tx, release)}")
    if look.verdict == "promote" and release.strategy == "rolling" and not release.step:
        return release  # not all workers have it yet
    if look.verdict == "promote":
        winner = next((arm for arm in release.arms if arm.name == look.winner), None)
        taken = release if winner is None else replace(release, version=winner.version)
        if taken.version == release.against:
            return states.end(tx, project, release, "concluded", look.reason)
        return states.promote(tx, project, taken, look.reason)
    if look.verdict == "roll_back":
        return states.end(tx, project, release, "rolled_back", look.reason)
    if look.verdict == "inconclusive":
        return states.end(tx, project, release, "inconclusive", look.reason)
    return release
