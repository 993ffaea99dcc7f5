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
LEAST = 100  # labels to judge by, new since the look before
_OVER = "Not judged again"


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
    """By which each look judges."""
    return replace(of_gate, looks=LOOKS, min_rows=max(of_gate.min_rows, LEAST))


def began(record: DecisionRecord, later: datetime) -> DecisionRecord:
    """The record of one that was kept, when it is judged again. ``later``: when the next look is."""
    return replace(record, stage="trial", again_at=later, changes=_changes(record))


def too_early(record: DecisionRecord, came: int) -> str:
    """Why it is not looked at yet: a look at nearly the same labels would say the same, and be one less.
    ``came``: labels since it was trained; empty where enough are new."""
    seen = [each.value for each in record.evidence if each.check == "trial" and each.value is not None]
    new = came - int(max(seen, default=0))
    return f"{max(new, 0)} of {LEAST} labels have come since the last look" if seen and new < LEAST else ""


def looked(record: DecisionRecord, verdict: GateVerdict, came: int | None, later: datetime) -> DecisionRecord:
    """The record after a look; it has no outcome any more where the candidate is better. ``came``: labels
    that there were, None where they could not be asked."""
    value = None if came is None else float(came)
    found = Evidence("trial", not verdict.promote, f"Judged again on later labels: {verdict.reason}", value)
    record = replace(record, evidence=(*record.evidence, found), looks=record.looks + 1)
    if verdict.comparison is not None:
        record = replace(record, last_look=verdict)
    if verdict.promote:
        return replace(record, outcome="", said="", ended_at=None, again_at=None, changes="")
    if record.looks >= LOOKS:
        return replace(record, stage="ended", again_at=None, changes="")
    return began(record, later)


def waits(record: DecisionRecord, said: str, later: datetime) -> DecisionRecord:
    """The record when it was too early for a look."""
    return replace(record, again_at=later, changes=f"{_changes(record)} Too early: {said.rstrip('.')}.")


def ended(record: DecisionRecord, why: str) -> DecisionRecord:
    """The record of a candidate that is not judged again, for a reason in words."""
    found = Evidence("trial", False, f"{_OVER}: {why}.")
    return replace(record, stage="ended", evidence=(*record.evidence, found), again_at=None, changes="")


def result(record: DecisionRecord) -> str:
    """Of one that was kept and is not judged again any more, in words that follow others; empty where it was
    on no trial, or the last look was for it."""
    last = record.last_look
    over = [each.message for each in record.evidence if each.check == "trial"][-1:]
    if over and over[0].startswith(_OVER):
        return f"n{over[0][1:].removesuffix('.')}"
    if record.looks < LOOKS or (last is not None and last.promote):
        return ""
    return f"nor do later labels show it better, looked at {record.looks} times"


def _changes(record: DecisionRecord) -> str:
    left = LOOKS - record.looks
    times = f"{left} times at most, each time by" if left > 1 else "once more, by"
    return (
        "Later labels that show it better than the champion: what was predicted since it was trained. "
        f"{record.model}@{record.version} is judged again {times} {LEAST} new labels or more."
    )
