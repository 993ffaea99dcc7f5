"""The loop, simulated: a year from a seed, or what a policy would have done with a model's past."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from everloop.core import spans
from everloop.core.decisions import GatePolicy, GateVerdict
from everloop.core.loop import DecisionRecord
from everloop.deployment import gate
from everloop.flows.project import Project
from everloop.retraining import triage, trial
from everloop.retraining.simulation import calendar, pictures, promises
from everloop.retraining.simulation.kept import Deaths, Plan
from everloop.retraining.simulation.loop import Loop
from everloop.retraining.simulation.promises import Broken, Year
from everloop.retraining.simulation.world import DAY, Climate, Made
from everloop.settings import Model, Settings
from everloop.settings.retraining import Retraining

from .past import Past, read

DAYS = 365
TRAININGS = 60  # of each policy, at most
CANARY = 2  # days that a release takes in a made world
Listener = Callable[[int, int, str], None]


# -- a year from a seed ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lived:
    """A simulated year. ``best``: the loss of the truth itself; ``loss`` and ``never`` as in ``Year``, over
    all rows; None where no model ever served."""

    seed: int
    days: int
    considered: int
    trained: int
    promoted: int
    by_code: Mapping[str, int]
    killed: int
    stalled: int
    faults: int
    jumps: int
    loss: float | None
    never: float | None
    best: float
    state: str
    decisions: tuple[DecisionRecord, ...]
    broken: Broken | None
    replay: str


def year(
    rules: Retraining,
    seed: int,
    until: int | None = None,
    *,
    flags: Sequence[str] = (),
    climate: Climate | None = None,
    consider: Any = triage.consider,
    loop: type[Loop] = Loop,
) -> Lived:
    """A year with deaths of workers and another one without, which has to end alike. ``flags``: how the
    settings were changed, to be told with how to see it again."""
    days = DAYS if until is None else max(until, DAYS)
    world = Made(seed, days, compare, climate)
    plan = replace(plan_of(rules), canary=0 if rules.rollout == "direct" else CANARY)
    told: dict[str, Any] = {"seed": seed, "until": until or DAYS, "consider": consider, "loop": loop}
    found = promises.simulate(world, plan, deaths=Deaths(), **told)
    if found.broken is None:
        without = promises.simulate(world, plan, **told)
        if without.state != found.state:
            said = "It ends otherwise when workers die than when none does"
            found = replace(found, broken=Broken("deaths change nothing", found.days, seed, said))
    codes: dict[str, int] = {}
    for record in found.records:
        name = f"{record.code}: {record.outcome or record.stage}"
        codes[name] = codes.get(name, 0) + record.times
    return Lived(
        seed=seed,
        days=found.days,
        considered=found.considered,
        trained=len(found.trained),
        promoted=len(found.promoted),
        by_code=codes,
        killed=found.killed,
        stalled=found.stalled,
        faults=found.faults,
        jumps=world.jumps,
        loss=_mean(found.loss, found.rows),
        never=_mean(found.never, found.rows),
        best=float(world.best.mean()),
        state=found.state,
        decisions=found.records,
        broken=found.broken,
        replay=_again(seed, found, flags),
    )


def _again(seed: int, found: Year, flags: Sequence[str]) -> str:
    told = found.broken.replay if found.broken else f"everloop simulate --seed {seed}"
    return " ".join([told, *(f"--set {shlex.quote(each)}" for each in flags)])


def compare(
    truth: Any, champion: Any, answers: Any, constant: Any, name: str, *, again: bool = False
) -> GateVerdict:
    policy = GatePolicy()
    if again:
        policy = trial.policy(policy)
    return gate.judge(
        policy,
        task="classification",
        classes=("0", "1"),
        positive="1",
        truth=truth,
        champion=champion,
        challenger=answers,
        baseline=constant,
        slices={},
        champion_name=name or None,
    )


def plan_of(rules: Retraining) -> Plan:
    return Plan(
        rules=rules.rules,
        on=tuple(rules.on),
        new_labels=rules.new_labels,
        schedule=rules.schedule,
        past_gains=rules.past_gains,
    )


# -- what a policy would have done -------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """``loss`` is the mean over ``rows`` that ever got a label; None without any."""

    at: datetime
    rows: int
    loss: float | None


@dataclass(frozen=True)
class Tried:
    """What a policy did and what that brought. ``trainings`` are those after the first model; ``loss`` is the
    mean over all judged rows and ``gain`` by how much less it is than with the first model for ever.
    ``limited``: it wanted to train more often than was allowed."""

    name: str
    considered: int
    trainings: int
    promotions: int
    rows: int
    loss: float | None
    gain: float | None
    share: float | None
    decisions: tuple[DecisionRecord, ...]
    days: tuple[Day, ...]
    promoted_on: tuple[datetime, ...]
    limited: bool


@dataclass(frozen=True)
class Replayed:
    """``metric`` is what ``loss`` means: log loss, or squared error. ``fits``: models trained in all."""

    model: str
    source: str
    since: datetime
    until: datetime
    metric: str
    rows: int
    labelled: int
    fits: int
    policies: tuple[Tried, ...]


def replay(
    project: Project,
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    delay: str = "1d",
    present: Settings | None = None,
    compare: bool = False,
    trainings: int = TRAININGS,
    listener: Listener | None = None,
) -> Replayed:
    """What the settings' policy would have done with a model's past, beside never retraining; with
    ``compare`` also beside every week and the ``present`` settings, where they are others. Nothing is kept.
    Raises UnknownModel, Invalid, TooFewRows."""
    model = project.model(name)
    traffic = read(project, model, since, until, spans.seconds(delay))
    world = Past(project, model, traffic)
    plan = replace(
        plan_of(model.retraining),
        model=name,
        window=spans.seconds(model.monitoring.window),
        window_rows=model.monitoring.min_rows,
        min_samples=model.monitoring.drift_min_samples,
        first=1,
        given=True,
        limit=trainings + 1,
        margin=model.gate_policy().margin,
    )
    hear = listener or (lambda done, total, text: None)
    asked = "these settings" if present is not None else "your settings"
    years = {asked: promises.simulate(world, plan, listener=_listening(hear, world, asked))}
    if compare:
        before = present.models[name] if present is not None else None
        if before is not None and _other(before, model):
            now = Past(project, before, traffic) if before != model else world
            theirs = replace(plan, **_of_rules(before))
            years["present settings"] = promises.simulate(
                now, theirs, listener=_listening(hear, now, "present settings")
            )
        years["every week"] = promises.simulate(
            world,
            calendar.plan(plan),
            consider=calendar.without_question,
            loop=calendar.Weekly,
            listener=_listening(hear, world, "every week"),
        )
    years["never"] = promises.simulate(
        world, calendar.plan(plan), consider=calendar.without_question, loop=calendar.Never
    )
    never = years["never"]
    return Replayed(
        model=name,
        source=traffic.source,
        since=world.begin + timedelta(days=1),
        until=world.begin + timedelta(days=world.days),
        metric="log loss" if world.kind == "classification" else "squared error",
        rows=int((world.times >= DAY).sum()),
        labelled=int(np.nansum(never.rows)),
        fits=world.fits,
        policies=tuple(_tried(name, each, never, world, plan) for name, each in years.items()),
    )


def _other(before: Model, now: Model) -> bool:
    return before.model_dump() != now.model_dump()


def _of_rules(model: Model) -> Mapping[str, Any]:
    made = plan_of(model.retraining)
    return {
        "rules": made.rules,
        "on": made.on,
        "new_labels": made.new_labels,
        "schedule": made.schedule,
        "past_gains": made.past_gains,
        "margin": model.gate_policy().margin,
        "window": spans.seconds(model.monitoring.window),
        "window_rows": model.monitoring.min_rows,
        "min_samples": model.monitoring.drift_min_samples,
    }


def _listening(hear: Listener, world: Past, name: str) -> Callable[[int, int], None]:
    return lambda day, trained: hear(day, world.days, f"{name}: {trained} trained")


def _tried(name: str, it: Year, never: Year, world: Past, plan: Plan) -> Tried:
    begin = [world.begin + timedelta(days=day) for day in range(world.days)]
    loss, least = _mean(it.loss, it.rows), _mean(never.loss, never.rows)
    gain = None if loss is None or least is None else least - loss
    return Tried(
        name=name,
        considered=0 if name == "never" else max(0, it.considered - 1),
        trainings=max(0, len(it.trained) - 1),
        promotions=len(it.promoted),
        rows=int(np.nansum(it.rows)),
        loss=loss,
        gain=gain,
        share=None if gain is None or not least else gain / least,
        decisions=it.records,
        days=tuple(
            Day(at, int(rows) if np.isfinite(rows) else 0, float(mean) if np.isfinite(mean) else None)
            for at, rows, mean in zip(begin[1:], it.rows[1:], it.loss[1:], strict=True)
        ),
        promoted_on=tuple(begin[day] + timedelta(days=1) for day in it.promoted),
        limited=plan.limit is not None and any(each.outcome == "failed" for each in it.records),
    )


def draw(project: Project, found: Replayed, path: Path) -> Path:
    """Write the picture: each policy's loss over time with its decisions marked, as PNG."""
    begin = [each.at for each in found.policies[0].days]
    lines = [
        pictures.Line(
            one.name,
            np.array([np.nan if each.loss is None else each.loss for each in one.days]),
            np.array([float(each.rows) for each in one.days]),
            [(each - begin[0]).days for each in one.promoted_on],
            [(each.at - begin[0]).days for each in one.decisions if each.outcome == "kept"],
        )
        for one in found.policies
    ]
    project.write_file(path, pictures.picture(f"{found.model}: {found.source}", found.metric, begin, lines))
    return path


def _mean(loss: np.ndarray, rows: np.ndarray) -> float | None:
    there = np.isfinite(loss)
    return float(np.average(loss[there], weights=rows[there])) if there.any() else None
