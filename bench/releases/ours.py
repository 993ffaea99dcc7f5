"""Everloop's strategies: the real judge (``deployment.judging.judge``) at every look, with the plans that the
settings give if nothing is said.

The evidence of all releases is worked out at once by the judge's own function before it is asked about each
of them: the same numbers sooner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from everloop.core.errors import Refused
from everloop.core.releases import (
    BUCKETS,
    CANDIDATE,
    CHAMPION,
    CONTROL,
    Guardrail,
    Measure,
    Plan,
    Release,
    Seen,
    Strategy,
    Sums,
)
from everloop.core.spans import seconds
from everloop.deployment import events, power
from everloop.deployment.checks import BASELINE
from everloop.deployment.intervals import PAIRED
from everloop.deployment.judging import judge
from everloop.flows.releases.planning import LITTLE
from everloop.settings.releases import ReleaseRules

from .scenarios import LABELS_AFTER, SLOW, Counts, Outcome, Scenario, World

RULES = ReleaseRules()
DEVIATIONS = {"accuracy": 0.3, "share:yes": 0.5}
MARGINS = (0.01, 0.02, 0.03, 0.05, 0.1)
WORKERS, CHANGE = 4, 5.0  # of a rolling release: how many there are, and the seconds that one takes
AGREE = 0.025  # the shares of rows where only one of two equal versions is right, each way
FOUND = {"promote": "promoted", "roll_back": "rolled back", "inconclusive": "inconclusive"}


class Foreseen:
    """Evidence that has been worked out already, by hits, misses and limit."""

    def __init__(self) -> None:
        self.compute, self.known = events.evidence, dict[tuple[int, int, float], Any]()

    def __call__(self, hits: Any, misses: Any, limit: float) -> Any:
        found = self.known.get((hits, misses, limit)) if isinstance(hits, int) else None
        return self.compute(hits, misses, limit) if found is None else found

    def foresee(self, pairs: Sequence[tuple[Any, Any]], limit: float) -> None:
        """Arrays over the releases: of each kind of event hits and misses."""
        both = np.unique(np.concatenate([np.stack(each, axis=1) for each in pairs]), axis=0)
        values = self.compute(both[:, 0], both[:, 1], limit)
        self.known = {
            (int(hits), int(misses), limit): value for (hits, misses), value in zip(both, values, strict=True)
        }


FORESEEN = Foreseen()


@contextmanager
def foreseeing() -> Iterator[None]:
    """The judge looks up what is known already."""
    events.evidence = FORESEEN
    try:
        yield
    finally:
        events.evidence = FORESEEN.compute


def plan_for(scenario: Scenario, strategy: Strategy) -> Plan:
    """The first margin of accuracy that makes a plan which can finish. Raises Refused."""
    gradual = strategy in ("canary", "shadow")
    rails = [Guardrail("failed", RULES.failed or 1.0), Guardrail("slow", RULES.slow or 1.0, SLOW)]
    if gradual:
        rails.insert(1, Guardrail("refused", RULES.refused or 1.0))
    plan = Plan(
        measures=(),
        guardrails=(*rails, Guardrail("crash")),
        steps=tuple(round(share * BUCKETS) for share in RULES.steps) if strategy == "canary" else (),
        dwell=0.0 if strategy == "rolling" else seconds(RULES.probation if not gradual else RULES.dwell),
        burn_in=0 if strategy == "rolling" else RULES.burn_in,
        alpha=RULES.alpha,
        power=RULES.power,
        longest=seconds(RULES.longest),
        label_delay=LABELS_AFTER if gradual else 0.0,
        hourly=scenario.hourly,
    )
    if not gradual:
        return replace(plan, usual={"slow": 2 * scenario.champion.longer_than(SLOW) + LITTLE})
    for margin in MARGINS:
        tried = replace(plan, measures=(Measure("accuracy", margin), Measure("share:yes", 0.1)))
        if power.outlook(tried, strategy, DEVIATIONS).can_finish:
            return tried
    raise Refused(f"No plan can finish with {scenario.hourly:g} requests an hour.", remedy="Deploy directly.")


def direct(scenario: Scenario, releases: int, _seed: int, _looks: Sequence[float]) -> Outcome:
    """Promoted at once."""
    found = Outcome.open(releases)
    found.settle(found.running, "promoted", 0.0)
    return found


def canary(scenario: Scenario, releases: int, seed: int, looks: Sequence[float]) -> Outcome:
    """A control of the same size; the steps, dwell and rest of the settings."""
    plan = plan_for(scenario, "canary")
    release = _release("canary", plan, entities=bool(scenario.client))
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    step, since = np.zeros(releases, dtype=np.int64), np.zeros(releases)
    steps = np.array(plan.steps)
    versions = (scenario.candidate, scenario.champion)
    totals = [Counts.none(releases) for _ in versions]
    labelled = [Counts.none(releases) for _ in versions]
    waiting: list[tuple[float, list[Counts]]] = []
    start = 0.0
    for now in looks:
        weight = steps[step]
        share = np.where(found.running, weight / BUCKETS, 0.0)
        inside = (world.client < weight, world.client >= BUCKETS - weight)
        weather = world.weather(start, now)
        new = [
            world.draw(version, share, start, now, weather, side if scenario.client else None)
            for version, side in zip(versions, inside, strict=True)
        ]
        found.exposed += share * world.expected(start, now)
        totals = [have + more for have, more in zip(totals, new, strict=True)]
        waiting.append((now, new))
        while waiting and waiting[0][0] + LABELS_AFTER <= now:
            labelled = [have + more for have, more in zip(labelled, waiting.pop(0)[1], strict=True)]
        FORESEEN.foresee(_pairs(*totals), events.limit_of(1, 1, 1.0))
        for i in np.flatnonzero(found.running):
            seen = [
                _seen(name, int(weight[i]), all_of, known, i, bool(scenario.client and side[i]))
                for name, all_of, known, side in zip(
                    (CANDIDATE, CONTROL), totals, labelled, inside, strict=True
                )
            ]
            at = replace(release, step=int(step[i])) if step[i] else release
            said = judge(at, seen, now, now - since[i])
            if said.verdict == "advance":
                step[i], since[i] = step[i] + 1, now
            elif said.verdict != "hold":
                found.verdict[i], found.time[i] = FOUND[said.verdict], now
        start = now
        if not found.running.any():
            break
    if plan.measures[0].margin != MARGINS[0]:
        found.note = f"margin of accuracy {plan.measures[0].margin:g}"
    return found


def blue_green(scenario: Scenario, releases: int, seed: int, looks: Sequence[float]) -> Outcome:
    """All requests at once; the old version stays warm for the probation."""
    return _whole(scenario, releases, seed, looks, "blue-green")


def rolling(scenario: Scenario, releases: int, seed: int, _looks: Sequence[float]) -> Outcome:
    """Four workers, 5 seconds each, a look each second; taken when all have it."""
    return _whole(scenario, releases, seed, [float(now) for now in range(1, 60)], "rolling")


def _whole(
    scenario: Scenario, releases: int, seed: int, looks: Sequence[float], strategy: Strategy
) -> Outcome:
    """Without a control: only guardrails, against the rates that are taken for usual."""
    plan = plan_for(scenario, strategy)
    release = _release(strategy, plan)
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    total, start = Counts.none(releases), 0.0
    for now in looks:
        changed = min(int(start / CHANGE) + 1, WORKERS) / WORKERS if strategy == "rolling" else 1.0
        share = np.where(found.running, changed, 0.0)
        total += world.draw(scenario.candidate, share, start, now, world.weather(start, now))
        found.exposed += share * world.expected(start, now)
        for hits, usual in ((total.failed, BASELINE), (total.slow, plan.usual["slow"])):
            FORESEEN.foresee([(hits, total.units - hits)], usual)
        for i in np.flatnonzero(found.running):
            whole = _seen("new", BUCKETS, total, Counts.none(releases), i)
            said = judge(release, [whole], now, now, plan.usual)
            ready = strategy != "rolling" or now >= WORKERS * CHANGE
            if said.verdict in FOUND and (said.verdict != "promote" or ready):
                found.verdict[i], found.time[i] = FOUND[said.verdict], now
        start = now
        if not found.running.any():
            break
    return found


def shadow_then_canary(scenario: Scenario, releases: int, seed: int, looks: Sequence[float]) -> Outcome:
    """Nobody gets the shadow's answers; what it passes goes on as a canary."""
    found = shadow(scenario, releases, seed, looks)
    passed = np.flatnonzero(found.verdict == "promoted")
    if not len(passed):
        return found
    later = canary(replace(scenario, outage=None), len(passed), seed + 1, looks)
    joined = found.then(later, passed)
    joined.note = later.note
    return joined


def shadow(scenario: Scenario, releases: int, seed: int, looks: Sequence[float]) -> Outcome:
    """Both versions see all requests; their answers are compared row by row. How long a shadow takes says
    nothing of how long it would take as a server, so slow answers are not counted."""
    plan = plan_for(scenario, "shadow")
    release = _release("shadow", plan)
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    new, old, rng = scenario.candidate, scenario.champion, world.rng
    gain = new.accuracy - old.accuracy
    total = [Counts.none(releases) for _ in "ab"]
    zeros = np.zeros((5, releases), dtype=np.int64)  # rows, better, worse, yes gained, yes lost
    pairs, known, waiting, start = zeros, zeros, list[tuple[float, np.ndarray]](), 0.0
    for now in looks:
        weather = world.weather(start, now)
        theirs = world.draw(old, 1.0, start, now, weather)
        failing = np.clip(new.failed * weather[0] + weather[2], 0, 1)
        failed = rng.binomial(theirs.requests - theirs.refused, failing)
        due = np.minimum(np.maximum(new.first - total[0].failed, 0), theirs.answered)
        failed = np.maximum(failed, due)
        both = rng.binomial(theirs.answered, 1 - failing)
        ours = replace(theirs, failed=failed, answered=both, slow=theirs.slow * 0)
        theirs = replace(theirs, slow=theirs.slow * 0)
        chances = (AGREE + max(gain, 0), AGREE + max(-gain, 0), AGREE, AGREE)
        rows = np.stack([both, *(rng.binomial(both, each) for each in chances)])
        total = [have + more for have, more in zip(total, (ours, theirs), strict=True)]
        pairs = pairs + rows
        waiting.append((now, rows))
        while waiting and waiting[0][0] + LABELS_AFTER <= now:
            known = known + waiting.pop(0)[1]
        FORESEEN.foresee(_pairs(*total), events.limit_of(1, 1, 1.0))
        for i in np.flatnonzero(found.running):
            seen = [
                _seen(CHAMPION, BUCKETS, total[1], total[1], i),
                replace(_seen("shadow", BUCKETS, total[0], total[0], i), version="2"),
                Seen(
                    PAIRED,
                    "2",
                    0,
                    int(pairs[0, i]),
                    int(pairs[0, i]),
                    sums={
                        "accuracy": _differences(*known[[0, 1, 2], i]),
                        "share:yes": _differences(*pairs[[0, 3, 4], i]),
                    },
                ),
            ]
            said = judge(release, seen, now, now)
            if said.verdict in FOUND:
                found.verdict[i], found.time[i] = FOUND[said.verdict], now
        start = now
        if not found.running.any():
            break
    return found


def _release(strategy: Strategy, plan: Plan, entities: bool = False) -> Release:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    unit = "entity" if entities else "request"
    return Release(
        "r", "m", "prod", strategy, "2", "running", begun, "ann", against="1", plan=plan, unit=unit
    )


def _seen(name: str, weight: int, total: Counts, known: Counts, i: int, client: bool = False) -> Seen:
    """``known``: what has labels. ``client``: it has the one client, who is one more unit, refused."""
    return Seen(
        arm=name,
        version="1" if name in (CONTROL, CHAMPION) else "2",
        weight=weight,
        units=int(total.units[i]) + client,
        rows=int(total.requests[i]),
        events={
            "failed": int(total.failed[i]),
            "refused": int(total.refused_units[i]) + client,
            "slow": int(total.slow[i]),
        },
        sums={
            "accuracy": _shares(known.answered[i], known.right[i]),
            "share:yes": _shares(total.answered[i], total.yes[i]),
        },
    )


def _pairs(ours: Counts, theirs: Counts) -> list[tuple[Any, Any]]:
    names = ("failed", "refused_units", "slow")
    return [(getattr(ours, name), getattr(theirs, name)) for name in names]


def _shares(rows: int, ones: int) -> Sums:
    n, k = float(rows), float(ones)
    return Sums(int(rows), n, k, n, k, k)


def _differences(rows: int, better: int, worse: int) -> Sums:
    n, difference = float(rows), float(better - worse)
    return Sums(int(rows), n, difference, n, float(better + worse), difference)
