"""How bursty a stream is, from what has passed: the design effect of its losses, in constant memory.

Two estimates, of which the larger counts. From the correlation r of successive losses, (1 + r) / (1 - r): it
is known soon, and right where bursts are a Markov chain. From the variance of block means: it is right for
any bursts shorter than a block, and known late. Both are read from differences of successors (von Neumann
1941), so that a change of level counts once and is not taken for bursts. The past is forgotten by halves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .outcomes import Floats

_LENGTHS = (16, 128, 1024)
_LEAST = 20  # differences before a length is believed
_MOST = 400  # differences that are remembered in full
_SURE = 1.645


@dataclass(frozen=True)
class Blocks:
    """Blocks of one length: the one that is filling, the last full one's mean, and ``squares`` of ``number``
    differences."""

    length: int
    filled: int = 0
    sum: float = 0.0
    last: float | None = None
    squares: float = 0.0
    number: float = 0.0

    def seen(self, losses: Floats) -> Blocks:
        missing = self.length - self.filled
        if len(losses) < missing:
            return Blocks(
                self.length, self.filled + len(losses), self.sum + float(losses.sum()), self.last,
                self.squares, self.number,
            )  # fmt: skip
        first = (self.sum + float(losses[:missing].sum())) / self.length
        full = (len(losses) - missing) // self.length
        stop = missing + full * self.length
        rest = losses[missing:stop].reshape(full, self.length).mean(axis=1)
        means = np.concatenate([[] if self.last is None else [self.last], [first], rest])
        differences = np.diff(means)
        squares = self.squares + float((differences**2).sum())
        number = self.number + len(differences)
        if number > _MOST:
            squares, number = squares / 2, number / 2
        tail = losses[stop:]
        return Blocks(self.length, len(tail), float(tail.sum()), float(means[-1]), squares, number)

    def variance(self) -> float:
        """The lower 95 % bound of the variance of block means."""
        if self.number < _LEAST:
            return 0.0
        return self.squares / self.number / 2 / (1 + _SURE * math.sqrt(3 / self.number))


def _lengths() -> tuple[Blocks, ...]:
    return tuple(Blocks(length) for length in _LENGTHS)


@dataclass(frozen=True)
class Bursts:
    """``total`` and ``squares`` of the ``labels`` remembered, squares of the ``steps`` from each to the next,
    the ``last`` one, and blocks of several lengths."""

    labels: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    steps: float = 0.0
    last: float | None = None
    blocks: tuple[Blocks, ...] = field(default_factory=_lengths)

    def seen(self, losses: Floats) -> Bursts:
        if not len(losses):
            return self
        first = losses[0] if self.last is None else self.last
        steps = float((np.diff(losses) ** 2).sum()) + float(losses[0] - first) ** 2
        sums = np.array([len(losses), losses.sum(), (losses**2).sum(), steps])
        sums += [self.labels, self.total, self.squares, self.steps]
        if sums[0] > _MOST * _LENGTHS[-1]:
            sums /= 2
        labels, total, squares, steps = map(float, sums)
        blocks = tuple(each.seen(losses) for each in self.blocks)
        return Bursts(labels, total, squares, steps, float(losses[-1]), blocks)

    def effect(self) -> float:
        """The design effect that is there beyond doubt; 1 at least."""
        if self.labels < _LEAST:
            return 1.0
        variance = self.squares / self.labels - (self.total / self.labels) ** 2
        if variance <= 1e-12:
            return 1.0
        follows = 1 - self.steps / self.labels / 2 / variance
        surely = min(
            max(follows - _SURE * math.sqrt((1 - min(follows, 1) ** 2 + 1e-9) / self.labels), 0.0), 0.999
        )
        blocks = (each.length * each.variance() / variance for each in self.blocks)
        return max((1 + surely) / (1 - surely), *blocks, 1.0)
