"""What a plan can find, in words, and whether it can finish at all: told before a release begins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from everloop.core.releases import BUCKETS, CONTROL, FIXED, Arm, Measure, Plan, Strategy

from . import events
from .buckets import HALF
from .compared import find_measure
from .levels import share
from .power import GRADUAL, USUAL, Expected, compared_arms, expect, smallest_rate
from .schedule import plan_ahead
from .words import number, percent, span


def describe(
    plan: Plan,
    strategy: Strategy,
    arms: Sequence[Arm] = (),
    deviations: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """In plain words what the plan can find and by when."""
    traffic = f"At {number(plan.hourly)} units an hour"
    if any(find_measure(each.name).labels for each in plan.measures):
        traffic += f", of which {percent(plan.labelled)} get a label within {span(plan.label_delay)}"
    chance, lines = percent(plan.power), []
    by_name = {each.measure: each for each in expect(plan, strategy, arms, deviations)}
    for measure in plan.measures:
        if measure.name in by_name:
            better = _better(plan, strategy, measure)
            lines.append(f"{traffic}: {_told(plan, measure, by_name[measure.name], better, chance)}")
        else:
            words = find_measure(measure.name).words
            lines.append(f"What is found in the {words} depends on its spread, which is not known yet.")
    lines += _told_events(plan, strategy, arms)
    return tuple(lines)


def can_finish(
    plan: Plan,
    strategy: Strategy,
    arms: Sequence[Arm] = (),
    deviations: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """Why the plan cannot lead to a promotion; empty if it can."""
    wrong = _impossible(plan, strategy, arms)
    if wrong:
        return tuple(wrong)
    if strategy not in GRADUAL:
        return ()
    ready = plan_ahead(plan, strategy, arms).ready
    if ready >= plan.longest:
        wrong.append(
            f"its steps take {span(ready)} at {number(plan.hourly)} units an hour; it ends after "
            f"{span(plan.longest)}: lengthen it, shorten the steps or ask for fewer units"
        )
    for each in expect(plan, strategy, arms, deviations):
        if each.proven is None or each.proven > plan.longest:
            measure = next(one for one in plan.measures if one.name == each.measure)
            words, margin = find_measure(each.measure).words, number(measure.margin)
            asked = f"a gain of {margin}" if _better(plan, strategy, measure) else f"no harm beyond {margin}"
            by = f", but after about {span(each.proven)}" if each.proven else ""
            wrong.append(
                f"{asked} of {words} is not proven within {span(plan.longest)} with {percent(plan.power)} "
                f"probability{by}: widen the margin, lengthen it, or give the candidate more requests"
            )
    return tuple(wrong)


def _told(plan: Plan, measure: Measure, each: Expected, better: bool, chance: str) -> str:
    what, margin, longest = find_measure(measure.name), number(measure.margin), span(plan.longest)
    harm = {1: "drop", -1: "rise", 0: "shift"}[what.sign]
    said = []
    if what.sign != 0:
        found = _by(each.harm_found, plan.longest)
        said.append(f"a {harm} of {what.words} by {margin} is {found} with {chance} probability")
    if math.isfinite(each.smallest):
        smallest = number(float(f"{each.smallest:.2g}"))
        said.append(f"the smallest {harm} of {what.words} that is found within {longest} is {smallest}")
    good = f"better by {margin}" if better else "equal"
    proven = _by(each.proven, plan.longest, "promoted")
    said.append(f"a candidate that is {good} is {proven}")
    return "; ".join(said) + f". This supposes a standard deviation of {number(each.deviation)} a unit."


def _by(time: float | None, longest: float, word: str = "found") -> str:
    if time is None or time > longest:
        return f"not {word} within {span(longest)}"
    return f"{word} within {span(time)}"


def _told_events(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> list[str]:
    """How few events veto when the control has none, and which rate does in the end."""
    lines = []
    level = share(plan, compared_arms(plan, strategy, arms), strategy == "ab").harm
    for guardrail in plan.guardrails:
        if guardrail.event == "crash" or strategy not in GRADUAL:
            continue
        schedule = plan_ahead(plan, strategy, arms)
        limit = guardrail.ratio / (guardrail.ratio + schedule.control)
        units = float(schedule.units(plan.longest))
        rate = smallest_rate(units, schedule.control, limit, 1 / level, plan.power)
        row = events.in_a_row(limit, 1 / level)
        line = f"{row} {guardrail.event} units of the candidate roll back at once, with none of the control"
        if rate is not None:
            line += (
                f"; within {span(plan.longest)} a rate of {percent(rate)} does, where the control has "
                f"{percent(USUAL)}"
            )
        lines.append(f"{line}.")
    return lines


def _better(plan: Plan, strategy: Strategy, measure: Measure) -> bool:
    return measure.goal == "better" or (strategy == "ab" and measure == plan.measures[0])


def _impossible(plan: Plan, strategy: Strategy, arms: Sequence[Arm]) -> list[str]:
    """What no traffic can mend."""
    wrong = []
    if not 0 < plan.alpha < 0.5 or not plan.alpha < plan.power < 1:
        wrong.append(
            f"alpha is {plan.alpha:g} and power {plan.power:g}: alpha lies in (0, 0.5), power above it"
        )
    if plan.longest <= 0 and strategy in GRADUAL:
        wrong.append("it has no end: give 'longest'")
    if plan.hourly <= 0 and strategy in GRADUAL:
        wrong.append("no traffic is expected: give the units an hour")
    if not 0 < plan.labelled <= 1:
        wrong.append(f"a share of {plan.labelled:g} gets a label: give one above 0, up to 1")
    if strategy == "canary" and not plan.steps:
        wrong.append("a canary needs steps")
    if list(plan.steps) != sorted(set(plan.steps)) or any(not 1 <= step <= HALF for step in plan.steps):
        steps = ", ".join(f"{step:,}" for step in plan.steps)
        wrong.append(
            f"its steps are {steps} of {BUCKETS:,} buckets: they have to grow, up to {HALF:,}, as "
            f"the control needs as many"
        )
    names = {arm.name.removesuffix(FIXED) for arm in arms}
    if strategy == "ab" and (len(names) < 2 or CONTROL not in names):
        wrong.append(f"an A/B test needs two arms or more, of which one is named '{CONTROL}'")
    if strategy == "ab" and not plan.measures:
        wrong.append("an A/B test needs a measure: without one it has no winner")
    if strategy not in GRADUAL and plan.measures:
        wrong.append(
            f"'{strategy}' has no control to compare measures with: use a canary, or guardrails only"
        )
    wrong += [reason for measure in plan.measures for reason in _unprovable(plan, strategy, measure)]
    for guardrail in plan.guardrails:
        if guardrail.ratio <= 0 or (guardrail.event == "slow" and not guardrail.above):
            wrong.append(
                f"the guardrail '{guardrail.event}' needs a ratio above 0, and 'slow' what it is above"
            )
    return wrong


def _unprovable(plan: Plan, strategy: Strategy, measure: Measure) -> list[str]:
    what, wrong = find_measure(measure.name), []
    if measure.margin <= 0:
        wrong.append(f"the margin of {what.words} is {measure.margin:g}: give one above 0")
    if what.sign == 0 and _better(plan, strategy, measure):
        wrong.append(f"no {what.words} is better than another: it can only be held to 'no_harm'")
    if what.labels and plan.label_delay >= plan.longest > 0:
        wrong.append(
            f"labels come after {span(plan.label_delay)} and it ends after {span(plan.longest)}: "
            f"{what.words} is never known"
        )
    return wrong
