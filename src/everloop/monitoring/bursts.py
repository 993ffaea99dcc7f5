"""How bursty a stream is, from what has passed: the design effect of its losses, in constant memory.

The variance of block means is read from differences of successive blocks (von Neumann 1941), so that a change
of level counts once and is not taken for bursts. Old blocks are forgotten by halves.
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
    """``total`` and ``squares`` of the ``labels`` remembered, and blocks of several lengths."""

    labels: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    blocks: tuple[Blocks, ...] = field(default_factory=_lengths)

    def seen(self, losses: Floats) -> Bursts:
        labels, total = self.labels + len(losses), self.total + float(losses.sum())
        squares = self.squares + float((losses**2).sum())
        if labels > _MOST * _LENGTHS[-1]:
            labels, total, squares = labels / 2, total / 2, squares / 2
        return Bursts(labels, total, squares, tuple(each.seen(losses) for each in self.blocks))

    def effect(self) -> float:
        """The design effect that is there beyond doubt; 1 at least."""
        if not self.labels:
            return 1.0
        variance = self.squares / self.labels - (self.total / self.labels) ** 2
        if variance <= 0:
            return 1.0
        return max([1.0, *(each.length * each.variance() / variance for each in self.blocks)])
