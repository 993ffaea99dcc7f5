"""What the gate asks besides the comparison: a frozen data version, the time of one row, the file's size.

See ``calibration`` and ``fairness`` for the others. Each gives a line of evidence; one that fired speaks
against promoting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.core.decisions import Evidence, GatePolicy
from everloop.core.errors import TooFewRows

from . import reasons
from .measures import Answers, Metric
from .paired import compare, pair
from .words import number

FROZEN = "frozen"


@dataclass(frozen=True)
class Timing:
    """Seconds that 95% of single rows take at most, the median of several runs, and how many rows they were;
    ``compiled``: measured on the compiled form."""

    seconds: float
    rows: int
    runs: int
    compiled: bool


def check_frozen(
    policy: GatePolicy, metric: Metric, old: Answers, new: Answers, against: str, left_out: str = ""
) -> Evidence:
    """Fires when the challenger is shown to be worse than the champion by more than ``frozen_margin``: an
    equally good one is stopped in 1 - confidence of cases at most. ``left_out`` says which rows are not in
    the answers."""
    rows, tail = len(new.truth), f" ({left_out})" if left_out else ""
    if rows < policy.min_rows:
        few = f"{rows:,} rows are left and {policy.min_rows:,} are asked for"
        return unjudged(policy, f"{few}{tail}")
    try:
        paired = pair(metric, old, new)
    except TooFewRows as error:
        return unjudged(policy, f"{metric.words} has no value: {error.message}{tail}")
    compared = compare(metric, paired, policy.confidence, f"{policy.frozen}")
    worse = paired.p_worse(policy.frozen_margin) <= 1 - policy.confidence
    said = f"on {policy.frozen} {reasons.difference(compared, against)}"
    if worse:
        margin = f" by more than {policy.frozen_margin:g}" if policy.frozen_margin else ""
        said += f", shown to be worse{margin}"
    elif compared.improvement < -policy.frozen_margin:
        said += ", a loss that may be chance"
    return Evidence(FROZEN, worse, said + tail, compared.improvement, -policy.frozen_margin)


def unjudged(policy: GatePolicy, why: str) -> Evidence:
    return Evidence(FROZEN, False, f"not judged on {policy.frozen}: {why}", None, -policy.frozen_margin)


def check_size(size: int, most: int) -> Evidence:
    """``size``, ``most``: bytes."""
    said = f"its file has {size:,} bytes, {most:,} are allowed"
    return Evidence("size", size > most, said, float(size), float(most))


def timed(runs: list[np.ndarray], *, compiled: bool) -> Timing:
    """``runs``: the seconds that each row took, run by run."""
    slowest = [float(np.quantile(run, 0.95)) for run in runs]
    return Timing(float(np.median(slowest)), sum(map(len, runs)), len(runs), compiled)


def check_latency(timing: Timing, most: float) -> Evidence:
    """``most``: seconds."""
    said = f"one row takes {_told(timing)}, {_shown(most)} are allowed"
    return Evidence("latency", timing.seconds > most, said, timing.seconds, most)


def check_latency_ratio(timing: Timing, old: Timing, most: float, against: str) -> Evidence:
    ratio = timing.seconds / old.seconds if old.seconds > 0 else 1.0
    said = (
        f"one row takes {_told(timing)}, {ratio:.2g} times the {_shown(old.seconds)} of {against}: "
        f"{most:g} times are allowed"
    )
    return Evidence("latency beside the champion", ratio > most, said, ratio, most)


def _told(timing: Timing) -> str:
    form = "compiled" if timing.compiled else "not compiled"
    return f"{_shown(timing.seconds)} ({form}; 95% of {timing.rows:,} answers, median of {timing.runs} runs)"


def _shown(seconds: float) -> str:
    return f"{number(1000 * seconds, 3)} ms"
