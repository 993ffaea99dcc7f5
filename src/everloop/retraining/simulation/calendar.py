"""Policies to compare with: train every so many days and promote without a question, or never again."""

from __future__ import annotations

from typing import Any

from everloop.core.decisions import Decision, Evidence, GateVerdict
from everloop.core.loop import Trigger
from everloop.retraining.triage import Facts, Rules, Ruling

from .kept import Job, Plan
from .loop import Loop
from .world import Trained

FREE = Rules(cooldown=0.0, budget=1_000_000, min_rows=0)


class Never(Loop):
    """The first model serves for ever."""

    every: int | None = None

    def notice(self) -> None:
        kept = self.kept
        due = self.every is not None and self.day % self.every == 0
        if kept.champion is None:
            due = len(self.usable()) >= self.plan.first
        if due:
            key = f"day/{self.day}"
            kept.triggers[key] = Trigger("schedule", key, self.now, f"It is day {self.day}")
            kept.jobs.append(Job(len(kept.jobs) + 1))

    def _decided(self, job: Job) -> Decision:
        return Decision("retrain", "It is due")

    def _judged(self, trained: Trained) -> GateVerdict:
        return GateVerdict(True, "Nobody asked whether it is better")


class Weekly(Never):
    every = 7


def without_question(rules: Rules, facts: Facts, triggers: Any, *, forced: bool = False) -> Ruling:
    said = "It is due by the calendar."
    return Ruling("retrain", "asked", said, "", (Evidence("calendar", True, said),))


def plan(like: Plan) -> Plan:
    """The plan of these policies: no rule holds them back."""
    return Plan(like.model, FREE, on=(), window=like.window, first=like.first, limit=like.limit)
