"""What the last candidates gained says of the next one, before it is compared.

The gate asks each candidate for a proof of its own, on the few rows that were held out and are new. But
where candidate after candidate has gained, the next one's gain is less likely to be chance. So gains, as
shares of the champion's loss, are taken as spread about a mean of the model's own (random effects, with a
half-Cauchy prior of the spread: Gelman, 2006): of what was found of the last candidates and of this one
follows how likely it is better. Where they have gained nothing, or once very much, it stands for itself.

Comparisons with one champion share rows, so that of each champion only the last one counts, and none with
the champion of now. A candidate's own rows have to favour it, whatever others have gained. In simulated
worlds (test_remembered.py; with those judged again) 3.6 to 4.5 % of candidates go out where none is ever
better, 3.4 % without this; where each gains 2 %, which a window's rows tell to 8 or 4 %, it is 57 or 79 %
instead of 39 or 60 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import norm

from everloop.core.decisions import BASELINE, Comparison, GateVerdict

from . import trial
from .columns import Floats
from .policy import LOWER_IS_BETTER

MOST = 10  # candidates
MEAN = 0.1  # of the loss: the deviation of what is believed of the mean gain
SPREAD = 0.02  # of the loss: the scale of what is believed of the spread of gains about it (half-Cauchy)
FAVOURED = 0.6  # confidence (two-sided) with which its own rows have to show that it is better
_GRID = np.geomspace(0.001, 1, 40)


def judge(verdict: GateVerdict, earlier: Sequence[GateVerdict], margin: float) -> GateVerdict:
    """The verdict, with the ``earlier`` ones in mind (the newest last; those without a champion to compare
    with count for nothing). It is another one only where the comparison alone is undecided, and of a metric
    that is a loss."""
    found = verdict.comparison
    if found is None or not trial.deserved(verdict, margin) or not _counts(found):
        return verdict
    of_champions = {
        each.against: each.comparison
        for each in earlier
        if each.comparison is not None and each.comparison.metric == found.metric and _counts(each.comparison)
    }
    for each in (verdict.against, BASELINE):
        of_champions.pop(each, None)
    past = [(each.improvement / each.champion, _error(each)) for each in of_champions.values()]
    gain, error, least = found.improvement / found.champion, _error(found), margin / found.champion
    if not past or gain - least <= _reach(FAVOURED) * error:
        return verdict
    past = past[-MOST:]
    chance = _better(gain, error, np.array(past).T, least)
    if chance <= (1 + found.confidence) / 2:
        return verdict
    mean = f"{np.mean([each for each, _ in past]):.1%} of the loss"
    several = (
        f"candidate gained ({mean})"
        if len(past) == 1
        else f"{len(past)} candidates gained ({mean} on average)"
    )
    sure = f"a probability of {chance:.1%}" if chance < 0.999 else "a probability of more than 99.9%"
    said = f"{verdict.reason} by itself; with what the last {several} it is better with {sure}"
    return replace(verdict, promote=True, reason=said)


def _better(gain: float, error: float, past: Floats, least: float) -> float:
    """The probability that the gain is above ``least``. ``past`` (2, n): gains of others, and their errors.
    Over a grid of spreads; all else is normal."""
    gains, errors = past[0][:, None], past[1][:, None]
    variance = errors**2 + _GRID**2
    weight = (1 / variance).sum(0) + 1 / MEAN**2
    mean = (gains / variance).sum(0) / weight
    before = _GRID**2 + 1 / weight  # variance of this one's gain, before it was compared
    likely = (
        2 * np.log(_GRID / (1 + (_GRID / SPREAD) ** 2))  # times the width of a step of the grid
        - np.log(variance).sum(0)
        - (gains**2 / variance).sum(0)
        + mean**2 * weight
        - np.log(weight)
        - np.log(error**2 + before)
        - (gain - mean) ** 2 / (error**2 + before)
    ) / 2
    share = np.exp(likely - likely.max())
    share /= share.sum()
    precise = 1 / error**2 + 1 / before
    middle = (gain / error**2 + mean / before) / precise
    return float((share * norm.cdf((middle - least) * np.sqrt(precise))).sum())


def _counts(found: Comparison) -> bool:
    """It is of a loss, and of models that answer otherwise."""
    return found.metric in LOWER_IS_BETTER and found.champion > 0 and found.low < found.high


def _error(found: Comparison) -> float:
    """The standard error of the gain, as a share of the champion's loss."""
    return (found.high - found.low) / 2 / _reach(found.confidence) / found.champion


def _reach(confidence: float) -> float:
    """Standard errors from the middle to an end of a two-sided interval."""
    return float(norm.ppf((1 + confidence) / 2))
