"""Would retraining help? Asked of the champion's own errors, without training anything.

A model that a retraining would improve makes errors that can be foreseen: from its answers and the rows'
features, by something learnt on the errors before. So a small corrector (ridge-penalised, on top of the
champion's answer) is fitted on the older of the labelled rows that the champion has not seen and judged on
the newer ones, block after block in the order of time. Where it gains nothing out of time, a change of the
world has left no mark that training on these rows could use.

The interval is Student's t over the blocks' gains: rows of one block may depend on each other. A corrector
of noise loses a little, so that without drift the gain is below 0 on average and false alarms are rarer than
the confidence says (simulated in test_benefit.py). What it cannot see: what a linear correction cannot
express, and that a model would learn more from more rows of the same world.

The constants are of bench/loop (RESULTS.md), chosen on its flights and its streams without drift. There the
gain of a correction stayed below 0.4 % of the loss in 176 looks at models of independent rows; on the flights
of 2013, where fresh models gain 5 %, it was mostly 0.3 to 4 %: ``GAIN`` lies between. Trained every 4 steps,
a model has most of what it has trained at every step (83 % on flights, 92 to 98 % on seven more): ``WAIT``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy.special import logsumexp
from scipy.stats import t as student

from everloop.core.decisions import BASELINE, GateVerdict
from everloop.core.errors import Invalid, TooFewRows
from everloop.core.spans import words

from . import policy
from .columns import MOST as COLUMNS
from .columns import Floats, numbers, standard
from .moving import Moves

BLOCKS = 6  # consecutive in time, with equally many rows
LEAST = 30  # rows in a block, at least
FEWEST = BLOCKS * LEAST  # rows that it takes
MOST = 10_000  # rows that are looked at; of more, every second, third … one is taken
CONFIDENCE = 0.8  # of the two-sided interval
PENALTIES = (10.0, 100.0, 1000.0)  # 1 / variance of a standardised feature's effect, as believed beforehand
WEEK = 604_800.0  # seconds
WINDOWS = " windows (monitoring.window)"
SHORT = 0.1  # periods; less is told as a time
WAIT = 4.0  # periods between two trainings of candidates
MEMORY = 3  # candidates whose gains tell what another may gain
MOST_DOUBLED = 2  # times that refusals double the wait, at most
MOST_PROVEN = (
    4  # the same where labels have proven that the champion got worse: then it is one period at first
)
GAIN = 0.01  # of the champion's loss, that a correction must gain
PAID = 0.005  # of the champion's loss, that may be expected from what the last candidates gained
GROWTH = 3.0  # times the labelled rows: a reason of its own
_SURE = 1e-6

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Benefit:
    """``gain``: by how much a corrector would have lowered the mean loss (log loss or squared error), with
    its interval; ``loss``: the champion's. On ``rows`` rows of ``blocks`` blocks. ``message`` says it in
    words."""

    gain: float
    low: float
    high: float
    loss: float
    rows: int
    blocks: int
    message: str


def estimate(
    answers: Any,
    truth: Any,
    features: Mapping[str, Any],
    times: Any,
    *,
    kind: Kind = "classification",
    blocks: int = BLOCKS,
    confidence: float = CONFIDENCE,
) -> Benefit:
    """What the champion's errors on labelled rows that it has not seen tell about a retraining.

    ``answers``: probabilities of the positive class (n,) or of each class (n, k); for regression the
    predicted numbers (n,). ``truth`` (n,): the class's number (0 to k - 1), or the number. ``features`` maps
    names to columns (n,): numbers (NaN is missing), or anything else, which is taken as categories. ``times``
    (n,) in seconds, in any order. Raises TooFewRows below 30 rows a block, Invalid for answers or labels
    that are missing and for lengths that differ.
    """
    offset, y = _checked(answers, truth, features, times, kind)
    order = np.argsort(np.asarray(times, dtype=np.float64), kind="stable")
    order = order[:: -(-len(order) // MOST)]
    if len(order) < blocks * LEAST:
        raise TooFewRows(
            f"{len(order):,} labelled rows are too few to see whether retraining would help.",
            remedy=f"Wait for {blocks * LEAST:,} rows that the model has not seen.",
        )
    offset, y = offset[order], y[order]
    design = _design({name: np.asarray(column)[order] for name, column in features.items()}, offset)
    edges = np.linspace(0, len(y), blocks + 1).astype(int)
    gained: dict[float, list[float]] = {penalty: [] for penalty in PENALTIES}
    gains, usual = [], []
    for begin, end in pairwise(edges[1:]):
        penalty = max(PENALTIES, key=lambda each: (sum(gained[each]), each))
        before = _losses(y[begin:end], offset[begin:end], kind)
        for each in PENALTIES:
            effects = _fitted(design[:begin], y[:begin], offset[:begin], each, kind)
            after = _losses(y[begin:end], offset[begin:end] + design[begin:end] @ effects, kind)
            gained[each].append(float(np.mean(before - after)))
        gains.append(gained[penalty][-1])
        usual.append(float(before.mean()))
    return _summed(np.array(gains), float(np.mean(usual)), len(y) - int(edges[1]), confidence)


def _summed(gains: Floats, loss: float, rows: int, confidence: float) -> Benefit:
    mean, count = float(gains.mean()), len(gains)
    error = float(gains.std(ddof=1)) / np.sqrt(count) if count > 1 else np.inf
    reach = float(student.ppf((1 + confidence) / 2, max(count - 1, 1))) * error
    low, high = (mean - reach, mean + reach) if np.isfinite(reach) else (-abs(loss), abs(loss))
    on = f"on {rows:,} labelled rows that the model has not seen"
    span = f"{mean:+.3g} (between {low:+.3g} and {high:+.3g}) of a loss of {loss:.3g}"
    if low > 0:
        message = f"The model's errors can be foreseen {on}: a correction gains {span}."
    else:
        message = f"Nothing shows that the model's errors can be foreseen {on}: a correction gains {span}."
    return Benefit(mean, float(low), float(high), loss, rows, count, message)


def _checked(
    answers: Any, truth: Any, features: Mapping[str, Any], times: Any, kind: Kind
) -> tuple[Floats, Floats]:
    """The answers as numbers that effects are added to, (n,) or (n, k), and the truth as such."""
    said, y = np.asarray(answers, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    sizes = {len(said), len(y), len(np.asarray(times)), *(len(column) for column in features.values())}
    if len(sizes) != 1:
        raise Invalid(
            f"Answers, truth, times and features have different lengths: {sorted(sizes)}.",
            remedy="Give one of each per row.",
        )
    if not (np.isfinite(said).all() and np.isfinite(y).all()):
        raise Invalid("Answers or labels are missing.", remedy="Give the labelled rows only.")
    if kind == "regression":
        return said, y
    sure = np.clip(said, _SURE, 1 - _SURE)
    if said.ndim == 1:
        return np.asarray(np.log(sure / (1 - sure))), y
    return np.asarray(np.log(sure)), np.eye(said.shape[1])[y.astype(int)]


def _design(features: Mapping[str, Any], offset: Floats) -> Floats:
    """(n, columns): 1, the answer, and the features as numbers."""
    said = offset if offset.ndim == 2 else offset[:, None]
    answers = [standard(said[:, k]) for k in range(said.shape[1])]
    known = [values for _, values in numbers(features)]
    return np.column_stack([np.ones(len(said)), *answers, *known][:COLUMNS])


def _losses(y: Floats, offset: Floats, kind: Kind) -> Floats:
    if kind == "regression":
        return np.asarray((y - offset) ** 2)
    if offset.ndim == 1:
        return np.asarray(np.logaddexp(0, offset) - y * offset)
    return np.asarray(logsumexp(offset, axis=1) - (y * offset).sum(axis=1))


def _fitted(design: Floats, y: Floats, offset: Floats, penalty: float, kind: Kind) -> Floats:
    """Effects (columns,) or (columns, k) by ridge regression, by Newton's steps where it is of classes."""
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = penalty / 100  # a shift of all answers is the most usual change
    if kind == "regression":
        residual = y - offset
        gram = design.T @ design + np.diag(ridge)
        return np.asarray(np.linalg.solve(gram, design.T @ residual))
    if offset.ndim == 1:
        return _newton(design, y, offset, ridge)
    apart = np.column_stack(  # each class against the rest, with the others' answers held
        [
            _newton(design, y[:, k], offset[:, k] - logsumexp(np.delete(offset, k, axis=1), axis=1), ridge)
            for k in range(offset.shape[1])
        ]
    )
    return np.asarray(apart * (1 - 1 / offset.shape[1]))


def _newton(design: Floats, y: Floats, offset: Floats, ridge: Floats) -> Floats:
    effects = np.zeros(design.shape[1])
    for _ in range(8):
        chance = 1 / (1 + np.exp(-np.clip(offset + design @ effects, -30, 30)))
        slope = design.T @ (y - chance) - ridge * effects
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        effects = effects + np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-4:
            break
    return effects


def gained(verdicts: Iterable[GateVerdict]) -> float | None:
    """Which share of the champion's loss the last candidates gained at their gates (their mean, worse ones
    below 0); None before the first, and for metrics that are no loss. Those without a champion to compare
    with count for nothing."""
    compared = [each.comparison for each in verdicts if each.against != BASELINE]
    found = [
        each.improvement / each.champion
        for each in compared
        if each is not None and each.champion > 0 and each.metric in policy.LOWER_IS_BETTER
    ]
    return float(np.mean(found)) if found else None


def wait(refused: int = 0, proven: bool = False) -> float:
    """Periods between two candidates, whatever speaks for the next one: ``WAIT``. Where labels have
    ``proven`` that the champion got worse none, but one after a candidate that the gate has ``refused``
    since, and twice as long after each."""
    if not proven:
        return WAIT
    return min(WAIT, 2.0 ** min(refused - 1, MOST_PROVEN)) if refused else 0.0


def waits(refused: int = 0, proven: bool = False, unit: str = WINDOWS) -> str:
    """The same in words."""
    why = f"Refused in a row: {refused}, so" if proven else "Unless labels prove that the model got worse,"
    return f"{why} the next one waits for {wait(refused, proven):g}{unit}."


def worth(
    benefit: Benefit | None,
    *,
    growth: float,
    steps: float,
    moves: Moves | None = None,
    refused: int = 0,
    gained: float | None = None,
    proven: bool = False,
    window: float = WEEK,
) -> tuple[bool, str]:
    """Whether a candidate is worth training now, and why, in a sentence.

    ``benefit`` as ``estimate`` found it, ``moves`` as ``moving.judge`` did (None: too few rows). ``growth``:
    labelled rows by those that the champion learnt from. ``steps``: periods of labels (a week, or what the
    policy looks at: ``window`` seconds) since a candidate was last trained. ``refused``: candidates in a row
    that the gate has refused. ``gained``: see there. ``proven``: labels have shown that the champion got
    worse. That needs no more proof; but where the gate has refused candidates since, the next one waits a
    period, and twice as long after each: right after a change there are few rows of the new world to learn
    and to judge by.

    It waits ``WAIT`` periods, so that it trains at a quarter of them at most. Then a benefit of ``GAIN`` that
    is likely is a reason. These are reasons too, unless the gate refused some, which doubles the wait for
    each: a gain of ``PAID`` that may be expected from the last candidates' (it grows with the periods that
    have passed); rows that change in time for sure; and ``GROWTH`` times the rows.
    """
    if proven and (not refused or steps >= 2 ** min(refused - 1, MOST_PROVEN)):
        return True, "Labels have shown that the model got worse."
    if steps < wait(refused, proven):
        last = "The last candidate" if refused else "The model"
        if steps < SHORT:
            return False, f"{last} was trained {words(steps * window)} ago. {waits(refused, proven)}"
        return False, f"{last} was trained {_count(steps)}{WINDOWS} ago. {waits(refused, proven, '')}"
    if benefit is not None and benefit.low > 0 and benefit.gain >= GAIN * benefit.loss:
        return True, benefit.message
    again = steps >= WAIT * 2 ** min(refused, MOST_DOUBLED)
    expected = None if gained is None else gained * steps / WAIT
    if again and expected is not None and expected >= PAID:
        return True, (
            f"The last candidates gained {gained:.1%} of the model's loss, so {expected:.1%} may be expected "
            f"after {_count(steps)} windows."
        )
    if again and moves is not None and moves.sure:
        return True, moves.message
    if again and growth >= GROWTH:
        return True, f"There are {growth:.2f} times the labelled rows that the model learnt from."
    known = "Too few labelled rows to foresee a benefit." if benefit is None else benefit.message
    still = "" if moves is None else f" {moves.message}"
    paid = "" if gained is None else f" The last candidates gained {gained:.1%} of its loss."
    late = "" if again else f" Refused in a row: {refused}, each of which doubles the wait."
    return False, f"{known}{still}{paid}{late} There are {growth:.2f} times the rows that it learnt from."


def _count(steps: float) -> str:
    return f"{steps:.2g}" if steps < 10 else f"{steps:.0f}"
