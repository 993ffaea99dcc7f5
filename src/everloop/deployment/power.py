"""What a plan can find, in words, and whether it can finish at all: told before a release begins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from everloop.core.releases import BUCKETS, CONTROL, FIXED, Arm, Measure, Plan, Strategy
from everloop.core.spans import words

from . import events
from .buckets import HALF
from .compared import find_measure
from .expected import GRADUAL, USUAL, Expected, compared_arms, expect, smallest_rate
from .levels import share
from .schedule import complete, plan_ahead
from .words import number, percent


@dataclass(frozen=True)
class Outlook:
    """``words``: what the plan can find and by when. ``why``: why it cannot lead to a promotion, and what
    to do about it; empty if it can."""

    words: tuple[str, ...] = ()
    why: str = ""
    remedy: str = ""

    @property
    def can_finish(self) -> bool:
        return not self.why


def outlook(
    plan: Plan,
    strategy: Strategy,
    deviations: Mapping[str, float] | None = None,
    arms: Sequence[Arm] = (),
) -> Outlook:
    """``deviations``: the standard deviation of a unit's value (of a shadow's difference), by measure. One
    that lies between 0 and 1 needs none: the worst is taken. ``arms``: of an A/B test."""
    wrong = _impossible(plan, strategy, arms)
    if wrong:
        return _refused(wrong)
    if strategy not in GRADUAL:
        return Outlook()
    expected = {each.measure: each for each in expect(plan, strategy, arms, deviations)}
    wrong = _too_slow(plan, strategy, arms, plan_ahead(plan, strategy, arms).ready, expected)
    return _refused(wrong) if wrong else Outlook(_described(plan, strategy, arms, expected))


_Wrong = list[tuple[str, str]]  # what is wrong and what to do about it


def _refused(wrong: _Wrong) -> Outlook:
    return Outlook((), "; ".join(why for why, _ in wrong) + ".", wrong[0][1])


def _too_slow(
    plan: Plan, strategy: Strategy, arms: Sequence[Arm], ready: float, expected: Mapping[str, Expected]
) -> _Wrong:
    longest, wrong = words(plan.longest), []
    if ready >= plan.longest:
        pace = f"at {number(plan.hourly)} units an hour"
        steps = "its steps take" if strategy == "canary" else "it takes at least"
        why = f"{steps} {words(ready)} {pace} and it ends after {longest}"
        shorten = "the steps" if strategy == "canary" else "its dwell (--dwell)"
        wrong.append((why, f"Lengthen it, shorten {shorten}, or begin with more requests."))
    agreed = _agreed(plan, strategy, arms) if plan.size else 0.0
    if agreed > plan.longest:
        why = f"{plan.size:,} units of an arm take {words(agreed)} and it ends after {longest}"
        wrong.append((why, "Lengthen it, agree on fewer, or expect more requests."))
    for measure in plan.measures:
        each = expected.get(measure.name)
        if each is None or (each.proven is not None and each.proven <= plan.longest):
            continue
        margin, what = number(measure.margin), find_measure(measure.name)
        asked = f"is better by {margin}" if _better(plan, strategy, measure) else what.harmless(margin)
        by = f": that takes about {words(each.proven)}" if each.proven else ""
        too_few = plan.size > 0 and each.proven is None
        too = f"{plan.size:,} units of an arm are too few" if too_few else f"{longest} is too short a time"
        why = f"{too} to prove with {percent(plan.power)} probability that the {what.words} {asked}{by}"
        if too_few:
            remedy = "Agree on more ('everloop release size' tells how many it takes), or widen the margin."
        else:
            remedy = "Widen the margin, lengthen it, or give the candidate more requests."
        wrong.append((why, remedy))
    return wrong


def _described(
    plan: Plan, strategy: Strategy, arms: Sequence[Arm], expected: Mapping[str, Expected]
) -> tuple[str, ...]:
    traffic = f"At {number(plan.hourly)} units an hour"
    if _needs_labels(plan):
        when = f"within {words(plan.label_delay)}" if plan.label_delay else "at once"
        traffic += f", of which {percent(plan.labelled)} get a label {when}"
    lines, end = [], _end(plan, strategy, arms)
    for measure in plan.measures:
        if measure.name in expected:
            better = _better(plan, strategy, measure)
            told = _told(plan, measure, expected[measure.name], better, strategy == "shadow", end)
            lines.append(f"{traffic}: {told}")
        else:
            what = find_measure(measure.name).words
            lines.append(f"What is found in the {what} depends on its spread, which is not known yet.")
    if plan.size:
        labels = " that have their labels" if _needs_labels(plan) else ""
        by = words(_agreed(plan, strategy, arms))
        lines.append(
            f"It ends with {plan.size:,} units of an arm{labels}, in about {by}, if nothing is proven before."
        )
    return (*lines, *_told_events(plan, strategy, arms))


def _agreed(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> float:
    """Seconds until it ends with the units that were agreed on."""
    return complete(plan, plan_ahead(plan, strategy, arms), _needs_labels(plan))


def _end(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> float:
    """Seconds until it is over at the latest."""
    return min(plan.longest, _agreed(plan, strategy, arms)) if plan.size else plan.longest


def _needs_labels(plan: Plan) -> bool:
    return any(find_measure(each.name).labels for each in plan.measures)


def _told(plan: Plan, measure: Measure, each: Expected, better: bool, shadow: bool, end: float) -> str:
    what, margin, longest = find_measure(measure.name), number(measure.margin), words(end)
    harm, said = what.harm, []
    if what.sign != 0:
        found = _by(each.harm_found, end)
        said.append(f"a {harm} of {what.words} by {margin} is {found} with {percent(plan.power)} probability")
    if math.isfinite(each.smallest) and (better or each.smallest > measure.margin):
        smallest = number(float(f"{each.smallest:.2g}"))
        if what.sign == 0 and smallest == margin:
            said.append(f"any {harm} of the {what.words} beyond {margin} is found within {longest}")
        else:
            said.append(f"the smallest {harm} of {what.words} that is found within {longest} is {smallest}")
    good = f"better by {margin}" if better else "equal"
    proven = _by(each.proven, end, "proven to be" if shadow else "promoted")
    said.append(f"a candidate that is {good} is {proven}")
    return "; ".join(said) + f". This supposes a standard deviation of {number(each.deviation)} a unit."


def _by(time: float | None, longest: float, word: str = "found") -> str:
    if time is None or time > longest:
        return f"not {word} within {words(longest)}"
    return f"{word} within {words(time)}"


def _told_events(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> list[str]:
    """How few events veto when the control has none, and which rate does in the end."""
    lines = []
    level = share(plan, compared_arms(plan, strategy, arms), strategy == "ab").harm
    end = _end(plan, strategy, arms)
    for guardrail in plan.guardrails:
        if guardrail.event == "crash" or strategy not in GRADUAL:
            continue
        schedule = plan_ahead(plan, strategy, arms)
        limit = guardrail.ratio / (guardrail.ratio + schedule.control)
        units = float(schedule.units(end))
        rate = smallest_rate(units, schedule.control, limit, 1 / level, plan.power)
        row = events.in_a_row(limit, 1 / level)
        line = f"{row} {guardrail.event} units of the candidate roll back at once, with none of the control"
        if rate is not None:
            line += (
                f"; within {words(end)} a rate of {percent(rate)} does, where the control has "
                f"{percent(USUAL)}"
            )
        lines.append(f"{line}.")
    return lines


def _better(plan: Plan, strategy: Strategy, measure: Measure) -> bool:
    return measure.goal == "better" or (strategy == "ab" and measure == plan.measures[0])


def _impossible(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> _Wrong:
    """What no traffic can mend."""
    wrong: _Wrong = []
    if not 0 < plan.alpha < 0.5 or not plan.alpha < plan.power < 1:
        why = f"alpha is {plan.alpha:g} and power {plan.power:g}"
        wrong.append((why, "alpha lies between 0 and 0.5, and power above it."))
    if strategy in GRADUAL and plan.longest <= 0:
        wrong.append(("it has no end", "Say how long it may take."))
    if strategy in GRADUAL and plan.hourly <= 0:
        wrong.append(("no traffic is expected", "Say how many units an hour come."))
    if not 0 < plan.labelled <= 1:
        wrong.append((f"a share of {plan.labelled:g} gets a label", "Give one above 0, up to 1."))
    if strategy == "canary":
        wrong += _no_ramp(plan.steps)
    names = {arm.name.removesuffix(FIXED) for arm in arms}
    if strategy == "ab" and (len(names) < 2 or CONTROL not in names):
        wrong.append(("it has nothing to compare", f"Give two arms or more, one of them named '{CONTROL}'."))
    if strategy == "ab" and not plan.measures:
        wrong.append(("an A/B test without a measure has no winner", "Name a measure."))
    if strategy not in GRADUAL and plan.measures:
        why = f"'{strategy}' has no control to compare measures with"
        wrong.append((why, "Use a canary, or guardrails only."))
    wrong += [each for measure in plan.measures for each in _unprovable(plan, strategy, measure)]
    for guardrail in plan.guardrails:
        if guardrail.ratio <= 0 or (guardrail.event == "slow" and not guardrail.above):
            why = f"the guardrail '{guardrail.event}' has no limit"
            wrong.append((why, "Give a ratio above 0, and to 'slow' the milliseconds it is above."))
    return wrong


def _no_ramp(steps: Sequence[int]) -> _Wrong:
    if steps and list(steps) == sorted(set(steps)) and steps[0] >= 1 and steps[-1] <= HALF:
        return []
    shown = ", ".join(f"{step:,}" for step in steps) or "missing"
    why = f"its steps, in buckets of {BUCKETS:,}, are {shown}"
    return [(why, f"Give steps that grow, up to {HALF:,}, as the control needs as many.")]


def _unprovable(plan: Plan, strategy: Strategy, measure: Measure) -> _Wrong:
    what, wrong = find_measure(measure.name), []
    if measure.margin <= 0:
        wrong.append((f"the margin of {what.words} is {measure.margin:g}", "Give one above 0."))
    if what.sign == 0 and _better(plan, strategy, measure):
        wrong.append(
            (f"no {what.words} is better than another", "Hold it to 'no_harm', after other measures.")
        )
    if what.labels and plan.label_delay >= plan.longest > 0:
        why = f"labels come after {words(plan.label_delay)} and it ends after {words(plan.longest)}"
        wrong.append((why, "Lengthen it, or use measures that need no labels."))
    return wrong
