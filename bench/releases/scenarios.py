"""What can happen in a release: how the two versions answer, and what the traffic is like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
LONGEST = 14 * DAY
LABELS_AFTER = DAY

MEDIAN, P99 = 40.0, 200.0  # milliseconds of the champion: log-normal
_NORMAL = NormalDist()
_SIGMA = float(np.log(P99 / MEDIAN) / _NORMAL.inv_cdf(0.99))
P95 = float(MEDIAN * np.exp(_SIGMA * _NORMAL.inv_cdf(0.95)))
SLOW = 1.5 * P95  # what a plan takes for slow if nothing else is said


@dataclass(frozen=True)
class Version:
    """How one version answers. ``slower``: shares of the requests and how many times the usual time they
    take; ``first``: of its first requests so many fail."""

    failed: float = 0.005
    accuracy: float = 0.9
    yes: float = 0.4
    slower: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    first: int = 0

    def longer_than(self, milliseconds: float) -> float:
        """The share of answers that take longer."""
        return sum(
            share * (1 - _NORMAL.cdf(float(np.log(milliseconds / times / MEDIAN)) / _SIGMA))
            for share, times in self.slower
        )

    def latency(self, shares: Floats) -> Floats:
        """The times in milliseconds that these shares of answers stay below."""
        times, below = _below(self)
        return np.interp(shares, below, times)


@cache
def _below(version: Version) -> tuple[Floats, Floats]:
    """Times, and the shares of answers that take no longer."""
    times = np.geomspace(1, 20_000, 4_000)
    return times, np.array([1 - version.longer_than(float(each)) for each in times])


@dataclass(frozen=True)
class Scenario:
    """``wrong``: the verdicts that are false. ``hourly``: requests. ``noisy``: traffic and accuracy rise and
    fall with the day, errors come in bursts; for both versions alike. ``outage``: from when to when half of
    all requests fail. ``client``: the share of the requests that one client sends, all of them refused."""

    name: str
    words: str
    candidate: Version
    wrong: tuple[str, ...]
    hourly: float = 60_000.0
    noisy: bool = False
    outage: tuple[float, float] | None = None
    client: float = 0.0
    champion: Version = Version()
    refused: float = 0.01

    @property
    def excess(self) -> float:
        """Bad answers of the candidate beyond those of the champion, in a request: failed, or answered
        wrongly, or too late."""
        new, old = self.candidate, self.champion
        failed = new.failed - old.failed
        wrong = (1 - new.failed) * (1 - new.accuracy) - (1 - old.failed) * (1 - old.accuracy)
        late = (1 - new.failed) * new.longer_than(SLOW) - (1 - old.failed) * old.longer_than(SLOW)
        taken = 1 - self.refused if not self.client else (1 - self.client) * (1 - self.refused)
        return taken * (failed + wrong + late)


_BACK, _TAKEN = ("rolled back",), ("promoted",)
_SAME = Version()

SCENARIOS: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("equal", "an equal candidate", _SAME, _BACK),
        Scenario("noisy", "equal; traffic by day and night, errors in bursts", _SAME, _BACK, noisy=True),
        Scenario(
            "outage",
            "equal; for 10 minutes half of all requests fail, whoever answers",
            _SAME,
            _BACK,
            outage=(2 * MINUTE, 12 * MINUTE),
        ),
        Scenario(
            "client", "equal; 30 % of the requests are one client's, all refused", _SAME, _BACK, client=0.3
        ),
        Scenario("little", "equal; 60 requests an hour", _SAME, _BACK, hourly=60),
        Scenario("better", "better: accuracy +1 point", Version(accuracy=0.91), _BACK),
        Scenario("broken", "every request fails", Version(failed=1.0), _TAKEN),
        Scenario("first ten", "its first ten requests fail, then it is equal", Version(first=10), _TAKEN),
        Scenario("errors x2", "errors 0.5 % to 1 %", Version(failed=0.01), _TAKEN),
        Scenario("errors x10", "errors 0.5 % to 5 %", Version(failed=0.05), _TAKEN),
        Scenario("slow", "twice as slow", Version(slower=((1.0, 2.0),)), _TAKEN),
        Scenario(
            "slow tail",
            "one request in twenty ten times as slow",
            Version(slower=((0.95, 1.0), (0.05, 10.0))),
            _TAKEN,
        ),
        Scenario("worse", "subtly worse: accuracy -2 points", Version(accuracy=0.88), _TAKEN),
        Scenario(
            "little errors",
            "60 requests an hour, errors 0.5 % to 5 %",
            Version(failed=0.05),
            _TAKEN,
            hourly=60,
        ),
    )
}


@dataclass
class Counts:
    """Of one arm, an array over the releases each. ``requests`` counts all, ``units`` each client once."""

    requests: NDArray[np.int64]
    units: NDArray[np.int64]
    failed: NDArray[np.int64]
    refused: NDArray[np.int64]  # requests
    refused_units: NDArray[np.int64]
    slow: NDArray[np.int64]
    answered: NDArray[np.int64]
    right: NDArray[np.int64]
    yes: NDArray[np.int64]

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(mine + getattr(other, name) for name, mine in vars(self).items()))

    def take(self, which: NDArray[np.intp]) -> Counts:
        return Counts(*(each[which] for each in vars(self).values()))

    @classmethod
    def none(cls, releases: int) -> Counts:
        return cls(*(np.zeros(releases, dtype=np.int64) for _ in range(9)))


class World:
    """The traffic of many releases of one scenario at once."""

    def __init__(self, scenario: Scenario, releases: int, seed: int) -> None:
        self.scenario, self.releases = scenario, releases
        self.rng = np.random.default_rng(seed)
        self.phase = self.rng.uniform(0, 2 * np.pi, releases)
        self.client = self.rng.integers(0, 10_000, releases)  # the bucket of the one client
        self.failed_first = np.zeros(releases, dtype=np.int64)

    def expected(self, start: float, stop: float) -> Floats:
        """Requests from ``start`` to ``stop``, each in seconds, of each release."""
        flat = np.full(self.releases, (stop - start) / HOUR * self.scenario.hourly)
        if not self.scenario.noisy:
            return flat
        turns = [2 * np.pi * time / DAY + self.phase for time in (start, stop)]
        waves = (np.cos(turns[0]) - np.cos(turns[1])) * DAY / (2 * np.pi) / HOUR
        return flat + 0.8 * self.scenario.hourly * waves

    def weather(self, start: float, stop: float) -> tuple[Floats, Floats, float]:
        """What both arms meet: times the usual errors, what the accuracy gains, the share that an outage
        takes."""
        down = 0.0
        if self.scenario.outage:
            begin, end = self.scenario.outage
            down = 0.5 * max(min(stop, end) - max(start, begin), 0.0) / (stop - start)
        if not self.scenario.noisy:
            return np.ones(self.releases), np.zeros(self.releases), down
        bursts = 0.5 * (stop - start) / MINUTE  # of each minute a gamma variable of shape 1/2
        errors = self.rng.gamma(bursts, 1 / bursts, self.releases)
        return errors, 0.03 * np.sin(2 * np.pi * (start + stop) / 2 / DAY + self.phase), down

    def draw(
        self,
        version: Version,
        share: Floats | float,
        start: float,
        stop: float,
        weather: tuple[Floats, Floats, float],
        client: NDArray[np.bool_] | None = None,
    ) -> Counts:
        """What an arm sees that answers this share. ``client``: whether the one client is in it; None if
        arms are chosen anew for each of its requests."""
        it, rng = self.scenario, self.rng
        expected = np.broadcast_to(share * self.expected(start, stop), (self.releases,))
        once = rng.poisson(expected * (1 - it.client))
        if client is None:
            of_client = rng.poisson(expected * it.client)
        else:
            of_client = np.where(client, rng.poisson(self.expected(start, stop) * it.client), 0)
        refused = rng.binomial(once, it.refused)
        taken = once - refused
        errors, gain, down = weather
        failing = np.clip(version.failed * errors, 0, 1)
        failed = rng.binomial(taken, failing + (1 - failing) * down)
        answered = taken - failed
        if version.first:
            due = np.minimum(version.first - self.failed_first, answered)
            self.failed_first += due
            failed, answered = failed + due, answered - due
        return Counts(
            once + of_client,
            once + (of_client if client is None else 0),
            failed,
            refused + of_client,
            refused + (of_client if client is None else 0),
            rng.binomial(answered, version.longer_than(SLOW)),
            answered,
            rng.binomial(answered, np.clip(version.accuracy + gain, 0, 1)),
            rng.binomial(answered, version.yes),
        )

    def bad_answers(self, exposed: Floats) -> Floats:
        """Of a candidate that has answered so many requests, beyond the champion's."""
        first = np.minimum(self.scenario.candidate.first, exposed)
        return exposed * self.scenario.excess + first

    def remaining(self, since: Floats) -> Floats:
        """Requests from each time on to the end of the fourteen days."""
        return np.maximum(LONGEST - since, 0.0) / HOUR * self.scenario.hourly


@dataclass
class Outcome:
    """Of many releases: what became of them, after how many seconds, and the requests that the candidate
    had answered until then."""

    verdict: NDArray[np.str_]
    time: Floats
    exposed: Floats
    note: str = ""

    @classmethod
    def open(cls, releases: int) -> Outcome:
        return cls(np.full(releases, "", dtype="<U16"), np.zeros(releases), np.zeros(releases))

    @property
    def running(self) -> NDArray[np.bool_]:
        return np.asarray(self.verdict == "")

    def settle(self, which: NDArray[np.bool_], verdict: str, time: float) -> None:
        """For those of them that have no verdict yet."""
        which = which & self.running
        self.verdict[which], self.time[which] = verdict, time

    def then(self, later: Outcome, which: Sequence[int] | NDArray[np.intp]) -> Outcome:
        """Those that went on to another release, with what became of them there."""
        joined = replace(
            self, verdict=self.verdict.copy(), time=self.time.copy(), exposed=self.exposed.copy()
        )
        joined.verdict[which] = later.verdict
        joined.time[which] += later.time
        joined.exposed[which] += later.exposed
        return joined
