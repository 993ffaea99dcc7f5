"""Nouns of the loop: what called for a retraining, what was decided and why, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .decisions import Evidence, GateVerdict

TriggerKind = Literal[
    "performance",  # labels show that the model got worse
    "estimated",  # estimates without labels say so
    "drift",  # inputs or answers moved
    "labels",  # enough new labelled rows
    "schedule",  # the clock
    "data",  # a new version of the model's data
    "manual",  # somebody asked
    "webhook",  # another system asked
]

Action = Literal["retrain", "refuse", "defer"]
Stage = Literal["approval", "train", "release_approval", "direct", "shadow", "canary", "trial", "ended"]
CLOSED: tuple[Stage, ...] = ("ended", "trial")
Outcome = Literal["", "promoted", "kept", "held", "rolled_back", "failed", "refused", "deferred"]
Step = Literal["train", "release"]  # what people can be asked to approve


@dataclass(frozen=True)
class Trigger:
    """A reason to think about retraining. ``key`` names what happened: the same key triggers once."""

    kind: TriggerKind
    key: str
    at: datetime
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What the loop has decided of a turn: ``because`` of what it is to train, if its data show that this
    helps (``proven``: that needs no more proof; ``approved``: people want it), and what holds the new version
    back from being champion (empty: nothing)."""

    because: str
    proven: bool = False
    hold: str = ""
    approved: bool = False


@dataclass(frozen=True)
class Pause:
    """The loop of a model does nothing by itself until it is resumed; what is asked for by hand is done."""

    since: datetime
    by: str
    reason: str = ""


@dataclass(frozen=True)
class Approval:
    step: Step
    by: str
    at: datetime
    role: str = ""
    note: str = ""


@dataclass(frozen=True)
class DecisionRecord:
    """One consideration and all that came of it. ``number`` counts those of a model, in the order in which
    they were made, whatever the clock did.

    ``code`` names the reason for programs; ``changes`` says what would change the decision; ``evidence`` is
    everything that was looked at, first before training, then by the turn. ``stage`` is where a retraining
    is; it ends with an ``outcome`` and ``said``, why. One on ``trial`` has ended, too, but its candidate is
    judged again as labels come, and may go on then; ``looks``: how often it was, ``last_look``: the last
    verdict. ``again_at``: when that is, when a deferred one is considered again by itself, or a failed turn
    tried. ``times``: how often the same was found in a row, the last time ``newest``; of a retraining, how
    often it was begun. ``against``: the champion that the gate compared the new version with last, where the
    gate has spoken; ``champion`` is that of the consideration.
    """

    decision_id: str
    model: str
    number: int
    at: datetime
    action: Action
    code: str
    reason: str
    changes: str
    triggers: tuple[Trigger, ...]
    evidence: tuple[Evidence, ...]
    by: str
    champion: str | None = None
    forced: bool = False
    job_id: str = ""
    stage: Stage = "ended"
    outcome: Outcome = ""
    said: str = ""
    again_at: datetime | None = None
    turn_id: str | None = None
    run_id: str | None = None
    version: str | None = None
    rollout: str = ""
    releases: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    alert_id: str | None = None
    ended_at: datetime | None = None
    times: int = 1
    newest: datetime | None = None
    against: str | None = None
    looks: int = 0
    last_look: GateVerdict | None = None

    @property
    def compared_with(self) -> str | None:
        """The champion that the new version was judged against."""
        return self.against or self.champion

    @property
    def is_open(self) -> bool:
        return self.stage not in CLOSED
