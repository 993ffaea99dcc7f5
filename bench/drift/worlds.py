"""Worlds in which the truth is known, for scoring only: nothing of ours was designed on them.

Forty numbers and ten categories. What a world is (shapes, sizes, correlations, categories) is drawn with its
seed, so that ten seeds are ten worlds. Only numpy and scipy: a peer's own Python makes the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

NUMBERS, CATEGORIES = 40, 10
LEVELS = (2, 3, 4, 5, 7, 10, 25, 60, 120, 300)
PHASES = 7
SEASONAL = tuple(range(20, 30))  # features that swing by half a standard deviation over seven windows
PAIR = ("x00", "x01")
CATEGORY = "k03"  # of five levels
GAPPY = ("x04", "x13", "x33", "k06")  # a hundredth is missing
MEMORY = 0.95
Columns = dict[str, Any]


def _two_humps(u: Any) -> Any:
    return np.where(u < 0.4, -2 + 0.7 * _normal(u / 0.4), 1.5 + _normal((u - 0.4) / 0.6))


def _normal(u: Any) -> Any:
    return ndtri(np.clip(u, 1e-12, 1 - 1e-12))


SMOOTH: tuple[Callable[[Any], Any], ...] = (
    _normal,
    lambda u: stdtrit(4.0, np.clip(u, 1e-9, 1 - 1e-9)),
    lambda u: gammaincinv(2.0, u),
    lambda u: np.exp(0.8 * _normal(u)),
    lambda u: u,
    _two_humps,
)
ROUGH: tuple[Callable[[Any], Any], ...] = (
    lambda u: np.floor(np.exp(1.2 + 0.9 * _normal(u))),
    lambda u: np.maximum(0.0, _normal(u) - 0.3),
    lambda u: np.round(20 + 6 * _normal(u)),
    lambda u: np.minimum(gammaincinv(1.0, u), 3.0),
)


@dataclass(frozen=True)
class World:
    """``memory``: correlation of a row with the one before; ``average``: each row is a mean of so many draws
    that its neighbours share; ``season``: rows of a window share one of seven phases, which swing."""

    seed: int
    memory: float = 0.0
    average: int = 1
    season: bool = False

    def rows(self, count: int, *, part: int, window: int | None = None, factor: float = 0.6) -> Columns:
        """So many rows in the order of time. ``part`` tells draws of one world apart; ``window``: rows that
        share a phase; ``factor``: the correlation of the pair."""
        rng = np.random.default_rng([2_026, self.seed, part])
        z = self._scores(rng, count)
        z[:, 1] = factor * z[:, 0] + np.sqrt(1 - factor**2) * z[:, 1]
        if self.season:
            phase = (np.arange(count) // (window or count)) % PHASES
            for place in SEASONAL:
                z[:, place] += 0.5 * np.sqrt(2) * np.sin(2 * np.pi * (phase + place) / PHASES)
        columns: Columns = {}
        for place, shape in enumerate(self.shapes):
            values = shape(ndtr(z[:, place])) * self.sizes[place] + self.sizes[place]
            columns[f"x{place:02}"] = values
        for place, ends in enumerate(self.ends):
            u = ndtr(z[:, NUMBERS + place])
            codes = np.minimum(np.searchsorted(ends, u), len(ends) - 1).astype(np.int32)
            columns[f"k{place:02}"] = codes
        for name in GAPPY:
            gone = rng.random(count) < 0.01
            columns[name] = np.where(gone, -1 if name.startswith("k") else np.nan, columns[name])
        return columns

    @property
    def smooth(self) -> tuple[str, ...]:
        """Numbers without rounding, ties, gaps, season or the pair's correlation."""
        return tuple(
            f"x{place:02}"
            for place, shape in enumerate(self.shapes)
            if shape in SMOOTH and f"x{place:02}" not in GAPPY + PAIR and place not in SEASONAL
        )

    @property
    def shapes(self) -> list[Callable[[Any], Any]]:
        rng = np.random.default_rng([2_026, self.seed, -1 % 2**32])
        kinds = (*SMOOTH, *SMOOTH, *ROUGH)
        drawn = [kinds[each] for each in rng.integers(len(kinds), size=NUMBERS)]
        return [_normal, _normal, *drawn[2:]]

    @property
    def sizes(self) -> Any:
        return np.exp(np.random.default_rng([2_026, self.seed, -2 % 2**32]).normal(0, 3, NUMBERS))

    @property
    def ends(self) -> list[Any]:
        rng = np.random.default_rng([2_026, self.seed, -3 % 2**32])
        return [np.cumsum(_shares(rng, count)) for count in LEVELS]

    def _scores(self, rng: np.random.Generator, count: int) -> Any:
        width = NUMBERS + CATEGORIES
        z = rng.normal(size=(count + self.average - 1, width))
        if self.average > 1:
            sums = np.cumsum(np.vstack([np.zeros((1, width)), z]), axis=0)
            z = (sums[self.average :] - sums[: -self.average]) / np.sqrt(self.average)
        if self.memory:
            fresh = np.sqrt(1 - self.memory**2)
            z[1:] *= fresh
            z = lfilter([1.0], [1.0, -self.memory], z, axis=0)
        mixed = z.copy()  # groups of five that go together, each as strongly as it was drawn
        strength = np.random.default_rng([2_026, self.seed, -4 % 2**32]).uniform(0.2, 0.8, width)
        for first in range(5, width, 5):
            for place in range(first + 1, first + 5):
                r = strength[place]
                mixed[:, place] = r * z[:, first] + np.sqrt(1 - r * r) * z[:, place]
        return mixed


def _shares(rng: np.random.Generator, count: int) -> Any:
    if count <= 5:
        shares = rng.dirichlet(np.full(count, 8.0))
    else:
        shares = rng.dirichlet(np.full(count, 1.0)) + 1 / (3 * count)
    return shares / shares.sum()


def cut(columns: Columns, start: int, stop: int) -> Columns:
    return {name: values[start:stop] for name, values in columns.items()}


# -- changes -----------------------------------------------------------------------------------------------

CHANGES = (
    "mean +.25 sd", "sd x1.5", "category +10 points", "new level 1 %", "missing 1 to 3 %",
    "correlation .6 to .3",
)  # fmt: skip
NEW = -2
"""Code of a level that the reference does not have; -1 is missing."""


def changed(
    world: World,
    columns: Columns,
    change: str,
    usual: Columns,
    draw: int,
    fresh: Callable[[], Columns],
    place: int = 0,
) -> tuple[Columns, tuple[str, ...]]:
    """The rows after a change, and the columns that it is in. ``fresh``: rows with the pair's other
    correlation; ``usual``: the reference, of which mean and standard deviation are taken. ``place``: windows
    of one draw change the same column, each in rows of its own."""
    rng = np.random.default_rng([2_027, world.seed, draw])
    chance = np.random.default_rng([2_028, world.seed, draw, place])
    rows = len(columns["x00"])
    if change == "correlation .6 to .3":
        return fresh(), PAIR
    if change == "category +10 points":
        codes, levels = columns[CATEGORY].copy(), LEVELS[3]
        share = np.bincount(usual[CATEGORY], minlength=levels) / len(usual[CATEGORY])
        gains = int(rng.integers(levels))
        others = codes != gains
        codes[others & (chance.random(rows) < 0.1 / (1 - share[gains]))] = gains
        return {**columns, CATEGORY: codes}, (CATEGORY,)
    if change == "new level 1 %":
        name = f"k{int(rng.integers(CATEGORIES)):02}"
        return {**columns, name: np.where(chance.random(rows) < 0.01, NEW, columns[name])}, (name,)
    if change == "missing 1 to 3 %":
        name = GAPPY[int(rng.integers(3))]
        gone = chance.random(rows) < 0.02 / 0.99
        return {**columns, name: np.where(gone, np.nan, columns[name])}, (name,)
    name = world.smooth[int(rng.integers(len(world.smooth)))]
    centre, spread = float(usual[name].mean()), float(usual[name].std())
    values = columns[name]
    if change == "sd x1.5":
        return {**columns, name: centre + 1.5 * (values - centre)}, (name,)
    by = {"mean +.25 sd": 0.25, "mean +.02 sd": 0.02}[change]
    return {**columns, name: values + by * spread}, (name,)


def change_at(
    world: World, usual: Columns, change: str, rows: int, draw: int, place: int
) -> tuple[Columns, tuple[str, ...]]:
    """A window after a change, the ``place``-th; every tool is shown the same."""
    part = 1_000 * draw + 500 + 10 * CHANGES.index(change) + place
    columns = world.rows(rows, part=part)
    return changed(
        world, columns, change, usual, 1_000 * draw, lambda: world.rows(rows, part=part, factor=0.3), place
    )


# -- errors of a model, one label after the other -----------------------------------------------------------


def errors(rng: np.random.Generator, rows: int, share: float, memory: float = 0.0) -> Any:
    """0 or 1, this share of them 1: with probability ``memory`` a label is as the one before."""
    fresh = rng.random(rows) >= memory
    fresh[0] = True
    drawn = (rng.random(rows) < share).astype(float)
    last = np.maximum.accumulate(np.where(fresh, np.arange(rows), 0))
    return drawn[last]


def stream(seed: int, share: float, later: float, memory: float, rows: int) -> tuple[Any, Any]:
    """Errors of a reference of 10,000 labels, and of a stream in which their share changes after ``rows``."""
    rng = np.random.default_rng([2_028, seed])
    usual = errors(rng, 10_000, share, memory)
    before = errors(rng, rows, share, memory)
    return usual, np.concatenate([before, errors(rng, rows, later, memory)])


def judged(alarms: Any, share: float, later: float, rows: int) -> tuple[tuple[int, int], int | None]:
    """False alarms, among how many labels; and labels until the change was noticed."""
    quiet = rows if later != share else 2 * rows
    after = alarms[alarms >= rows]
    return (int((alarms < quiet).sum()), quiet), int(after[0]) - rows if len(after) else None
