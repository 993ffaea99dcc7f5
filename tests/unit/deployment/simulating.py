"""Many releases at once: what each arm has seen at every look, as arrays over the releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from everloop.core.releases import Plan, Sums
from everloop.deployment import mismatch
from everloop.deployment.compared import find_measure
from everloop.deployment.events import evidence, limit_of
from everloop.deployment.intervals import speaks_against, speaks_for
from everloop.deployment.levels import share
from everloop.deployment.sequences import between
from everloop.deployment.sequences import together as add


def of_rights(units, right) -> Sums:
    """A row a unit, of which so many are right."""
    return Sums(units, units * 1.0, right * 1.0, units * 1.0, right * 1.0, right * 1.0)


def of_values(values) -> Sums:
    """(releases, units) values, a row a unit."""
    n = np.full(len(values), values.shape[1])
    total = values.sum(axis=1)
    return Sums(n, n * 1.0, total, n * 1.0, (values**2).sum(axis=1), total)


def of_clusters(rows, totals) -> Sums:
    """(releases, units) rows of each unit and the total of their values; units without a row do not count."""
    return Sums(
        (rows > 0).sum(axis=1),
        rows.sum(axis=1) * 1.0,
        totals.sum(axis=1) * 1.0,
        (rows**2).sum(axis=1) * 1.0,
        (totals**2).sum(axis=1) * 1.0,
        (rows * totals).sum(axis=1) * 1.0,
    )


def growing(batches: int, batch: Callable[[], tuple[Sums, Sums]]) -> Iterator[tuple[Sums, Sums]]:
    """After every batch the sums of candidate and control so far."""
    arms = batch()
    yield arms
    for _ in range(batches - 1):
        arms = tuple(add(have, new) for have, new in zip(arms, batch(), strict=True))
        yield arms


def most(alpha: float, trials: int) -> float:
    """The share that alpha allows, and three binomial standard errors."""
    return alpha + 3 * np.sqrt(alpha * (1 - alpha) / trials)


class Draws:
    """A batch of units that fall to candidate and control at random: whether the answer is right, whether it
    is a yes, and the events. ``right``, ``yes``: probabilities of both arms; ``rates``: of each event."""

    def __init__(self, seed, releases, right, yes, rates):
        self.rng, self.releases = np.random.default_rng(seed), releases
        self.right, self.yes, self.rates = right, yes, rates

    def __call__(self, size):
        """``size``: units of an arm on average. The units of both, their sums and their events."""
        ours = self.rng.binomial(2 * size, 0.5, self.releases)
        units = (ours, 2 * size - ours)
        sums = {
            name: [of_rights(*each) for each in zip(units, self.tosses(units, both), strict=True)]
            for name, both in (("accuracy", self.right), ("share:yes", self.yes))
        }
        return list(units), sums, {event: self.tosses(units, both) for event, both in self.rates.items()}

    def tosses(self, units, probabilities):
        return [self.rng.binomial(n, p) for n, p in zip(units, probabilities, strict=True)]


def seen_at_every_look(draws: Draws, sizes) -> Iterator[tuple[list, dict, dict]]:
    """Units of both arms, sums and events so far."""
    units, sums, events = draws(sizes[0])
    yield units, sums, events
    for size in sizes[1:]:
        more, new, happened = draws(size)
        units = [a + b for a, b in zip(units, more, strict=True)]
        sums = {name: [add(*each) for each in zip(sums[name], new[name], strict=True)] for name in sums}
        events = {name: [a + b for a, b in zip(events[name], happened[name], strict=True)] for name in events}
        yield units, sums, events


def evidence_of_each(hits, misses, limit):
    """The evidence of every release, worked out once for those that have seen the same."""
    pairs, which = np.unique(hits * 1_000_000 + misses, return_inverse=True)
    return evidence(pairs // 1_000_000, pairs % 1_000_000, limit)[which]


def verdicts(plan: Plan, units: list, sums: dict, events: dict, last: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which releases are rolled back and which promoted at one look, by the functions that the judge calls.
    Splits that look broken are left out: they are neither."""
    levels = share(plan)
    back = np.zeros(len(units[0]), dtype=bool)
    good = (np.minimum(*units) >= max(plan.least_units, plan.burn_in)) & last
    for guardrail in plan.guardrails:
        limit = limit_of(1, 1, guardrail.ratio)
        back |= evidence_of_each(*events[guardrail.event], limit) >= 1 / levels.harm
    sound = back | (mismatch.evidence(np.stack(units, axis=-1), (1, 1)) < mismatch.NEEDED)
    for measure in plan.measures:
        sign = find_measure(measure.name).sign
        estimate = between(*sums[measure.name], bounded=True)
        ends = estimate.bounds(*levels.sides(measure))
        judged = estimate.least >= plan.burn_in
        back |= judged & speaks_against(*ends, measure.margin, sign)
        good &= judged & speaks_for(*ends, measure.margin, sign, measure.goal)
    return back & sound, good & ~back & sound


def decided(plan: Plan, draws: Draws, sizes, last_from: int) -> tuple[np.ndarray, np.ndarray]:
    """The look at which each release was rolled back and the one at which it was promoted; -1 for never. The
    last step begins at look ``last_from``."""
    back, good = (np.full(draws.releases, -1) for _ in "ab")
    for number, (units, sums, events) in enumerate(seen_at_every_look(draws, sizes)):
        running = (back < 0) & (good < 0)
        now_back, now_good = verdicts(plan, units, sums, events, number >= last_from)
        back[running & now_back], good[running & now_good] = number, number
    return back, good
