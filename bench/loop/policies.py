"""Policies of retraining, replayed over a bank of models: peers' rules as written here, and ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance
from scipy.stats import t as student

from everloop.core.decisions import GatePolicy, GateVerdict
from everloop.core.errors import TooFewRows
from everloop.retraining import benefit, moving, remembered, trial
from everloop.training import choices

from .bank import DELAY, Bank, Model

PARTS = 7  # a step's rows in consecutive parts: the days of a week, the unit of the paired tests
SAMPLE = 5_000  # rows that a drift alarm compares, as its users do with long tables
ALARM = 0.1  # Evidently's threshold for Jensen-Shannon and for Wasserstein over the deviation
WORSE = 1.1  # times the first labelled step's loss: the threshold on performance


@dataclass
class Replay:
    """What came of a policy: the loss of each row served, in steps; the steps of trainings and promotions."""

    bank: Bank
    champion: Model
    losses: list[np.ndarray] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    promoted: list[int] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    by_rows: list[float] = field(default_factory=list)
    fits: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def loss(self) -> float:
        return float(np.concatenate(self.losses).mean())

    def serve(self, step: int) -> None:
        self.losses.append(self.bank.losses(self.champion, step))

    def promote(self, step: int, model: Model) -> None:
        """From this step on. ``chances`` and ``by_rows``: how likely the step's loss would be so much worse
        than the last champion's if it were not harmful, by the step's parts and by its rows."""
        more = self.bank.losses(model, step) - self.bank.losses(self.champion, step)
        self.promoted.append(step)
        self.chances.append(chance(parts(more)))
        self.by_rows.append(chance(more))
        self.champion = model


Policy = Callable[[Bank], Replay]


def parts(values: np.ndarray) -> np.ndarray:
    return np.array([part.mean() for part in np.array_split(values, PARTS) if len(part)])


def chance(more: np.ndarray) -> float:
    """p of the one-sided paired t test that the mean of these differences is not above 0."""
    error = float(more.std(ddof=1)) / np.sqrt(len(more)) if len(more) > 1 else np.inf
    if not error > 0:
        return float(more.mean() <= 0)
    return float(student.sf(more.mean() / error, len(more) - 1))


def when(rule: Callable[[Replay, int], bool]) -> Policy:
    """Trains on all rows and promotes without a question whenever the rule says so."""

    def replay(bank: Bank) -> Replay:
        start = bank.stream.start
        it = Replay(bank, (start, choices.ALL))
        it.serve(start)
        for step in range(start + 1, bank.stream.steps):
            if rule(it, step):
                it.trained.append(step)
                it.fits += 1
                it.promote(step, (step, choices.ALL))
            it.serve(step)
        return it

    return replay


def calendar(every: int) -> Policy:
    return when(lambda it, step: (step - it.bank.stream.start) % every == 0)


def performance(it: Replay, step: int) -> bool:
    """The newest labelled step that the champion served lost a tenth more than the first one ever served."""
    newest, start = step - DELAY - 1, it.bank.stream.start
    if newest <= start or newest < it.champion[0]:
        return False
    usual = it.losses[0].mean()
    return bool(it.losses[newest - start].mean() > WORSE * usual)


def distances(it: Replay, step: int) -> bool:
    """Evidently-like: any column of the last step over .1 from the rows that the champion has learnt."""
    for before, now in _columns(it, step):
        if before.dtype.kind in "fiub":
            std = before.std()
            if std > 0 and wasserstein_distance(before, now) / std >= ALARM:
                return True
        elif _jensen_shannon(before, now) >= ALARM:
            return True
    return False


def tests(it: Replay, step: int) -> bool:
    """alibi-detect-like: Kolmogorov-Smirnov or chi-squared of any column, p < .05 by Bonferroni."""
    pairs = _columns(it, step)
    return any(_p(before, now) < 0.05 / len(pairs) for before, now in pairs)


def _columns(it: Replay, step: int) -> list[tuple[np.ndarray, np.ndarray]]:
    bank = it.bank
    learnt, last = slice(0, bank.known(it.champion[0])), bank.rows(step - 1)
    pairs = []
    for name in bank.stream.inputs.columns:
        column = bank.stream.inputs[name]
        before, now = (_thinned(column.iloc[rows].dropna().to_numpy()) for rows in (learnt, last))
        if len(before) and len(now):
            pairs.append((before, now))
    return pairs


def _thinned(values: np.ndarray) -> np.ndarray:
    return values[:: -(-max(len(values), 1) // SAMPLE)]


def _counts(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    _, at = np.unique(np.concatenate([before, now]).astype(str), return_inverse=True)
    size = int(at.max()) + 1
    return np.array([np.bincount(each, minlength=size) for each in (at[: len(before)], at[len(before) :])])


def _jensen_shannon(before: np.ndarray, now: np.ndarray) -> float:
    p, q = (each / each.sum() for each in _counts(before, now))
    middle = (p + q) / 2
    halves = [np.sum(each[each > 0] * np.log2(each[each > 0] / middle[each > 0])) for each in (p, q)]
    return float(np.sqrt(max(sum(halves) / 2, 0)))


def _p(before: np.ndarray, now: np.ndarray) -> float:
    if before.dtype.kind in "fiub":
        return float(ks_2samp(before, now).pvalue)
    table = _counts(before, now)
    return float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def ours(bank: Bank) -> Replay:
    """The product's parts with their defaults: is a candidate worth training? If so the choices of rows are
    tried, one is trained, and the gate compares it with the champion on rows that were held out. One that it
    cannot tell from the champion is judged again on the labels of later steps."""
    start = bank.stream.start
    it = Replay(bank, (start, choices.ALL))
    it.serve(start)
    asked, refused = start, 0
    verdicts: list[GateVerdict] = []
    known: list[GateVerdict] = []  # the same, or of the last look at one that was on trial
    pending: Model | None = None  # a candidate on trial
    looks = 0
    for step in range(start + 1, bank.stream.steps):
        if pending is not None and looks < trial.LOOKS:
            verdict = bank.gate_again(it.champion, pending, step)
            verdict = remembered.judge(verdict, known[:-1], GatePolicy().margin)
            if verdict.comparison is not None:
                looks, known[-1] = looks + 1, verdict
            if verdict.promote:
                it.told.append(f"{step}: {pending} on trial: {verdict.reason}")
                it.promote(step, pending)
                refused, pending = 0, None
        go, why = worth(bank, it.champion, step, step - asked, refused, verdicts)
        if go:
            asked = step
            it.trained.append(step)
            choice, fits = bank.tried(step)
            it.fits += fits + 1
            verdict, fresh = bank.gate(it.champion, (step, choice))
            if fresh:
                verdict = remembered.judge(verdict, known, GatePolicy().margin)
            verdicts.append(verdict)
            known.append(verdict)
            refused, pending = refused + 1, None
            if verdicts[-1].promote:
                refused = 0
                it.promote(step, (step, choice))
            elif trial.deserved(verdicts[-1], GatePolicy().margin):
                pending, looks = (step, choice), 0
            it.told.append(f"{step}: {choice}: {verdicts[-1].reason} {why}")
        it.serve(step)
    return it


def worth(
    bank: Bank, champion: Model, step: int, steps: int, refused: int, verdicts: Sequence[GateVerdict]
) -> tuple[bool, str]:
    """As ``flows.worthwhile`` asks it."""
    growth = bank.known(step) / bank.known(champion[0])
    about: dict[str, Any] = {"growth": growth, "steps": steps, "refused": refused}
    if steps < benefit.WAIT:
        return benefit.worth(None, **about)
    stream, end = bank.stream, bank.known(step)
    new = slice(bank.known(champion[0]), end)
    features = {name: stream.inputs[name].to_numpy() for name in stream.inputs.columns}
    try:
        found = benefit.estimate(
            bank.answers(champion, new),
            stream.truth[new],
            {name: each[new] for name, each in features.items()},
            stream.times[new],
            kind=stream.task,
        )
    except TooFewRows:
        found = None
    known = {name: each[:end] for name, each in features.items()} | {"label": stream.truth[:end]}
    moves = moving.judge(known, stream.times[:end], end - new.start)
    gained = benefit.gained(verdicts[-benefit.MEMORY :])
    return benefit.worth(found, moves=moves, gained=gained, **about)


def oracle(bank: Bank) -> Replay:
    """At each step the best, in hindsight, of all models that were trained on all rows until then."""
    start = bank.stream.start
    it = Replay(bank, (start, choices.ALL))
    for step in range(start, bank.stream.steps):
        models = [(each, choices.ALL) for each in range(start, step + 1)]
        best = min(models, key=lambda model: float(bank.losses(model, step).mean()))
        if best != it.champion:
            it.promoted.append(step)
            it.champion = best
        it.serve(step)
    it.fits = bank.stream.steps - start - 1
    return it


POLICIES: Mapping[str, Policy] = {
    "never": when(lambda it, step: False),
    "every step": calendar(1),
    "every 4 steps": calendar(4),
    "distances > .1": when(distances),
    "tests p < .05": when(tests),
    "loss +10 %": when(performance),
    "oracle": oracle,
    "ours": ours,
}
