"""How others decide: fixed thresholds as Flagger's and Argo Rollouts' documentation has them, Kayenta's judge
in a canary stage, and a test of two proportions that is looked at again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from everloop.deployment.samplesize import size_of_proportions

from . import kayenta
from .kayenta import Metric
from .scenarios import DAY, HOUR, LONGEST, MINUTE, SLOW, Counts, Floats, Outcome, Scenario, Version, World

FLAGGER = "https://docs.flagger.app/usage/metrics, https://docs.flagger.app/usage/deployment-strategies"
ARGO = "https://argoproj.github.io/argo-rollouts/features/analysis/"

TOO_SLOW = 500.0  # ms, a bound of the buckets of Istio's histogram, so that its p99 is above iff 1 % are
SHARE = 0.1  # of a canary, and of its baseline, where the tool does not say
PEEK = 0.05


def flagger(scenario: Scenario, releases: int, seed: int, _looks: Sequence[float]) -> Outcome:
    """interval 1m, threshold 5, stepWeight 10, maxWeight 50; request-success-rate of 99 at least and
    request-duration (p99) of 500 at most, of the last minute. A check that fails, or has no values, stops
    the advance; at the tick after the fifth it is rolled back (``pkg/controller/scheduler.go``)."""
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    weight, failed = np.full(releases, 10), np.zeros(releases, dtype=np.int64)
    minute = 0
    while found.running.any():
        start, stop = minute * MINUTE, (minute + 1) * MINUTE
        share = np.where(found.running, weight / 100, 0.0)
        seen = world.draw(scenario.candidate, share, start, stop, world.weather(start, stop))
        found.exposed += share * world.expected(start, stop)
        found.settle(failed >= 5, "rolled back", stop)
        fine = healthy(seen, over(world, scenario.candidate, seen))
        done = fine & (weight >= 50)
        found.settle(done, "promoted", stop)
        weight = np.where(fine & ~done, weight + 10, weight)
        failed += ~fine
        minute += 1
    return found


def healthy(seen: Counts, late: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Flagger's two checks. ``late``: answers over 500 ms."""
    timed = seen.requests - seen.refused
    with np.errstate(invalid="ignore", divide="ignore"):
        success = 100 * (1 - seen.failed / seen.requests)
        slow = late / timed
    return np.asarray((success >= 99) & (slow <= 0.01))


def over(world: World, version: Version, seen: Counts) -> NDArray[np.int64]:
    share = version.longer_than(TOO_SLOW) / max(version.longer_than(SLOW), 1e-12)
    return world.rng.binomial(seen.slow, min(share, 1.0))


def argo(scenario: Scenario, releases: int, seed: int, _looks: Sequence[float]) -> Outcome:
    """setWeight 20, 40, 60, 80 with a pause of 10 minutes each; in the background from the second on, each 5
    minutes, a success rate with successCondition ``result[0] >= 0.95``, failureLimit 3: the fourth failed
    measurement aborts. ``irate`` takes the last two scrapes, here a minute apart; nothing to divide by is no
    success. The query is taken to be of the canary alone."""
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    failed = np.zeros(releases, dtype=np.int64)
    for minute in range(40):
        start, stop = minute * MINUTE, (minute + 1) * MINUTE
        share = np.where(found.running, 0.2 * (minute // 10 + 1), 0.0)
        seen = world.draw(scenario.candidate, share, start, stop, world.weather(start, stop))
        found.exposed += share * world.expected(start, stop)
        if minute + 1 >= 10 and (minute + 1) % 5 == 0 and minute + 1 < 40:
            failed += ~successful(seen)
            found.settle(failed > 3, "rolled back", stop)
    found.settle(found.running, "promoted", 40 * MINUTE)
    return found


def successful(seen: Counts) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - seen.failed / seen.requests >= 0.95)


SERVICE = (
    Metric("errors", "increase", "replace"),
    Metric("p99", "increase"),
    Metric("yes", "either"),
)
WITH_LABELS = (*SERVICE, Metric("accuracy", "decrease"))


def kayenta_service(scenario: Scenario, releases: int, seed: int, _looks: Sequence[float]) -> Outcome:
    """A lifetime of 3 hours, a judgement each hour of all samples so far, one a minute: share of errors, p99,
    share of the answer 'yes'."""
    return _kayenta(scenario, releases, seed, SERVICE, MINUTE, HOUR, 3, 0.0)


def kayenta_labels(scenario: Scenario, releases: int, seed: int, _looks: Sequence[float]) -> Outcome:
    """The same with accuracy, once labels come: samples of an hour, a judgement each day, of three days."""
    return _kayenta(scenario, releases, seed, WITH_LABELS, HOUR, DAY, 3, DAY)


def _kayenta(
    scenario: Scenario,
    releases: int,
    seed: int,
    metrics: Sequence[Metric],
    step: float,
    interval: float,
    times: int,
    delay: float,
) -> Outcome:
    """``delay``: how much later than its requests a judgement is made."""
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    series: dict[str, list[tuple[Floats, Floats]]] = {each.name: [] for each in metrics}
    scores: list[list[float]] = [[] for _ in range(releases)]
    for number in range(round(times * interval / step)):
        start, stop = number * step, (number + 1) * step
        weather = world.weather(start, stop)
        arms = [
            world.draw(version, SHARE, start, stop, weather)
            for version in (scenario.candidate, scenario.champion)
        ]
        versions = (scenario.candidate, scenario.champion)
        sampled = [samples(world, version, seen) for version, seen in zip(versions, arms, strict=True)]
        for name, values in series.items():
            values.append((sampled[0][name], sampled[1][name]))
        if stop % interval:
            continue
        so_far = {
            name: tuple(np.stack(side) for side in zip(*values, strict=True))
            for name, values in series.items()
        }
        for i in np.flatnonzero(found.running):
            pairs = {name: (canary[:, i], base[:, i]) for name, (canary, base) in so_far.items()}
            scores[i].append(kayenta.judge(metrics, pairs))
            said = kayenta.verdict(scores[i], len(scores[i]) == times)
            if said:
                found.verdict[i], found.time[i] = said, stop + delay
    found.exposed = SHARE * found.time / HOUR * scenario.hourly
    return found


def samples(world: World, version: Version, seen: Counts) -> dict[str, Floats]:
    """A sample of each metric; NaN where there was no request."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "errors": 100 * seen.failed / seen.requests,
            "yes": seen.yes / seen.answered,
            "accuracy": seen.right / seen.answered,
        }
    n = np.maximum(seen.answered, 1)
    place = np.ceil(0.99 * n)  # of as many uniform numbers in order; that one is Beta(place, n - place + 1)
    p99 = version.latency(world.rng.beta(place, n - place + 1))
    found["p99"] = np.where(seen.answered > 0, p99, np.nan)
    return found


def peeked(scenario: Scenario, releases: int, seed: int, looks: Sequence[float]) -> Outcome:
    """A tenth of the requests against another tenth. At every look, once each has 30 requests, four
    two-sided tests of two proportions at 5 %: failed, refused, slow, right. The first that says worse rolls
    back; promoted when the sample for a loss of 1 point of accuracy is there (power 0.8)."""
    world, found = World(scenario, releases, seed), Outcome.open(releases)
    enough = size_of_proportions(0.9, 0.89, PEEK, 0.8)
    sides = (world.client < SHARE * 10_000, world.client >= (1 - SHARE) * 10_000)
    versions = (scenario.candidate, scenario.champion)
    totals = [Counts.none(releases) for _ in versions]
    labelled = [Counts.none(releases) for _ in versions]
    waiting: list[tuple[float, list[Counts]]] = []
    start = 0.0
    for now in looks:
        weather = world.weather(start, now)
        clients = sides if scenario.client else (None, None)
        new = [
            world.draw(version, SHARE, start, now, weather, client)
            for version, client in zip(versions, clients, strict=True)
        ]
        totals = [have + more for have, more in zip(totals, new, strict=True)]
        waiting.append((now, new))
        while waiting and waiting[0][0] + DAY <= now:
            labelled = [have + more for have, more in zip(labelled, waiting.pop(0)[1], strict=True)]
        found.exposed += np.where(found.running, SHARE * world.expected(start, now), 0.0)
        ours, theirs = totals
        worse = (
            larger(ours.failed, ours.requests, theirs.failed, theirs.requests)
            | larger(ours.refused, ours.requests, theirs.refused, theirs.requests)
            | larger(ours.slow, ours.answered, theirs.slow, theirs.answered)
        )
        wrong = [each.answered - each.right for each in labelled]
        worse |= larger(wrong[0], labelled[0].answered, wrong[1], labelled[1].answered)
        found.settle(worse, "rolled back", now)
        found.settle(np.minimum(*(each.answered for each in labelled)) >= enough, "promoted", now)
        start = now
        if not found.running.any():
            break
    found.settle(found.running, "inconclusive", LONGEST)
    return found


def larger(
    hits: NDArray[np.int64], units: NDArray[np.int64], other: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Pooled z-test, two-sided at 5 %: significant, and the first share is the larger one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (hits + other) / (units + others)
        error = np.sqrt(pooled * (1 - pooled) * (1 / units + 1 / others))
        z = (hits / units - other / others) / error
    return np.asarray((np.minimum(units, others) >= 30) & (2 * ndtr(-np.abs(z)) < PEEK) & (z > 0))
