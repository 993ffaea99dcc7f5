"""Nouns of releases: which version answers which share of a model's requests, and what decides it.

A *release* brings one or several versions (*candidates*) to an environment. *Traffic* is who answers from a
moment on; the newest of a model and environment is in force, and nothing of it is ever changed. A *unit* is
what an arm is chosen for: an entity (a user) where requests name one, else a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

BUCKETS = 10_000
PROD = "prod"
ENVIRONMENTS = ("dev", "staging", PROD)
_ALSO = {"production": PROD, "development": "dev", "stage": "staging"}
CHAMPION, CONTROL, CANDIDATE = "champion", "control", "canary"
FIXED = "/fixed"  # ends the names of arms whose share a bandit never changes

Strategy = Literal["direct", "blue-green", "canary", "rolling", "shadow", "ab"]
STRATEGIES: tuple[Strategy, ...] = ("direct", "blue-green", "canary", "rolling", "shadow", "ab")
Status = Literal[
    "planned", "waiting", "running", "promoted", "rolled_back", "aborted", "inconclusive", "concluded"
]
OPEN: tuple[Status, ...] = ("waiting", "running")
Verdict = Literal["hold", "advance", "promote", "roll_back", "inconclusive"]
Goal = Literal["no_harm", "better"]
Unit = Literal["request", "entity"]
Change = Literal["promoted", "rolled_back", "shifted", "ended"]
Event = Literal["failed", "refused", "slow", "crash"]


def environment_name(given: str) -> str:
    """An environment's one name: ``Production`` is prod."""
    name = given.strip().lower()
    return _ALSO.get(name, name)


@dataclass(frozen=True)
class Environment:
    """Where versions are released to. ``after``: only what is current there (for ``seconds``) may come.
    ``validated``: only versions that passed the gate. ``approval``: the role that has to approve."""

    name: str
    after: str | None = None
    seconds: float = 0.0
    validated: bool = False
    approval: str | None = None


@dataclass(frozen=True)
class Range:
    """Buckets from ``start`` to before ``stop``."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Arm:
    """A version and the buckets it answers. ``control`` is the champion on as many buckets as the candidate
    has; ``champion`` answers all that is in no comparison."""

    name: str
    version: str
    ranges: tuple[Range, ...] = ()

    @property
    def weight(self) -> int:
        return sum(each.size for each in self.ranges)


@dataclass(frozen=True)
class Rule:
    """Requests of which each field in ``when`` has one of its values go to ``arm``, outside the comparison.
    Fields are looked for in the request's ``context``, then among its features."""

    when: Mapping[str, tuple[str, ...]]
    arm: str


@dataclass(frozen=True)
class Traffic:
    """Who answers a model's requests in an environment from ``at`` on. The arms' ranges hold each bucket
    once. ``champion`` is the version that stays or comes back when the release is rolled back.

    ``salt`` makes the buckets of one release independent of those of another. ``shadows`` are versions that
    see the requests and answer nobody; ``warm`` ones are kept loaded. ``one_by_one``: workers change over one
    after the other. ``change``: what put it in force (``shifted``: a release began or moved its weights;
    ``ended``: it ended, and its candidate was not taken).
    """

    model: str
    environment: str
    sequence: int
    at: datetime
    change: Change
    champion: str
    arms: tuple[Arm, ...]
    release_id: str = ""
    by: str = ""
    reason: str = ""
    salt: str = ""
    unit: Unit = "request"
    rules: tuple[Rule, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    shadows: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    one_by_one: bool = False


@dataclass(frozen=True)
class Measure:
    """A mean that is compared. ``margin``: the harm that is put up with, in the unit of the measure.

    ``name``: ``accuracy``, ``brier`` (of the label that was given), ``net_value`` (money a row), ``mae``,
    ``mse``, which need labels; ``confidence``, ``value`` (a regression's mean) and ``share:CLASS``, which do
    not: of those either direction is harm.
    """

    name: str
    margin: float
    goal: Goal = "no_harm"


@dataclass(frozen=True)
class Guardrail:
    """A kind of event that the candidate may not have more often than the control: its rate may be up to
    ``ratio`` times the control's. ``slow``: an answer that took longer than ``above`` milliseconds."""

    event: Event
    ratio: float = 1.0
    above: float | None = None


@dataclass(frozen=True)
class Plan:
    """What was decided before the release began.

    ``steps``: buckets of the candidate, one step after the other, each for ``dwell`` seconds at least.
    ``burn_in``: units of an arm before a mean is judged. ``alpha`` bounds the probability of any false
    verdict over the whole release, however often it is looked at. ``size``: the units of each arm that were
    agreed on, with a label where measures need one; 0 if none were. It is inconclusive when these are there,
    and ``longest`` seconds after it began. ``label_delay``: seconds after which a prediction's label counts
    as there or missing. ``hourly``: units an hour that were expected; ``labelled``: the share of them that
    gets a label. ``usual``: where there is no control, the share of units with an event of each kind that is
    put up with. ``detects``: in words what it can find and by when.
    """

    measures: tuple[Measure, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    steps: tuple[int, ...] = ()
    dwell: float = 0.0
    burn_in: int = 100
    alpha: float = 0.05
    power: float = 0.8
    longest: float = 0.0
    label_delay: float = 0.0
    least_units: int = 0
    size: int = 0
    bandit: bool = False
    floor: float = 0.05
    hold_out: float = 0.2
    hourly: float = 0.0
    labelled: float = 1.0
    usual: Mapping[str, float] = field(default_factory=dict)
    detects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """One release. ``version`` is the candidate (the winner of an A/B test that promoted one); ``arms`` the
    versions of an A/B test with their shares. ``against`` was champion when it began. One that is ``planned``
    is only shown, and has no id."""

    release_id: str
    model: str
    environment: str
    strategy: Strategy
    version: str
    status: Status
    created_at: datetime
    by: str
    reason: str = ""
    against: str | None = None
    step: int = 0
    step_since: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str = ""
    plan: Plan = Plan()
    arms: tuple[Arm, ...] = ()
    unit: Unit = "request"
    rules: tuple[Rule, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True)
class Approval:
    role: str
    by: str
    at: datetime
    note: str = ""


@dataclass(frozen=True)
class Sums:
    """Of one mean in one arm: over ``units``, of the rows ``m`` of each and the total ``y`` of its values."""

    units: int = 0
    rows: float = 0.0
    total: float = 0.0
    rows_squared: float = 0.0
    total_squared: float = 0.0
    rows_by_total: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.rows if self.rows else None


@dataclass(frozen=True)
class Seen:
    """What was seen of an arm: its ``units`` (each counted once, also those that failed), how many of them
    had an event of each kind, and the sums of each measure. ``weight``: its buckets."""

    arm: str
    version: str
    weight: int
    units: int = 0
    rows: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    sums: Mapping[str, Sums] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)  # quantiles: p50, p95, p99


@dataclass(frozen=True)
class Interval:
    """Candidate minus control of one measure, positive where the candidate is better (of measures without a
    direction: larger). ``low`` and ``high`` hold at every look at once."""

    measure: str
    arm: str
    control: float | None
    candidate: float | None
    difference: float
    low: float
    high: float
    units: int
    margin: float
    proven: Literal["no_harm", "harm", "better", "worse", "open"] = "open"


@dataclass(frozen=True)
class Check:
    """A guardrail, or the mismatch check, at one look. ``evidence`` is an e-value: 1 says nothing, at
    ``needed`` it vetoes."""

    name: str
    arm: str
    vetoes: bool
    message: str
    evidence: float = 1.0
    needed: float = 20.0


@dataclass(frozen=True)
class Look:
    """One look at a release, and what was done about it."""

    release_id: str
    sequence: int
    at: datetime
    step: int
    verdict: Verdict
    reason: str
    seen: tuple[Seen, ...] = ()
    intervals: tuple[Interval, ...] = ()
    checks: tuple[Check, ...] = ()
    winner: str | None = None
