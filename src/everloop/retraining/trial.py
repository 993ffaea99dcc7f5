"""A candidate that the gate could not tell from the champion is judged again, on labels that come later.

The gate judges by the rows that were held out and are new: often a few hundred, by which a small gain may be
chance. Both models are there, so each later label says more, and nothing needs to be trained for it. On two
streams of bench/loop whose gate has few rows this brings 1 and 2 points more of what retraining can gain.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from everloop.core.decisions import BASELINE, Evidence, GatePolicy, GateVerdict
from everloop.core.loop import DecisionRecord

LOOKS = 3  # a monitoring.window apart, or more
LEAST = 100  # labels to judge by


def deserved(verdict: GateVerdict, margin: float) -> bool:
    """Whether only the comparison with a champion was undecided: with more rows it may be."""
    found = verdict.comparison
    return (
        not verdict.promote
        and verdict.against not in (None, BASELINE)
        and found is not None
        and found.high > margin
        and not verdict.worse_slices
        and not any(each.fired for each in verdict.checks)
    )


def policy(of_gate: GatePolicy) -> GatePolicy:
    """By which each look judges. All of them together let one that is no better through no more often than
    the gate does at once (Bonferroni)."""
    return replace(
        of_gate,
        confidence=1 - (1 - of_gate.confidence) / LOOKS,
        min_rows=max(of_gate.min_rows, LEAST),
    )


def looked(record: DecisionRecord, better: bool, said: str, later: datetime) -> DecisionRecord:
    """The record after a look; it has no outcome any more where the candidate is better. ``later``: when the
    next look is."""
    found = Evidence("trial", not better, f"Judged again on later labels: {said}")
    record = replace(record, evidence=(*record.evidence, found), looks=record.looks + 1, again_at=None)
    if better:
        return replace(record, outcome="", said="", ended_at=None)
    return replace(record, stage="ended") if record.looks >= LOOKS else replace(record, again_at=later)


def ended(record: DecisionRecord, why: str) -> DecisionRecord:
    """The record of a candidate that is not judged again, for a reason in words."""
    found = Evidence("trial", False, f"Not judged again: {why}.")
    return replace(record, stage="ended", evidence=(*record.evidence, found), again_at=None)
