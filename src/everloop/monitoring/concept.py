"""Has the relation between inputs and truth changed for the worse? Evidence from the stream of losses.

The evidence is an e-detector (Shin, Ramdas & Rinaldo 2024, doi:10.51387/23-NEJSDS51) of Shiryaev-Roberts
form, M = (M + 1) L: with each label it grows by a bet L = 1 + b (loss - limit), averaged over several sizes b
of bet, and restarted at every label. While the mean loss is ``limit`` at most, M stays under a threshold A
for A labels or more on average, however often one looks. Losses are one-sided: a model that improves raises
no alarm. Three things keep this true in practice:

- ``limit`` is the reference's mean, plus a tenth of it, or plus the reference's own error if that is more;
- L is taken to the power 1 / d, where d is the design effect of the errors: bursts count as what they are.
  The larger of the reference's d and that of the stream so far counts, since held-out rows that were drawn
  at random hide the bursts of production;
- losses without limit (log loss, absolute errors) are cut off at a high quantile of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.core.documents import dump, load
from everloop.core.errors import Invalid, TooFewRows
from everloop.core.monitoring import Result

from .bursts import Bursts
from .dependence import dependence
from .outcomes import Floats, numbers

MARGIN = 0.1
AVERAGE_RUN = 20_000.0
LEAST_ROWS = 100
_RISES = (0.1, 0.25, 0.5, 1.0, 2.0)  # of the mean, beyond the limit: what the bets are best for
_SURE = 1.645
_CUT_OFF = 0.995
_MOST_BET = 0.9
_NEAR = math.log(10)  # bets with evidence so near to the best may say when the change began
_SAFE = 600.0  # a range of logarithms that exp() holds
_BLOCK = 1024  # labels between two looks at how bursty the stream is
_FIRST_BLOCKS = 128  # until there are as many
_MANY_CHUNKS = 100


@dataclass(frozen=True)
class Losses:
    """The reference's losses, divided by ``scale`` and cut off at 1: their ``mean``, its standard ``error``,
    the ``variance`` of rows and their design ``effect``, over so many ``rows``."""

    mean: float
    error: float
    variance: float
    scale: float
    effect: float
    rows: int

    @property
    def limit(self) -> float:
        """The mean that is still as usual."""
        raised = max(self.mean * (1 + MARGIN), self.mean + _SURE * self.error, 0.5 / self.rows)
        return min(raised, 1 - 1e-6)


@dataclass(frozen=True)
class Alarm:
    """Losses rose: noticed at the label ``at``, probably since the label ``since`` (both by their sequence).
    ``mean`` is the loss since then, ``evidence`` what was reached. The mean is larger than it will turn out
    to be: an alarm comes early where luck adds to a change."""

    at: int
    since: int
    labels: int
    mean: float
    evidence: float


@dataclass(frozen=True)
class State:
    """All that a detector remembers. ``fed``: the last sequence it has seen; ``evidence`` the logarithm of M,
    ``risen`` how far each bet's wealth lies above its lowest point, which was before the label ``since``, and
    ``labels`` and ``total`` of losses since then, by bet. ``effect`` is the design effect of the stream when
    last looked at."""

    reference: Losses
    average_run: float
    fed: int | None = None
    seen: int = 0
    late: int = 0
    left_out: int = 0
    evidence: tuple[float | None, ...] = ()
    risen: tuple[float, ...] = ()
    since: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    total: tuple[float, ...] = ()
    bursts: Bursts = field(default_factory=Bursts)
    effect: float = 1.0


def reference_losses(losses: Any, *, ordered: bool) -> Losses:
    """Of held-out rows; ``ordered``: in the order of time. Raises TooFewRows under 100."""
    values = numbers(losses, "losses")
    values = values[~np.isnan(values)]
    if len(values) < LEAST_ROWS:
        raise TooFewRows(
            f"Concept drift needs {LEAST_ROWS} losses of held-out rows; there are {len(values)}.",
            remedy="Hold out more rows.",
        )
    if values.min() < 0:
        raise Invalid(
            f"A loss is {values.min():g}.", remedy="Losses are 0 or more: 1 for an error, 0 for none."
        )
    finite = values[np.isfinite(values)]
    scale = 1.0
    if len(finite) < len(values) or finite.max() > 1:
        scale = float(np.quantile(finite, _CUT_OFF)) or float(finite.max()) or 1.0
    scaled = np.minimum(values / scale, 1.0)
    effect = 1.0
    if ordered:
        follows = dependence(scaled)
        known = [e for e, c in zip(follows.effects, follows.chunks, strict=True) if c >= _MANY_CHUNKS]
        effect = known[-1] if known else follows.at(len(values))
    mean, variance = float(scaled.mean()), float(scaled.var())
    error = math.sqrt(max(variance, 1 / len(values)) * effect / len(values))
    return Losses(mean, error, variance, scale, effect, len(values))


class RisingLoss:
    """The default detector of concept drift. It is fed once, in the order of prediction time: labels of
    sequences that it has passed already are counted as late and change nothing, so feeding a window twice
    does no harm. How labels are cut into windows makes no difference."""

    _state: State
    _bets: Floats
    _evidence: Floats
    _risen: Floats
    _since: NDArray[np.int64]
    _labels: NDArray[np.int64]
    _total: Floats

    def __init__(self, reference: Losses, *, average_run: float = AVERAGE_RUN) -> None:
        """``average_run``: labels between two false alarms, at least, on average."""
        if not average_run >= 100:
            raise Invalid(
                f"A false alarm every {average_run:g} labels is asked for.", remedy="Give 100 labels or more."
            )
        bets = len(_RISES)
        self._start(
            State(
                reference,
                average_run,
                evidence=(None,) * bets,
                risen=(0.0,) * bets,
                since=(0,) * bets,
                labels=(0,) * bets,
                total=(0.0,) * bets,
            )
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RisingLoss:
        state = load(State, document)
        found = cls(state.reference, average_run=state.average_run)
        found._start(state)
        return found

    def to_document(self) -> dict[str, Any]:
        return dump(self.state)

    @property
    def state(self) -> State:
        return replace(
            self._state,
            evidence=tuple(None if e == -np.inf else float(e) for e in self._evidence),
            risen=tuple(map(float, self._risen)),
            since=tuple(map(int, self._since)),
            labels=tuple(map(int, self._labels)),
            total=tuple(map(float, self._total)),
        )

    @property
    def evidence(self) -> float:
        """Times as much as at the start; an alarm is raised at ``average_run``."""
        return float(np.exp(min(self._mixed(self._evidence[:, None])[0], 700.0)))

    @property
    def effect(self) -> float:
        """The design effect that evidence is divided by now."""
        return max(self._state.reference.effect, self._state.effect)

    def update(self, values: Any) -> list[int]:
        """Losses after those seen so far; the positions at which an alarm was raised."""
        values = numbers(values, "losses")
        first = 0 if self._state.fed is None else self._state.fed + 1
        return [alarm.at - first for alarm in self.feed(values, np.arange(first, first + len(values)))]

    def feed(self, losses: Any, sequences: Sequence[int] | Any) -> list[Alarm]:
        """Losses in the order of prediction time, each with its ``sequence`` (a whole number that grows from
        label to label). Missing losses are left out and counted; infinite ones are as large as any can be.
        Raises Invalid for sequences that do not grow, and for negative losses."""
        values, at = numbers(losses, "losses"), np.asarray(sequences, dtype=np.int64)
        if values.shape != at.shape or values.ndim != 1:
            raise Invalid(
                f"There are {values.size} losses and {at.size} sequences.", remedy="Give one of each."
            )
        if len(at) > 1 and (np.diff(at) <= 0).any():
            place = int(np.argmax(np.diff(at) <= 0))
            raise Invalid(
                f"Sequence {at[place + 1]} follows {at[place]}.",
                remedy="Feed each label once, in the order of prediction time.",
            )
        absent = np.isnan(values)
        if (values[~absent] < 0).any():
            raise Invalid(f"A loss is {np.nanmin(values):g}.", remedy="Losses are 0 or more.")
        old = at <= self._state.fed if self._state.fed is not None else np.zeros(len(at), dtype=bool)
        fresh = ~old & ~absent
        late, left_out = int(old.sum()), int((absent & ~old).sum())
        self._state = replace(
            self._state, late=self._state.late + late, left_out=self._state.left_out + left_out
        )
        alarms: list[Alarm] = []
        scaled = np.minimum(values[fresh] / self._state.reference.scale, 1.0)
        kept = at[fresh]
        start = 0
        while start < len(scaled):
            block = _BLOCK if self._state.seen >= _BLOCK else _FIRST_BLOCKS
            stop = min(start + block - self._state.seen % block, len(scaled))
            alarms += self._block(scaled[start:stop], kept[start:stop])
            start = stop
        if len(at) and not old.all():
            self._state = replace(self._state, fed=int(at[-1]))
        return alarms

    def _start(self, state: State) -> None:
        self._state = state
        limit = state.reference.limit
        variance = max(state.reference.variance, limit * limit / 4, 1e-9)
        bets = np.minimum(np.array(_RISES) * limit / variance, _MOST_BET / limit)
        self._bets = bets
        self._evidence = np.array([-np.inf if e is None else e for e in state.evidence], dtype=np.float64)
        self._risen = np.array(state.risen, dtype=np.float64)
        self._since = np.array(state.since, dtype=np.int64)
        self._labels = np.array(state.labels, dtype=np.int64)
        self._total = np.array(state.total, dtype=np.float64)

    def _block(self, losses: Floats, sequences: Any) -> list[Alarm]:
        effect, alarms, start = self.effect, [], 0
        grown = np.log1p(self._bets[:, None] * (losses - self._state.reference.limit)) / effect
        while start < len(losses):
            wealth = np.cumsum(grown[:, start:], axis=1)
            evidence = _grown(self._evidence, wealth)
            at = self._first_over(evidence)
            stop = wealth.shape[1] if at is None else at + 1
            self._remember(wealth[:, :stop], losses[start : start + stop], sequences[start : start + stop])
            self._evidence = evidence[:, stop - 1]
            if at is not None:
                alarms.append(self._alarm(int(sequences[start + at])))
            start += stop
        bursts, seen = self._state.bursts.seen(losses), self._state.seen + len(losses)
        self._state = replace(self._state, seen=seen, bursts=bursts)
        if seen % (_BLOCK if seen >= _BLOCK else _FIRST_BLOCKS) == 0:  # however windows cut the stream
            self._state = replace(self._state, effect=bursts.effect())
        return alarms

    def _remember(self, wealth: Floats, losses: Floats, sequences: Any) -> None:
        """Where each bet's wealth was lowest, and the losses since: the likeliest beginning of the change."""
        lowest = wealth.argmin(axis=1)
        value = wealth[np.arange(len(lowest)), lowest]
        sums = np.concatenate([[0.0], np.cumsum(losses)])
        fell = value < -self._risen
        fresh = (self._labels == 0) & ~fell
        self._since = np.where(fell, sequences[lowest] + 1, np.where(fresh, sequences[0], self._since))
        after = len(losses) - 1 - lowest
        self._labels = np.where(fell, after, self._labels + len(losses))
        self._total = np.where(fell, sums[-1] - sums[lowest + 1], self._total + sums[-1])
        self._risen = wealth[:, -1] + np.where(fell, -value, self._risen)

    def _alarm(self, at: int) -> Alarm:
        near = np.flatnonzero(self._evidence >= self._evidence.max() - _NEAR)
        best = int(near[np.argmin(self._since[near])])
        labels, scale = int(self._labels[best]), self._state.reference.scale
        alarm = Alarm(
            at,
            int(self._since[best]),
            labels,
            float(self._total[best]) / max(labels, 1) * scale,
            self.evidence,
        )
        bets = len(self._bets)
        self._evidence = np.full(bets, -np.inf)
        self._risen, self._total = np.zeros(bets), np.zeros(bets)
        self._since, self._labels = np.zeros(bets, dtype=np.int64), np.zeros(bets, dtype=np.int64)
        return alarm

    def _first_over(self, evidence: Floats) -> int | None:
        """The first label at which there is an alarm."""
        least = math.log(self._state.average_run)
        if evidence.max() < least:  # the average over bets is no more than the largest
            return None
        over = self._mixed(evidence) >= least
        return int(np.argmax(over)) if over.any() else None

    def _mixed(self, evidence: Floats) -> Floats:
        """Logarithm of the average over bets."""
        top = evidence.max(axis=0)
        safe = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(safe + np.log(np.exp(evidence - safe).mean(axis=0)))


def _grown(evidence: Floats, wealth: Floats) -> Floats:
    """Logarithms of M after each label, by bet: M_n = W_n (M_0 + 1 / W_0 + … + 1 / W_(n-1)), where W is the
    wealth of a bet that is never restarted."""
    terms = np.empty_like(wealth)
    terms[:, 0] = np.logaddexp(evidence, 0.0)
    np.negative(wealth[:, :-1], out=terms[:, 1:])
    top = terms.max(axis=1, keepdims=True)
    if float((top - terms.min(axis=1, keepdims=True)).max()) < _SAFE:
        return np.asarray(wealth + top + np.log(np.cumsum(np.exp(terms - top), axis=1)))
    return np.asarray(wealth + np.logaddexp.accumulate(terms, axis=1))


def judged(detector: RisingLoss, alarms: Sequence[Alarm], labels: int) -> Result:
    """What a window of so many labels came to."""
    reference = detector.state.reference
    usual = reference.mean * reference.scale
    details = {
        "evidence": detector.evidence, "average_run": detector.state.average_run, "labels": labels,
        "effect": detector.effect, "late": detector.state.late, "left_out": detector.state.left_out,
    }  # fmt: skip
    if not alarms:
        text = (
            f"No sign that errors have risen over {labels:,} labels (evidence {detector.evidence:.3g}; "
            f"{detector.state.average_run:,.0f} is an alarm)."
        )
        return Result("concept", "errors", "mean_loss", False, text, usual=usual, details=details)
    first = alarms[0]
    text = (
        f"The mean loss has risen from {usual:.3g} to {first.mean:.3g} since about label {first.since} "
        f"({first.labels:,} labels), by more than chance explains: the relation of inputs and truth has "
        "changed for the worse, or what the model is asked."
    )
    details |= {"since": first.since, "at": first.at, "evidence": first.evidence}
    return Result(
        "concept", "errors", "mean_loss", True, text, level="critical", value=first.mean, usual=usual,
        floor=reference.limit * reference.scale, details=details,
    )  # fmt: skip
