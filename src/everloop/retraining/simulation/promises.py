"""A simulated year, and what must be so at each moment of it, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np

from everloop.core.loop import DecisionRecord
from everloop.retraining import triage
from everloop.retraining.columns import Floats

from .kept import Deaths, Plan, Version
from .loop import Consider, Loop
from .world import World

_FREE = ("no_model", "forced")  # no limit holds them back
PATIENCE = timedelta(days=3)  # by the worker's clock, after which what was put off has been considered


@dataclass(frozen=True)
class Broken:
    """A promise that was broken: on which ``day`` of which ``seed``, and how to see it again."""

    promise: str
    day: int
    seed: int
    message: str

    @property
    def replay(self) -> str:
        return f"everloop simulate --seed {self.seed} --until {self.day}"

    def __str__(self) -> str:
        return f"{self.message} (seed {self.seed}, day {self.day}; again with: {self.replay})"


@dataclass(frozen=True, eq=False)
class Year:
    """What came of a simulation. ``loss`` and ``never`` (days,): each day's mean loss of who served, and of
    the first model; NaN where nobody served or no label ever came. ``rows`` (days,) were judged. ``slipped``:
    trained rows of days on which the feed was broken and nobody found it. ``state`` is a hash of all that was
    kept and served."""

    seed: int
    days: int
    records: tuple[DecisionRecord, ...]
    versions: tuple[Version, ...]
    champions: tuple[tuple[int, str], ...]
    trained: tuple[int, ...]
    loss: Floats
    never: Floats
    rows: Floats
    killed: int
    stalled: int
    faults: int
    slipped: int
    state: str
    broken: Broken | None = None

    @property
    def considered(self) -> int:
        return sum(each.times for each in self.records)

    @property
    def promoted(self) -> tuple[int, ...]:
        """On which days a new champion came, the first one left out."""
        return tuple(day for day, _ in self.champions[1:])


def simulate(
    world: World,
    plan: Plan | None = None,
    *,
    seed: int = 0,
    deaths: Deaths | None = None,
    consider: Consider = triage.consider,
    loop: type[Loop] = Loop,
    until: int | None = None,
    listener: Callable[[int, int], None] | None = None,
) -> Year:
    """So many days of a world [all], or up to the one on which a promise is broken. ``listener``
    hears how many days are done and how many models were trained."""
    there = loop(world, plan or Plan(), consider=consider, deaths=deaths, seed=seed)
    found: list[tuple[str, str]] = []
    there.watch = lambda: found.extend(_at_once(there))
    days = world.days if until is None else min(until, world.days)
    for day in range(days):
        there.pass_day(day)
        found += _by_night(there)
        if listener is not None:
            listener(day + 1, len(there.kept.learnt))
        if found:
            promise, message = found[0]
            return _summed(there, seed, day + 1, Broken(promise, day + 1, seed, message))
    return _summed(there, seed, days, None)


def _at_once(loop: Loop) -> Iterator[tuple[str, str]]:
    """After each move of a worker."""
    going = [each.decision_id for each in loop.kept.under_way()]
    if len(going) > 1:
        yield "one at a time", f"{' and '.join(going)} retrain at once"


def _by_night(loop: Loop) -> Iterator[tuple[str, str]]:
    """After each day."""
    kept = loop.kept
    for _, decision_id, days in kept.learnt:
        if wrong := days & {day for day in kept.faults if day <= kept.days[decision_id]}:
            yield (
                "broken feed",
                f"{decision_id} trained on rows of day {min(wrong) + 1}, whose feed was broken",
            )
    for record in kept.records.values():
        if record.action == "retrain" and not record.forced and _fault_open(loop, record):
            yield "broken feed", f"{record.decision_id} retrained while the feed was broken"
        if not (record.reason and record.evidence and record.triggers):
            yield "records", f"{record.decision_id} does not say why"
    for before, after in pairwise(kept.records.values()):
        same = (before.action, before.code) == (after.action, after.code)
        if same and after.action != "retrain" and not after.turn_id:
            yield "said once", f"{after.decision_id} says again what {before.decision_id} says: {after.code}"
    yield from _one_version(loop)
    yield from _limits(loop)
    yield from _all_considered(loop)


def _fault_open(loop: Loop, record: DecisionRecord) -> bool:
    day = loop.kept.days[record.decision_id]
    return day in loop.kept.faults and record.champion is not None


def _one_version(loop: Loop) -> Iterator[tuple[str, str]]:
    made = [each.decision_id for each in loop.kept.versions]
    trained = [each for _, each, _ in loop.kept.learnt]
    for record in loop.kept.records.values():
        many = made.count(record.decision_id)
        wanted = int(
            (record.action == "retrain" and record.outcome in ("promoted", "kept"))
            or record.stage == "canary"
        )
        if many != wanted:
            yield "one version", f"{record.decision_id} registered {many} versions, not {wanted}"
        if trained.count(record.decision_id) > 1:
            yield "one version", f"{record.decision_id} trained {trained.count(record.decision_id)} times"


def _limits(loop: Loop) -> Iterator[tuple[str, str]]:
    """By the times that are written down, of those before it: those are all that anybody has."""
    rules = loop.plan.rules
    records = sorted(loop.kept.records.values(), key=lambda each: each.number)
    times = [each.at for each in records if each.run_id and each.code not in _FREE]
    for k, at in enumerate(times):
        before = triage.past(times[:k], at)
        apart = (at - max(before)).total_seconds() if before else rules.cooldown
        if apart < rules.cooldown:
            yield "cooldown", f"retrained {apart:.0f} s after the last one; {rules.cooldown:.0f} have to pass"
        if len(rules.lately(before, at)) >= rules.budget:
            yield "budget", f"more than {rules.budget} retrainings within {rules.period:.0f} s"


def _all_considered(loop: Loop) -> Iterator[tuple[str, str]]:
    kept = loop.kept
    for job in kept.jobs:
        if not job.done:
            yield "records", f"job {job.number} was left lying"
        elif kept.of_job.get(job.number) not in kept.records:
            yield "records", f"job {job.number} has no record"
    for key, decision_id in kept.settled.items():
        if decision_id not in kept.records:
            yield "records", f"{key} was settled by {decision_id}, of which there is no record"
    last = kept.newest
    if last is None or last.action != "defer" or last.again_at is None or kept.under_way():
        return
    if loop.now - last.again_at > PATIENCE:
        said = f"{last.decision_id} was to be considered again at {last.again_at:%Y-%m-%d %H:%M}"
        yield "put off", said


# -- what came of it ---------------------------------------------------------------------------------------


def _summed(loop: Loop, seed: int, days: int, broken: Broken | None) -> Year:
    kept, world = loop.kept, loop.world
    loss, never, rows = (np.full(days, np.nan) for _ in range(3))
    for day, served in loop.served.items():
        rows[day] = len(served)
        if len(served):
            judged = loop.rows_of(day)
            loss[day] = served.mean()
            never[day] = loop.losses(kept.versions[0], judged[np.isfinite(world.known[judged])]).mean()
    slipped = 0
    for version in kept.versions:
        used = np.concatenate([version.trained.learnt, version.trained.held])
        there = world.times[used]
        on = (there[np.isfinite(there)] // (24 * 3600)).astype(int)
        slipped += sum(world.broken(int(day)) and int(day) not in kept.faults for day in on)
    return Year(
        seed=seed,
        days=days,
        records=tuple(kept.records.values()),
        versions=tuple(kept.versions),
        champions=tuple(kept.champions),
        trained=tuple(day for day, _, _ in kept.learnt),
        loss=loss,
        never=never,
        rows=rows,
        killed=loop.killed,
        stalled=loop.stalled,
        faults=sum(world.broken(day) and not (day and world.broken(day - 1)) for day in range(days)),
        slipped=slipped,
        state=_state(loop),
        broken=broken,
    )


def _state(loop: Loop) -> str:
    """Of everything that was kept and served, not of how often a worker died on the way."""
    kept, told = loop.kept, sha256()

    def add(*parts: Any) -> None:
        for part in parts:
            told.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())

    add(*kept.records.values(), kept.triggers, kept.settled, kept.champions, kept.faults, kept.opened)
    add([(day, decision_id, sorted(days)) for day, decision_id, days in kept.learnt])
    for version in kept.versions:
        add(replace(version.verdict, checks=()), version.name, version.decision_id, version.at)
        add(version.trained.learnt, version.trained.held)
    for day in sorted(loop.served):
        add(day, loop.served[day])
    return told.hexdigest()
