"""What a monitor can and cannot see, said before it starts.

False findings: ``alpha`` a window times the windows of 30 days, an upper limit. Changes: the smallest that
``checks.check`` finds in two windows with power .9 in *every* feature of its kind, by the same standard
errors, corrections and floors. What can go wrong is added up (Bonferroni): the promise is on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtrit

from everloop.core.errors import InvalidSettings
from everloop.core.monitoring import Promise

from . import evidence, words
from .bins import Bins
from .checks import ALONE, REACH, VOICE, VOICE_ERRORS, spans_of
from .comparing import DISTANCE, MISSING, VARIATION
from .correlating import CHANGE
from .levels import Levels
from .reference import FeatureReference, Reference

POWER = 0.9
MONTH = 30 * 86_400.0
_LARGEST = 8.0  # standard deviations
_MOST_COUNTED = 1e9  # rows; of more a binomial distribution is that of so many


def promise(
    reference: Reference, rows_per_window: float, windows_per_month: float, false_alarms: float
) -> Promise:
    """Of windows of so many rows, so many in 30 days, with this budget of false findings in 30 days.

    ``found`` by kind: ``mean`` in standard deviations (of normal scores), ``category`` and ``missing`` as
    shares (.02: two points), ``correlation``; and the seconds until it is found. A kind of which nothing is
    watched, or of which no change is found in two windows, is left out and ``words`` says so. Raises
    InvalidSettings for numbers that make no sense.
    """
    if not (rows_per_window >= 1 and windows_per_month > 0 and false_alarms > 0):
        raise InvalidSettings(
            f"No promise can be made of {rows_per_window:g} rows a window, {windows_per_month:g} windows and "
            f"{false_alarms:g} false alarms in 30 days.",
            remedy="Give at least one row a window, and more than no windows and false alarms.",
        )
    alpha = min(false_alarms / windows_per_month, 0.5)
    seconds = MONTH / windows_per_month
    found: dict[str, tuple[float, float]] = {}
    told = []
    for kind, (smallest, say) in _KINDS.items():
        if not _watched(reference, kind):
            continue
        soon = smallest(_Plan(reference, rows_per_window, alpha, 2))
        late = smallest(_Plan(reference, rows_per_window, alpha, REACH))
        if soon is not None:
            found[kind] = (soon, 2 * seconds)
            told.append(f"{say(soon)} in {_long(2 * seconds)}")
        if late is not None and (soon is None or late < 0.9 * soon):
            told.append(f"{say(late)} in {_long(REACH * seconds)}")
        if soon is None and late is None:
            told.append(f"no change of a {kind} for sure: the windows are too small")
    calm = "" if reference.calibrated else (
        " The reference is too short to show how rows depend on each other; they are taken as independent."
    )  # fmt: skip
    alarms = "false alarm" if false_alarms == 1 else "false alarms"
    many = f"{windows_per_month:,.0f}" if windows_per_month >= 10 else f"{windows_per_month:.2g}"
    many = "1 window" if many == "1" else f"{many} windows"
    text = (
        f"At most {false_alarms:g} {alarms} in 30 days, of {many} of "
        f"{words.rows(rows_per_window)}. Found with {100 * POWER:.0f} % certainty, in any one feature: "
        f"{'; '.join(told) or 'nothing'}.{calm}"
    )
    return Promise(windows_per_month, false_alarms, POWER, found, text)


class _Plan:
    """``span`` windows judged together; ``level``: of one test where all others are quiet, ``gaps`` of one of
    missing values where the reference has some."""

    def __init__(self, reference: Reference, rows: float, alpha: float, span: int) -> None:
        self.reference, self.rows, self.span = reference, rows, span
        features = reference.features.values()
        known = sum(feature.missing > 0 for feature in features)
        weights = evidence.weights([True] * known + [False] * (len(features) + 2))  # two: pairs, what changed
        share = (1 - ALONE) / (len(spans_of(REACH - 1)) - 1)
        self.level = alpha * share * float(weights[-1] / weights.sum())
        self.gaps = alpha * share * float(weights[0] / weights.sum())

    def pieces(self) -> tuple[tuple[float, float], ...]:
        """Rows of all windows, of the last, of those before; with the standard errors that each must show."""
        return (self.span * self.rows, 0.0), (self.rows, 1.0), ((self.span - 1) * self.rows, 1.0)


def _smallest(power: Callable[[float], float], most: float) -> float | None:
    """From which change up to ``most`` on the power holds, to 1 %; more power for more change is taken for
    granted."""
    if power(most) < POWER:
        return None
    low, high = most / 10_000, most
    while high > 1.01 * low:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _worst(each: list[float | None]) -> float | None:
    """The largest; None if any is."""
    return (
        None if not each or any(one is None for one in each) else max(one for one in each if one is not None)
    )


def _mean(plan: _Plan) -> float | None:
    numbers = [
        (feature, feature.bins)
        for feature in plan.reference.features.values()
        if feature.kind == "number" and feature.bins is not None and not feature.constant
    ]
    return _worst([_smallest(partial(_mean_power, plan, *each), _LARGEST) for each in numbers])


def _mean_power(plan: _Plan, feature: FeatureReference, bins: Bins, shift: float) -> float:
    off = _moved(bins, shift) - bins.shares
    count = bins.components.shape[1]
    present = 1 - feature.missing / feature.rows
    means = off @ bins.components
    here = plan.rows * present / feature.dependence.at(plan.rows).effect[:count]
    _, lean, peaked = evidence.shape(bins.shares, bins.components)
    settled = evidence.settled(lean, peaked, here)
    if not settled.any():
        return 0.0
    part = int(np.argmax(np.where(settled, np.abs(means), -1.0)))
    there = feature.dependence.at(feature.rows)
    missed = 0.0
    for rows, voices in plan.pieces():
        usual = feature.dependence.at(rows)
        error = np.sqrt(
            usual.effect[part] / (rows * present) + there.effect[part] / (feature.rows * present)
        ) * float(usual.peak[part])
        wanted = VOICE_ERRORS if voices else _limit(plan.level / (2 * count), usual.freedom[part])
        missed += float(ndtr(wanted - abs(means[part]) / error))
    rows = plan.pieces()[0][0] * present
    spread = 0.5 * np.sqrt(feature.dependence.at(rows).effect[count] / rows)
    missed += float(ndtr((DISTANCE - np.abs(np.cumsum(off)).max()) / spread))
    return 1 - missed


def _moved(bins: Bins, by: float) -> np.ndarray:
    """Shares of the bins when the normal scores of all values grow by so much: of a normal feature that is
    its mean in standard deviations. A shift of the values themselves would be no measure for others: of one
    that is nearly always 0, a hundredth of a standard deviation moves everything."""
    held = ndtr(ndtri(np.cumsum(bins.shares)[:-1].clip(0.0, 1.0)) - by)
    return np.diff(np.concatenate([[0.0], held, [1.0]]))


def _limit(level: float, freedom: float) -> float:
    known = bool(np.isinf(freedom))
    return float(-ndtri(level / 2) if known else -stdtrit(freedom, level / 2))


def _category(plan: _Plan) -> float | None:
    several = [
        (feature, feature.levels)
        for feature in plan.reference.features.values()
        if feature.levels is not None and not feature.constant
    ]
    return _worst(
        [_smallest(partial(_category_power, plan, *each), float(each[1].shares[0])) for each in several]
    )


def _category_power(plan: _Plan, feature: FeatureReference, levels: Levels, change: float) -> float:
    """So many points leave the most frequent level."""
    first = levels.shares[0]
    present = 1 - feature.missing / feature.rows
    held = int((levels.shares > 0).sum()) + 1
    there = feature.dependence.at(feature.rows).effect[0] / (feature.rows * present)
    usual_variance, variance = first * (1 - first), (first - change) * (1 - first + change)
    missed = 0.0
    for rows, voices in plan.pieces():
        usual = feature.dependence.at(rows)
        here = usual.effect[0] / (rows * present)
        null = np.sqrt(max(usual_variance, variance) * (here + there)) * usual.peak[0]
        spread = np.sqrt(max(variance, 1e-6) * (here + there))
        wanted = VOICE_ERRORS if voices else _limit(plan.level / (2 * held), usual.freedom[0])
        missed += float(ndtr((wanted * null - change) / spread))
        if not voices:
            missed += float(ndtr((VARIATION - change) / (np.sqrt(2) * spread)))
    return 1 - missed


def _missing(plan: _Plan) -> float | None:
    found = []
    for feature in plan.reference.features.values():
        before = feature.missing / feature.rows
        needed = [_needed(plan, feature, rows, voices > 0) for rows, voices in plan.pieces()]
        if before < 0.9:
            found.append(_smallest(partial(_missing_power, before, needed), 1 - before))
    return _worst(found)


def _needed(plan: _Plan, feature: FeatureReference, rows: float, is_voice: bool) -> tuple[float, float]:
    """Independent rows, and how many of them must be missing to be found."""
    before, there = feature.missing / feature.rows, feature.dependence.at(feature.rows)
    usual = feature.dependence.at(rows)
    free, free_there = rows / float(usual.effect[-1]), feature.rows / float(there.effect[-1])
    level = VOICE if is_voice else plan.gaps if feature.missing else plan.level
    counts = np.unique(np.rint(np.linspace(0, np.floor(free), 4_000)))
    enough = counts > before * free + (0.0 if is_voice else MISSING * free)
    enough &= evidence.of_rare(counts, free, before * free_there, free_there) <= level
    if not np.isinf(usual.freedom[-1]) or before > 0.1:
        pooled = np.clip((counts + before * free_there) / (free + free_there), 1e-12, 1 - 1e-12)
        z = (counts / free - before) / np.sqrt(pooled * (1 - pooled) * (1 / free + 1 / free_there))
        enough &= z >= _limit(level, float(usual.freedom[-1])) * float(usual.peak[-1])
    return np.floor(free), float(counts[np.argmax(enough)]) if enough.any() else np.inf


def _missing_power(before: float, needed: list[tuple[float, float]], change: float) -> float:
    missed = 0.0
    for rows, least in needed:
        part = min(1.0, _MOST_COUNTED / max(rows, 1.0))
        free, wanted = int(part * rows), np.rint(part * least)
        missed += float(bdtr(wanted - 1, free, min(before + change, 1.0))) if least <= rows else 1.0
    return 1 - missed


def _correlation(plan: _Plan) -> float | None:
    return _smallest(partial(_correlation_power, plan), 0.95)


def _correlation_power(plan: _Plan, change: float) -> float:
    """Of a pair that is not correlated in the reference: the hardest."""
    joint = plan.reference.joint
    count = len(joint.triangle[0])
    missed = 0.0
    longer = joint.dependence.at(float(np.median(joint.sums.pairs))).effect.max()
    there = longer / max(float(np.median(joint.sums.pairs)), 1.0)
    for rows, voices in plan.pieces():
        usual = joint.dependence.at(rows)
        place = int(np.argmax(usual.effect))
        free = max(rows / usual.effect[place] - 3, 1.0)
        error = np.sqrt(1 / free + there)
        null = error * usual.peak[place]
        wanted = VOICE_ERRORS if voices else _limit(plan.level / count, usual.freedom[place])
        missed += float(ndtr((wanted * null - np.arctanh(change)) / error))
        if not voices:
            missed += float(ndtr((np.hypot(CHANGE, error) - change) / error))
    return 1 - missed


def _watched(reference: Reference, kind: str) -> bool:
    features = [feature for feature in reference.features.values() if not feature.constant]
    if kind == "correlation":
        return len(reference.joint.names) > 1
    if kind == "mean":
        return any(feature.kind == "number" for feature in features)
    return kind == "missing" or any(feature.levels is not None for feature in features)


def _long(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}s"
    return f"{seconds:.3g} seconds"


_KINDS: dict[str, tuple[Callable[[_Plan], float | None], Callable[[float], str]]] = {
    "mean": (_mean, lambda change: f"a mean that moves by {change:.2f} standard deviations"),
    "category": (_category, lambda change: f"{100 * change:.1f} points of a category that change level"),
    "missing": (_missing, lambda change: f"{100 * change:.1f} points more missing values"),
    "correlation": (_correlation, lambda change: f"a correlation that changes by {change:.2f}"),
}
