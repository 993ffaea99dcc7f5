"""How much more a mean of rows varies than if the rows were independent, by the length of the window.

The design effect at m rows is the variance of means of m successive rows times m, over the variance of
rows. It is 1 for independent rows and (1 + r) / (1 - r) in the long run where errors follow each other with
correlation r. It is read from the means of the reference's own time chunks (batch means; Schmeiser 1982,
doi:10.1287/opre.30.3.556), at lengths that double up to the longest with 20 chunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .outcomes import Floats

LEAST_CHUNKS = 20
SHORTEST = 8
_GROWS = 0.4  # exponent of growth over the last two doublings from which it is taken to go on
_SURE = 1.645


@dataclass(frozen=True)
class Dependence:
    """Design effects ``effects`` at windows of so many ``lengths``, from so many ``chunks``."""

    lengths: tuple[int, ...] = ()
    effects: tuple[float, ...] = ()
    chunks: tuple[int, ...] = ()

    def at(self, rows: int) -> float:
        """The design effect of a window of so many rows; 1 where nothing is known. Longer windows than the
        longest measured have its effect, or go on growing where it still grew (a level that wanders)."""
        if not self.lengths or rows <= 1:
            return 1.0
        logs = np.log([1, *self.lengths])
        found = math.exp(float(np.interp(math.log(rows), logs, np.log([1.0, *self.effects]))))
        if rows > self.lengths[-1] and len(self.lengths) >= 3:
            growth = math.log(self.effects[-1] / self.effects[-3]) / math.log(
                self.lengths[-1] / self.lengths[-3]
            )
            if growth > _GROWS:
                found *= (rows / self.lengths[-1]) ** min(growth, 1.0)
        return found

    def surely_at(self, rows: int) -> float:
        """The lower 95 % bound of it: what is there beyond the noise of few chunks."""
        if not self.lengths:
            return 1.0
        return max(self.at(rows) / (1 + _SURE * math.sqrt(2 / self.freedom(rows))), 1.0)

    def freedom(self, rows: int) -> int:
        """Degrees of freedom that the effect there rests on."""
        if not self.lengths:
            return LEAST_CHUNKS - 1
        at = int(np.searchsorted(self.lengths, rows))
        return self.chunks[min(at, len(self.chunks) - 1)] - 1


def dependence(values: Floats) -> Dependence:
    """Of values in the order of time; nothing where there are fewer than 160, or all are alike."""
    spread = float(values.var()) if len(values) else 0.0
    lengths: list[int] = []
    effects: list[float] = []
    chunks: list[int] = []
    length, most = SHORTEST, len(values) // LEAST_CHUNKS
    while length <= most and spread > 0:
        count = len(values) // length
        means = values[len(values) - count * length :].reshape(count, length).mean(axis=1)
        effect = float(means.var(ddof=1)) * length / spread
        lengths.append(length)
        effects.append(max(effect, 1.0, *effects))
        chunks.append(count)
        length *= 2
    return Dependence(tuple(lengths), tuple(effects), tuple(chunks))
