"""The guard of the gate: is any slice of the rows harmed by the challenger?

For a guard, caution means to see harm, not to overlook it, while tens of slices must not stop a good
challenger by chance. What is controlled is therefore the rate of false stops: a challenger that harms no
slice is stopped in 1 - confidence of cases at most (5% at 95%, one-sided), however many slices are guarded.
With that rate fixed, the most sensitive test is the best one. Bonferroni and Holm stop at the same moment
(smallest p <= level / slices); Benjamini & Hochberg (1995) stops whenever they do and oftener, at the same
rate of false stops (Simes 1986), and names slices of which at most that share, on average, is named wrongly.
It needs p-values that do not move against each other: slices share rows or do not, so theirs never do
(Benjamini & Yekutieli 2001).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from everloop.core.decisions import Comparison, GatePolicy
from everloop.core.errors import TooFewRows

from .measures import Answers, Metric
from .paired import Paired, compare, pair

MISSING = "(missing)"


def guard(
    policy: GatePolicy,
    metric: Metric,
    champion: Answers,
    challenger: Answers,
    slices: Mapping[str, NDArray[Any]],
) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
    """Every judged slice, and (worst first) those of them where the challenger is shown to be worse by more
    than the margin.

    Each comparison carries its own interval at the policy's confidence; only ``worse`` allows for their
    number. Slices on which the metric has no value (one class only …) are left out.
    """
    paired: dict[str, Paired] = {}
    for name, rows in _levels(slices, policy.min_slice_rows):
        try:
            paired[name] = pair(metric, champion.take(rows), challenger.take(rows))
        except TooFewRows:
            continue
    if not paired:
        return (), ()
    adjusted = false_discovery_control([p.p_worse(policy.slice_margin) for p in paired.values()])
    judged = tuple(compare(metric, p, policy.confidence, name) for name, p in paired.items())
    worse = [c for c, p in zip(judged, adjusted, strict=True) if p <= 1 - policy.confidence]
    return judged, tuple(sorted(worse, key=lambda c: c.improvement))


def _levels(slices: Mapping[str, NDArray[Any]], least: int) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """``column=level`` and the rows of each level that has ``least`` rows or more; missing is a level too."""
    for column, values in slices.items():
        codes, levels = pd.factorize(np.asarray(values, dtype=object), sort=False)
        order = np.argsort(codes, kind="stable")
        present, starts = np.unique(codes[order], return_index=True)
        for code, rows in zip(present, np.split(order, starts[1:]), strict=True):
            if len(rows) >= least:
                yield f"{column}={MISSING if code < 0 else levels[code]}", rows
