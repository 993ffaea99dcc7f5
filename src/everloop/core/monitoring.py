"""Nouns of the monitoring room: what was checked in a window of production, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Level = Literal["info", "warning", "critical"]
LEVELS: tuple[Level, ...] = ("info", "warning", "critical")

_EACH = ("precision", "recall", "f1")
SHARES = frozenset(("accuracy", "roc_auc", *_EACH, *(f"{name}_macro" for name in _EACH)))
"""Metrics that are between 0 and 1."""

FEW = 0.1  # of the rows: levels that come and go

Family = Literal[
    "quality",  # schema, types, new levels, missing values, a constant or stuck column: the feed
    "data",  # the distribution of one feature
    "joint",  # how features go together
    "prediction",  # the distribution of the model's answers
    "estimated",  # performance without labels
    "performance",  # performance from labels
    "concept",  # the errors over the stream of labels
    "service",  # failures, slow answers
    "check",  # a check of the user's own, or of a library
]


@dataclass(frozen=True)
class Result:
    """One thing that was checked in one window, whether it fired or not.

    ``statistic`` says what ``value`` is (``ks``, ``tv``, ``missing``, ``correlation``, ``log_loss`` …);
    ``usual`` is the same of the reference, ``low`` and ``high`` bound ``value``, ``floor`` is the smallest
    effect that counts. ``unable``: it could not be checked, and ``message`` says why; it did not fire then.
    """

    family: Family
    subject: str
    statistic: str
    fired: bool
    message: str
    level: Level = "info"
    value: float | None = None
    usual: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    floor: float | None = None
    unable: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def breaks_feed(self) -> bool:
        """Whether rows of this window are not to be learnt. Fewer missing values than usual are no fault; a
        level that is new or comes no more is the world's, where it is of few rows or the list was open."""
        if not self.fired or self.family != "quality" or self.level == "info":
            return False
        if self.statistic == "new_level":
            return (self.value or 0.0) >= FEW and not self.details.get("open")
        return self.statistic != "vanished_level" or (self.usual or 0.0) >= FEW


Kind = Literal["answers", "labels"]


@dataclass(frozen=True)
class Checked:
    """One window of a version's production, checked. ``since`` and ``until`` bound it (UTC, until excluded).

    ``kind``: its inputs and ``answers``, as soon as it is over, or its ``labels``, when they have come.
    """

    model: str
    version: str
    kind: Kind
    since: datetime
    until: datetime
    at: datetime
    rows: int
    results: tuple[Result, ...]

    @property
    def findings(self) -> tuple[Result, ...]:
        """What fired, and what could not be checked."""
        return tuple(each for each in self.results if each.fired or each.unable)


@dataclass(frozen=True)
class Promise:
    """What a monitor says beforehand: ``false_alarms`` to expect in 30 days, and for each kind of change
    the smallest that it finds with ``power``, after how many seconds at this traffic."""

    windows: float
    false_alarms: float
    power: float
    found: Mapping[str, tuple[float, float]]
    words: str


AlertStatus = Literal["open", "closed"]


@dataclass(frozen=True)
class Finding:
    """The newest of what was found about one thing, and in which window. ``times``: in how many windows."""

    result: Result
    version: str
    kind: Kind
    since: datetime
    until: datetime
    times: int = 1


@dataclass(frozen=True)
class Quiet:
    """How many windows in a row nothing was found in; ``until`` is the end of the last one that counted."""

    windows: int
    until: datetime


@dataclass(frozen=True)
class Alert:
    """One incident of a model: findings that belong together, the newest of each, the worst first.

    ``times``: in how many windows something was found; ``quiet``: of each kind of check that found something,
    how long it has not; ``proposal``: what the system did or proposes; ``told``: the level at which each
    channel was told of it, and ``notices`` when; ``held``: why nobody was told at once of the newest
    (silenced, below the level of the rules, over the budget), and what became of it; ``digest``: whom the
    next digest tells, at which level.
    """

    alert_id: str
    model: str
    key: str
    level: Level
    status: AlertStatus
    title: str
    opened_at: datetime
    updated_at: datetime
    findings: tuple[Finding, ...]
    times: int = 1
    quiet: Mapping[str, Quiet] = field(default_factory=dict)
    damage: str = ""
    proposal: str = ""
    told: Mapping[str, Level] = field(default_factory=dict)
    notices: tuple[datetime, ...] = ()
    messages: int = 0
    held: str | None = None
    digest: Mapping[str, Level] = field(default_factory=dict)
    closed_at: datetime | None = None
    closed_by: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Silence:
    """No message is sent of findings about ``model`` (None: any) and ``subject`` (None: any) until then.
    Alerts are still opened and shown."""

    silence_id: str
    model: str | None
    subject: str | None
    since: datetime
    until: datetime
    by: str
    reason: str


EventKind = Literal["opened", "escalated", "closed", "digest", "test"]


@dataclass(frozen=True)
class Message:
    """What a channel is told. ``message_id`` is the same however often it is delivered."""

    message_id: str
    event: EventKind
    level: Level
    subject: str
    at: datetime
    title: str
    text: str
    source: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Damage:
    """What the drift of one feature does to a model's answers: ``effect`` is the mean distance of the answers
    to those with the feature put back to how it usually is, ``low`` and ``high`` bound it (95 %).

    ``share``: of the effects of all features that were asked about; ``moved``: the mean answer (of two
    classes the probability of the last) less the repaired one. ``metric``: the performance to expect now,
    ``performance``, and with the feature ``repaired``, where that can be estimated. ``harm``: how much worse
    it is for the drift, 0 or less where it is not.
    """

    feature: str
    effect: float
    low: float
    high: float
    share: float
    moved: float
    rows: int
    metric: str | None = None
    performance: float | None = None
    repaired: float | None = None
    harm: float | None = None
