"""A candidate that the gate could not tell from the champion is judged again, on labels that come later.

The gate judges by the rows that were held out and are new: often a few hundred, by which a small gain may be
chance. Both models are there, so each later label says more, and nothing needs to be trained for it. On the
streams of bench/loop whose gate has few rows this brings 2 to 5 % more of what retraining can gain.
"""

from __future__ import annotations

from everloop.core.decisions import GateVerdict

LOOKS = 3  # a monitoring.window apart, or more
LEAST = 100  # labels to judge by


def deserved(verdict: GateVerdict, margin: float) -> bool:
    """Whether only the comparison with a champion was undecided: with more rows it may be."""
    found = verdict.comparison
    return (
        not verdict.promote
        and verdict.against is not None
        and found is not None
        and found.high > margin
        and not verdict.worse_slices
        and not any(each.fired for each in verdict.checks)
    )


def confidence(of_gate: float) -> float:
    """Of each look, so that all of them together let one that is no better through no more often than the
    gate alone (Bonferroni)."""
    return 1 - (1 - of_gate) / LOOKS
