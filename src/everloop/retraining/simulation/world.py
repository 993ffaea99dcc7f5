"""Worlds that the loop is simulated in: rows day after day, labels that come late, feeds that break, clocks
that jump, and models that can be trained on what is known. ``Made`` is one from a seed, whose truth is known.

Whatever happens on a day is drawn from the seed and the number of that day alone: so a longer simulation
begins as a shorter one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from everloop.core.decisions import GateVerdict
from everloop.retraining.benefit import Kind
from everloop.retraining.columns import Floats

DAY = 86_400.0
SURE = 1e-6  # the smallest probability that a loss tells apart
Rows = np.ndarray[Any, np.dtype[np.int64]]
Compare = Callable[..., GateVerdict]
"""(truth as texts, the champion's answers or None, the challenger's, a constant's, the champion's name)."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, and the rows that it has learnt and was tested on."""

    model: Any
    learnt: Rows
    held: Rows


class World(Protocol):
    """``times`` (n,) of the rows and ``known``, when their labels come, are in seconds since ``begin``; a row
    from before has -inf, a label that never comes inf. ``truth`` (n,) is the number of a class, or a value;
    rows are named by their places in these."""

    begin: datetime
    days: int
    kind: Kind
    times: Floats
    known: Floats
    truth: Floats

    def clock(self, day: int) -> datetime:
        """What the worker takes for the end of that day."""

    def fault(self, day: int) -> str:
        """What monitoring found to be wrong with that day's feed; empty: nothing."""

    def broken(self, day: int) -> bool:
        """Whether the feed was broken on that day, found or not."""

    def fit(self, rows: Rows) -> Trained:
        """Train on these rows. The same rows give the same model."""

    def answers(self, model: Any, rows: Rows) -> Floats:
        """Probabilities (n, classes), or values (n,)."""

    def features(self, rows: Rows) -> Mapping[str, Any]:
        """Columns by name, as ``benefit.estimate`` takes them."""

    def worse(self, model: Trained, rows: Rows) -> str:
        """In words, how much worse than on its test rows it is on these; empty where that is not shown."""

    def moved(self, model: Trained, rows: Rows) -> str:
        """In words, how these inputs differ from those it has learnt; empty: they do not."""

    def judge(
        self,
        rows: Rows,
        champion: Floats | None,
        new: Trained,
        answers: Floats,
        name: str,
        *,
        again: bool = False,
    ) -> GateVerdict:
        """The gate: the challenger's answers to these rows beside the champion's, or a constant's. ``again``:
        of one on trial."""


def losses(kind: Kind, truth: Floats, answers: Floats) -> Floats:
    """(n,): log loss, or squared error."""
    if kind == "regression":
        return np.asarray((truth - answers) ** 2)
    given = answers[np.arange(len(truth)), truth.astype(np.int64)]
    return np.asarray(-np.log(np.clip(given, SURE, 1.0)))


@dataclass(frozen=True)
class Climate:
    """How a made world behaves. Chances are of a day. ``drift``: by how much each effect wanders in a day;
    ``season``: by how much it swings in a year; ``change``: the chance that all jump; ``delay``: the mean
    days that a label takes; ``unlabelled``: the share that never gets one; ``fault``: the chance that a feed
    breaks, for 1 to 5 days; ``found``: the chance that a broken day is found; ``jump``: the chance that the
    clock goes wrong, by up to ``far`` days to either side, for 1 to 4 days."""

    rows: int = 40
    columns: int = 4
    drift: float = 0.02
    season: float = 0.4
    change: float = 1 / 90
    delay: float = 2.0
    unlabelled: float = 0.1
    fault: float = 1 / 40
    found: float = 1.0
    jump: float = 1 / 45
    far: float = 10.0


QUIET = Climate(drift=0.0, season=0.0, change=0.0, fault=0.0, jump=0.0)
"""Nothing ever changes and nothing goes wrong."""
_FAULTS = ("units", "constant", "missing")
_HELD = 0.2  # of the rows, to test on
_RIDGE = 1.0
_SIGMAS = 3.0  # at which a window's loss is worse
_SHIFT = 0.5  # standard deviations of a mean, at which inputs have moved


@dataclass(frozen=True)
class _Day:
    effects: Floats
    fault: str
    column: int
    found: bool
    offset: float


class Made:
    """A world of two classes from a seed: a logistic truth over a few numbers, its effects wander, swing with
    the season and jump. ``best`` (n,) is the loss that the truth itself would have."""

    begin = datetime(2026, 1, 1, tzinfo=UTC)
    kind: Kind = "classification"

    def __init__(self, seed: int, days: int, compare: Compare, climate: Climate | None = None) -> None:
        self.seed, self.days, self._compare = seed, days, compare
        self.climate = climate or Climate()
        self._told = self._weather()
        parts = [self._rows(day) for day in range(days)]
        self.times, self.known, self.truth, chance, self._held = (
            np.concatenate([part[k] for part in parts]) for k in range(5)
        )
        self._asked = np.concatenate([part[5] for part in parts])
        self.best = losses(self.kind, self.truth, np.column_stack([1 - chance, chance]))

    def clock(self, day: int) -> datetime:
        return self.begin + timedelta(days=day + 1 + self._told[day].offset)

    def fault(self, day: int) -> str:
        told = self._told[day]
        return f"'x{told.column}' has a fault ({told.fault})" if told.fault and told.found else ""

    def broken(self, day: int) -> bool:
        return bool(self._told[day].fault)

    @property
    def jumps(self) -> int:
        """How often the clock went wrong."""
        offsets = [0.0, *(day.offset for day in self._told)]
        return sum(1 for a, b in pairwise(offsets) if b not in (a, 0.0))

    # -- what happens --------------------------------------------------------------------------------------

    def _draw(self, part: int, day: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, part, day])

    def _weather(self) -> list[_Day]:
        it, width = self.climate, self.climate.columns + 1
        first = self._draw(0, 0)
        effects, phase = first.normal(size=width), first.uniform(0, 2 * np.pi, width)
        fault, column, left, offset, wrong = "", 0, 0, 0.0, 0
        found: list[_Day] = []
        for day in range(self.days):
            draw = self._draw(1, day)
            effects = effects + it.drift * draw.normal(size=width)
            if draw.random() < it.change:
                effects = effects + draw.normal(size=width)
            breaks, kind, where, long, seen = (
                draw.random(),
                draw.integers(3),
                draw.integers(width - 1),
                *draw.random(2),
            )
            left = max(0, left - 1)
            if not left:
                fault = ""
                if breaks < it.fault:
                    fault, column, left = _FAULTS[kind], int(where), 1 + int(5 * long)
            goes, far, last = draw.random(3)
            wrong = max(0, wrong - 1)
            if not wrong:
                offset = 0.0
                if goes < it.jump:
                    offset, wrong = it.far * (2 * far - 1), 1 + int(4 * last)
            swing = it.season * np.sin(2 * np.pi * day / 365.25 + phase)
            found.append(_Day(effects + swing, fault, column, bool(seen < it.found), float(offset)))
        return found

    def _rows(self, day: int) -> tuple[Any, ...]:
        """times, known, truth, chance, held, asked."""
        it, told, draw = self.climate, self._told[day], self._draw(2, day)
        many = max(1, int(draw.poisson(it.rows)))
        X = draw.normal(size=(many, it.columns))
        X[:, 0] += it.season * np.sin(2 * np.pi * day / 365.25)
        chance = 1 / (1 + np.exp(-(told.effects[0] + X @ told.effects[1:])))
        truth = (draw.random(many) < chance).astype(np.float64)
        times = np.sort(day * DAY + draw.random(many) * DAY)
        known = times + DAY * draw.exponential(it.delay, many)
        known[draw.random(many) < it.unlabelled] = np.inf
        held = draw.random(many) < _HELD
        asked = X.copy()
        if told.fault == "units":
            asked[:, told.column] *= 1_000.0
        elif told.fault:
            asked[:, told.column] = 7.0 if told.fault == "constant" else np.nan
        return times, known, truth, chance, held, asked

    # -- models --------------------------------------------------------------------------------------------

    def fit(self, rows: Rows) -> Trained:
        learnt, held = rows[~self._held[rows]], rows[self._held[rows]]
        X, y = self._asked[learnt], self.truth[learnt]
        mean, std = np.nanmean(X, axis=0), np.maximum(np.nanstd(X, axis=0), 1e-9)
        design = _design(X, mean, std)
        effects = np.zeros(design.shape[1])
        for _ in range(12):
            chance = 1 / (1 + np.exp(-np.clip(design @ effects, -30, 30)))
            bend = (design * (chance * (1 - chance))[:, None]).T @ design + _RIDGE * np.eye(len(effects))
            effects = effects + np.linalg.solve(bend, design.T @ (y - chance) - _RIDGE * effects)
        return Trained((mean, std, effects), learnt, held)

    def answers(self, model: Any, rows: Rows) -> Floats:
        mean, std, effects = model
        score = (_design(self._asked[rows], mean, std) * effects).sum(axis=1)  # row by row alike
        chance = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
        return np.column_stack([1 - chance, chance])

    def features(self, rows: Rows) -> Mapping[str, Any]:
        return {f"x{k}": self._asked[rows, k] for k in range(self.climate.columns)}

    def worse(self, model: Trained, rows: Rows) -> str:
        before, now = (
            losses(self.kind, self.truth[part], self.answers(model.model, part))
            for part in (model.held, rows)
        )
        if len(before) < 2 or len(now) < 2:
            return ""
        error = float(np.sqrt(before.var(ddof=1) / len(before) + now.var(ddof=1) / len(now)))
        more = float(now.mean() - before.mean())
        if more <= _SIGMAS * error:
            return ""
        told = f"The log loss of {len(now):,} labelled rows is {now.mean():.3g}"
        return f"{told}; it was {before.mean():.3g} when it was tested"

    def moved(self, model: Trained, rows: Rows) -> str:
        mean, std, _ = model.model
        shifts = np.abs(np.nan_to_num(self._asked[rows]).mean(axis=0) - mean) / std
        k = int(shifts.argmax())
        return f"The mean of 'x{k}' has moved by {shifts[k]:.2g} deviations" if shifts[k] > _SHIFT else ""

    def judge(
        self,
        rows: Rows,
        champion: Floats | None,
        new: Trained,
        answers: Floats,
        name: str,
        *,
        again: bool = False,
    ) -> GateVerdict:
        share = float(self.truth[new.learnt].mean()) if len(new.learnt) else 0.5
        constant = np.tile([1 - share, share], (len(rows), 1))
        truth = np.where(self.truth[rows] > 0, "1", "0").astype(object)
        return self._compare(truth, champion, answers, constant, name, again=again)


def _design(X: Floats, mean: Floats, std: Floats) -> Floats:
    """(n, 1 + columns): 1, and numbers of mean 0 and deviation 1, at most 4 away; missing ones are 0."""
    return np.column_stack([np.ones(len(X)), np.clip(np.nan_to_num((X - mean) / std), -4, 4)])
