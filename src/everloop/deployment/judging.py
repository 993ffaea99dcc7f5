"""The verdict on a release at one look. Pure: what was seen goes in, a verdict with its reason comes out.

In this order: a guardrail rolls back at once; a mismatch of units and weights ends the release without a
winner, as nothing can be compared then; a measure that is proven worse rolls back; what is proven good is
promoted after the last step; what is still open at ``longest`` is not promoted. See levels.py for how often
that can be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from everloop.core.releases import (
    BUCKETS,
    CANDIDATE,
    CHAMPION,
    CONTROL,
    FIXED,
    Check,
    Event,
    Interval,
    Release,
    Seen,
    Sums,
    Verdict,
)
from everloop.core.spans import words

from .checks import MISMATCH, guard, matched
from .compared import find_measure
from .intervals import PAIRED, measured, speaks_against, speaks_for, told
from .levels import share
from .words import listed, number, percent


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    reason: str
    intervals: tuple[Interval, ...] = ()
    checks: tuple[Check, ...] = ()
    winner: str | None = None


@dataclass(frozen=True)
class Sides:
    """Who is compared: the arms that may be promoted and the control, if there is one. ``differences``: a
    shadow's, on the same rows."""

    arms: tuple[Seen, ...]
    control: Seen | None
    differences: Seen | None = None


def judge(
    release: Release,
    seen: Sequence[Seen],
    elapsed: float,
    step_elapsed: float,
    baselines: Mapping[str, float] | None = None,
) -> Judgement:
    """``elapsed`` and ``step_elapsed``: seconds since the release and its step began. ``baselines``: the
    share of units with an event that is usual, for strategies without a control."""
    sides = find_sides(release, seen)
    checks = _checked(release, sides, baselines or {})
    intervals = _measured(release, sides)
    verdict, reason, winner = (
        _vetoed(checks)
        or _harmed(sides, intervals)
        or _proven(release, sides, intervals, step_elapsed)
        or _late(release, sides, intervals, elapsed, step_elapsed)
        or _moving(release, sides, intervals, step_elapsed)
    )
    return Judgement(verdict, reason, tuple(intervals), tuple(checks), winner)


def alarmed(
    release: Release, seen: Sequence[Seen], baselines: Mapping[str, float] | None = None
) -> Judgement | None:
    """What failures, refusals and crashes alone say: to roll back, or nothing."""
    checks = _guarded(release, find_sides(release, seen), baselines or {}, passed=("slow",))
    vetoed = _vetoed(checks)
    return Judgement(vetoed[0], vetoed[1], checks=tuple(checks)) if vetoed else None


def find_sides(release: Release, seen: Sequence[Seen]) -> Sides:
    """Of a test whose split a bandit adjusts only the arms that it leaves alone: theirs are random
    samples."""
    by_name = {each.arm: each for each in seen}
    if release.strategy == "ab":
        judged = [each for each in seen if each.arm.endswith(FIXED)] if release.plan.bandit else list(seen)
        control = next((each for each in judged if each.arm.removesuffix(FIXED) == CONTROL), None)
        return Sides(
            tuple(each for each in judged if each is not control),
            control or Seen(CONTROL, release.against or "", 1),
        )
    candidate = by_name.get(CANDIDATE) or next(
        (each for each in seen if each.version == release.version and each.arm != PAIRED),
        Seen(CANDIDATE, release.version, 1),
    )
    old = release.against or ""
    if release.strategy == "canary":
        return Sides((candidate,), by_name.get(CONTROL, Seen(CONTROL, old, candidate.weight)))
    if release.strategy == "shadow":
        champion = by_name.get(CHAMPION, Seen(CHAMPION, old, BUCKETS))
        return Sides((candidate,), champion, by_name.get(PAIRED, Seen(PAIRED, release.version, 0)))
    return Sides((candidate,), None)


def _checked(release: Release, sides: Sides, baselines: Mapping[str, float]) -> list[Check]:
    checks = _guarded(release, sides, baselines)
    if sides.control is not None and release.strategy != "shadow":
        checks.append(matched((*sides.arms, sides.control)))
    return checks


def _guarded(
    release: Release, sides: Sides, baselines: Mapping[str, float], passed: Sequence[Event] = ()
) -> list[Check]:
    """The guardrails, but those on events that are ``passed`` over."""
    level = share(release.plan, len(sides.arms), release.strategy == "ab").harm
    return [
        guard(each, arm, sides.control, level, baselines, alike=release.strategy == "shadow")
        for arm in sides.arms
        for each in release.plan.guardrails
        if each.event not in passed
    ]


def _measured(release: Release, sides: Sides) -> list[Interval]:
    plan, test = release.plan, release.strategy == "ab"
    if sides.control is None:
        return []
    levels = share(plan, len(sides.arms), test)
    found = (
        measured(
            each,
            arm,
            sides.control,
            levels,
            plan.burn_in,
            size=plan.size,
            differences=sides.differences,
            must_be_better=test and each == plan.measures[0],
        )
        for arm in sides.arms
        for each in plan.measures
    )
    return [each for each in found if each is not None]


_Decided = tuple[Verdict, str, str | None]


def _vetoed(checks: Sequence[Check]) -> _Decided | None:
    fired = [check for check in checks if check.vetoes]
    if not fired:
        return None
    said = "; ".join(check.message for check in fired)
    if all(check.name == MISMATCH for check in fired):
        return (
            "inconclusive",
            f"The requests were not split as they should be, so nothing can be compared: {said}.",
            None,
        )
    return "roll_back", f"A guardrail was touched: {said}.", None


def _harmed(sides: Sides, intervals: Sequence[Interval]) -> _Decided | None:
    """All arms that could be promoted are proven worse."""
    worse = [each for each in intervals if _is_harm(each)]
    if not sides.arms or {each.arm for each in worse} < {arm.arm for arm in sides.arms}:
        return None
    several = len(sides.arms) > 1
    said = "; ".join(f"{f'{each.arm}: ' if several else ''}{told(each)}" for each in worse)
    return "roll_back", f"Proven worse than the {sides.control.arm if sides.control else ''}: {said}.", None


def _proven(
    release: Release, sides: Sides, intervals: Sequence[Interval], step_elapsed: float
) -> _Decided | None:
    """The last step has run and an arm is proven good in every measure; of several the best."""
    plan = release.plan
    if _step(release)[0] < _step(release)[1] or _waits(release, sides, intervals, step_elapsed):
        return None
    ready = [arm for arm in sides.arms if not _open(release, arm, intervals)]
    if not ready:
        return None
    if not plan.measures:
        units = f" after {ready[0].units:,} units"
        return "promote", f"All steps have run and no guardrail was touched{units}.", None
    first = plan.measures[0].name
    gains = {each.arm: each.difference for each in intervals if each.measure == first}
    best = max(ready, key=lambda arm: gains[arm.arm])
    said = "; ".join(told(each) for each in intervals if each.arm == best.arm)
    if release.strategy == "ab":
        name = best.arm.removesuffix(FIXED)
        return "promote", f"{name} is proven better than the control: {said}.", name
    return "promote", f"Proven, and no guardrail was touched: {said}.", None


def _late(
    release: Release, sides: Sides, intervals: Sequence[Interval], elapsed: float, step_elapsed: float
) -> _Decided | None:
    plan = release.plan
    if 0 < plan.longest <= elapsed:
        after = f"After {words(elapsed)}, the longest it may take,"
    elif _is_complete(release, sides) and not _waits(release, sides, intervals, step_elapsed):
        after = f"With the {plan.size:,} units of an arm that were agreed on"
    else:
        return None
    still = _still_open(release, sides, intervals, step_elapsed)
    return "inconclusive", f"{after} what is not proven is not promoted. {still}", None


def _is_complete(release: Release, sides: Sides) -> bool:
    """At the last step all units that were agreed on are there, for each measure."""
    plan, (step, last) = release.plan, _step(release)
    if not plan.size or step < last or sides.control is None:
        return False
    arms = (sides.differences,) if sides.differences is not None else (*sides.arms, sides.control)
    return all(arm.sums.get(each.name, Sums()).units >= plan.size for arm in arms for each in plan.measures)


def _moving(release: Release, sides: Sides, intervals: Sequence[Interval], step_elapsed: float) -> _Decided:
    step, last = _step(release)
    if step < last and not _waits(release, sides, intervals, step_elapsed):
        after = percent(release.plan.steps[step], BUCKETS)
        return (
            "advance",
            f"{_named_step(release)} has run and nothing speaks against it: on to {after}.",
            None,
        )
    return "hold", _still_open(release, sides, intervals, step_elapsed), None


def _still_open(release: Release, sides: Sides, intervals: Sequence[Interval], step_elapsed: float) -> str:
    waits = _waits(release, sides, intervals, step_elapsed)
    unproven = [each for arm in sides.arms for each in _open(release, arm, intervals)]
    return " ".join(f"{_capital(part)}." for part in (*waits, *unproven))


def _waits(release: Release, sides: Sides, intervals: Sequence[Interval], step_elapsed: float) -> list[str]:
    """What a step still needs, whatever the numbers say."""
    plan, (step, last) = release.plan, _step(release)
    waits = []
    if step_elapsed < plan.dwell:
        waits.append(f"{_named_step(release)} has run {words(step_elapsed)} of {words(plan.dwell)}")
    compared = (*sides.arms, sides.control) if sides.control is not None else sides.arms
    fewest = min(compared, key=lambda arm: arm.units, default=Seen("", "", 0))
    least = max(plan.least_units if step == last else 0, plan.burn_in)
    if fewest.units < least:
        waits.append(f"{fewest.arm} has {fewest.units:,} of the {least:,} units that are asked for")
    known = {(each.arm, each.measure) for each in intervals}
    for each in plan.measures:
        missing = [arm.arm for arm in sides.arms if (arm.arm, each.name) not in known]
        if missing:
            what = find_measure(each.name).words
            waits.append(f"{what} of {listed(missing)} rests on too few units (fewer than {plan.burn_in:,})")
    return waits


def _open(release: Release, arm: Seen, intervals: Sequence[Interval]) -> list[str]:
    """The measures in which an arm is not proven what the goal asks for."""
    test = release.strategy == "ab"
    if test and not release.plan.measures:
        return ["an A/B test without a measure has no winner"]
    by_name = {each.measure: each for each in intervals if each.arm == arm.arm}
    out = []
    for position, measure in enumerate(release.plan.measures):
        found, what = by_name.get(measure.name), find_measure(measure.name)
        if found is None:
            continue  # it waits for units
        goal = "better" if test and position == 0 else measure.goal
        if not speaks_for(found.low, found.high, measure.margin, what.sign, goal):
            asked = f"it {'is better' if goal == 'better' else what.harmless(number(measure.margin))}"
            out.append(f"{f'{arm.arm}: ' if test else ''}{told(found)}; that {asked} is still to be proven")
    return out


def _is_harm(interval: Interval) -> bool:
    sign = find_measure(interval.measure).sign
    return bool(speaks_against(interval.low, interval.high, interval.margin, sign))


def _step(release: Release) -> tuple[int, int]:
    """The step it is at and the last one, from 1 on."""
    count = max(len(release.plan.steps), 1)
    return min(release.step + 1, count), count


def _named_step(release: Release) -> str:
    step, last = _step(release)
    if not release.plan.steps:
        return "the only step"
    return f"step {step} of {last} ({percent(release.plan.steps[step - 1], BUCKETS)} of the requests)"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
