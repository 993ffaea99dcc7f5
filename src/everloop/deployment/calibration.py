"""How far probabilities lie from what happens: the expected calibration error, and how much of it is shown.

Rows are sorted by probability into ten bins of equal size (rows of one probability stay together); in each
the mean probability and the share of hits are compared (Naeini, Cooper & Hauskrecht 2015,
doi:10.1609/aaai.v29i1.9602). With two classes it is the probability of the positive one, with more that of
the class which is decided for.

The error itself is no test: of a perfect model it is above 0 too, for absolute values of noise do not cancel.
What is tested is cross-fitted: half of the rows say in which direction each bin errs, the other half how far
in that direction, and the reverse. That is a mean over rows whose expectation is the error or less, 0 for a
perfect model; its spread where no bin errs is sqrt(1 + 2 / pi) times that of its rows, since the halves say
each other's signs, and this is allowed for everywhere.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from everloop.core.decisions import Evidence

from .measures import Answers, Floats
from .paired import Paired, summarise

BINS = 10
_NAME = "calibration"
_BESIDE = "calibration beside the champion"
_BOTH_HALVES = math.sqrt(1 + 2 / math.pi)
Codes = NDArray[np.intp]


def error(answers: Answers) -> float:
    """The expected calibration error, 0 to 1."""
    gaps, bins, _ = _gaps(answers)
    return float(np.abs(np.bincount(bins, gaps, BINS)).sum() / len(gaps))


def rows(answers: Answers) -> Floats:
    """One number per row whose mean is the error that is shown, by crossing halves."""
    gaps, bins, half = _gaps(answers)
    sums = np.bincount(bins + BINS * half, gaps, 2 * BINS)
    return np.asarray(np.sign(sums[bins + BINS * (1 - half)]) * gaps)


def check_error(answers: Answers, most: float, confidence: float) -> Evidence:
    """Fires when the error is shown to be above ``most``: in 1 - confidence of cases at most if it is not."""
    value, least = error(answers), _low(rows(answers), confidence)
    said = f"expected calibration error {value:.3f} on {len(answers.truth):,} rows"
    if least > most:
        said += f", surely above {_limit(least)}: {most:g} is allowed"
    elif value > most:
        said += f": {most:g} is allowed, and so much more may be chance"
    else:
        said += f", {most:g} is allowed"
    return Evidence(_NAME, least > most, said, value, most)


def check_change(old: Answers, new: Answers, margin: float, confidence: float, against: str) -> Evidence:
    """Fires when the error is shown to lie more than ``margin`` above that of ``old``, on the same rows."""
    before, value = error(old), error(new)
    least = _low(rows(new) - rows(old), confidence)
    said = (
        f"expected calibration error {value:.3f} against {before:.3f} of {against} "
        f"on {len(new.truth):,} unseen rows"
    )
    if least > margin:
        said += f", surely {_limit(least)} more: {margin:g} more is allowed"
    elif value - before > margin:
        said += f": {margin:g} more is allowed, and so much may be chance"
    else:
        said += f", {margin:g} more is allowed"
    return Evidence(_BESIDE, least > margin, said, value - before, margin)


def unjudged(rows: int, least: int, against: str = "") -> Evidence:
    beside = f" beside {against}" if against else ""
    said = f"calibration{beside} is not judged: {rows:,} unseen rows, {least:,} are asked for"
    return Evidence(_BESIDE if against else _NAME, False, said)


def _low(each: Floats, confidence: float) -> float:
    """What the mean lies above, at a one-sided confidence."""
    spread: Paired = summarise(0.0, 0.0, each)
    return replace(spread, std=spread.std * _BOTH_HALVES).interval(2 * confidence - 1)[0]


def _gaps(answers: Answers) -> tuple[Floats, Codes, Codes]:
    """Hit minus probability of each row, its bin, its half: neighbours in probability lie in both halves."""
    if answers.given.shape[1] == 2:
        code = 1 if answers.positive is None else answers.positive
        said, hit = answers.given[:, code], answers.truth == code
    else:
        said, hit = answers.given.max(axis=1), answers.decided == answers.truth
    bins = ((rankdata(said) - 0.5) * BINS / len(said)).astype(np.intp)
    return hit - said, bins, rankdata(said, method="ordinal").astype(np.intp) % 2


def _limit(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if value >= 0.001 else f"{value:.1g}"
