"""Nouns of the simulated loop: the policy that is tried, and a store whose transactions hold or do not
happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from everloop.core.decisions import GateVerdict
from everloop.core.loop import DecisionRecord, Trigger
from everloop.retraining.triage import Rules

from .world import DAY, Trained


@dataclass(frozen=True)
class Plan:
    """The policy that is tried. ``window``: the seconds of a window of monitoring, and ``window_rows`` the
    labelled rows that it has at least; ``first``: rows that the first model is trained on, which people
    have done where it is ``given``: no limit counts that; ``canary``: days that a release takes; ``limit``:
    trainings, at most; ``margin``: of the gate."""

    model: str = "simulated"
    rules: Rules = field(default_factory=Rules)
    on: tuple[str, ...] = ("performance", "drift", "labels")
    new_labels: int = 500
    schedule: str | None = None
    window: float = DAY
    window_rows: int = 200
    min_samples: int = 50
    first: int = 500
    given: bool = False
    canary: int = 0
    limit: int | None = None
    margin: float = 0.0
    past_gains: bool = True


@dataclass(frozen=True)
class Deaths:
    """Chances, before each move of a worker: that it is killed, and that it stalls until its job is taken."""

    kill: float = 0.2
    stall: float = 0.1


@dataclass(frozen=True, eq=False)
class Version:
    """A registered model; ``until``: seconds since the world began, up to which it has learnt.
    ``challenged``: there was a champion that it was compared with."""

    name: str
    decision_id: str
    trained: Trained
    until: float
    at: datetime
    verdict: GateVerdict
    challenged: bool = True

    def has_seen(self, size: int) -> np.ndarray:
        seen = np.zeros(size, dtype=bool)
        seen[self.trained.learnt] = True
        return seen

    def had(self, size: int) -> np.ndarray:
        """(size,): rows of its data, learnt or held out."""
        found = self.has_seen(size)
        found[self.trained.held] = True
        return found


@dataclass
class Job:
    number: int
    held_by: int | None = None
    done: bool = False

    @property
    def decision_id(self) -> str:
        return f"dec-{self.number:04d}"


@dataclass
class Kept:
    """What the simulated store holds. Each method of ``Loop`` that changes it does so between two yields of a
    worker: wholly or not at all."""

    triggers: dict[str, Trigger] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    steps: dict[tuple[int, str], Any] = field(default_factory=dict)
    records: dict[str, DecisionRecord] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)  # on which each record was made
    of_job: dict[int, str] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    champions: list[tuple[int, str]] = field(default_factory=list)  # day, version
    released: dict[str, datetime] = field(default_factory=dict)  # when the canary of each decision began
    learnt: list[tuple[int, str, frozenset[int]]] = field(default_factory=list)  # day, decision, days of rows
    looked: int = 0  # the day with which the next window of performance begins
    faults: dict[int, str] = field(default_factory=dict)  # what was found of a day's feed
    opened: dict[str, int] = field(default_factory=dict)  # alerts that are open, by kind: since which day
    signs: dict[str, tuple[int, str]] = field(default_factory=dict)  # newest finding of each kind: day, words

    @property
    def champion(self) -> Version | None:
        if not self.champions:
            return None
        return next(each for each in self.versions if each.name == self.champions[-1][1])

    @property
    def newest(self) -> DecisionRecord | None:
        """The record that was made last."""
        return next(reversed(self.records.values())) if self.records else None

    def under_way(self) -> list[DecisionRecord]:
        return [each for each in self.records.values() if each.is_open]

    def on_trial(self) -> list[DecisionRecord]:
        return [each for each in self.records.values() if each.stage == "trial"]

    def retrained(self, *, given: bool = False) -> tuple[datetime, ...]:
        """When the loop has trained; ``given``: without what was trained before there was a champion."""
        trained = [each for each in self.records.values() if each.run_id]
        return tuple(each.at for each in trained if not given or each.champion is not None)
