"""Nouns of one turn of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .decisions import Decision, GateVerdict

StepStatus = Literal["waiting", "running", "done", "kept", "failed"]

Listener = Callable[[str, StepStatus, str], None]
"""Told of each step: its name, its status (``kept``: finished before a crash) and a line about it."""


@dataclass(frozen=True)
class StepState:
    name: str
    status: StepStatus
    attempt: int
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True)
class TurnState:
    """How far a turn is: ``running``, ``done``, ``stopped`` (a contract failed) or ``failed`` (an error)."""

    turn_id: str
    model: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    steps: tuple[StepState, ...]
    error: str | None = None


@dataclass(frozen=True)
class TurnSummary:
    """What one turn did. ``model_version`` and ``accuracy`` are the champion's after the turn, measured (as
    all ``metrics``) on rows that it has not seen. ``status``: done, or stopped by a broken contract.
    ``held``: why a version that passed the gate was not promoted, and how to go on."""

    turn_id: str
    model: str
    status: str
    data_version: str
    model_version: str | None
    retrained: bool
    promoted: bool
    accuracy: float | None
    decision: Decision | None = None
    verdict: GateVerdict | None = None
    registered: str | None = None
    run_id: str | None = None
    resumed: bool = False
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Mapping[str, Any], ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)
    held: str = ""
