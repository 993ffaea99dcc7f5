"""A small forest of boosted regression trees over binned columns, in numpy (Friedman 2001,
doi:10.1214/aos/1013203451). It learns how large a model's errors are, from thousands of rows in a second, and
is kept as a few kilobytes of JSON. It is not meant to compete as a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .outcomes import Codes, Floats

DEPTH = 4
TREES = 60
_RATE = 0.15
_LEAST_LEAF = 50
_SHRINK = 5.0
_INNER = 2**DEPTH - 1

Bins = NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """Rows with a bin of ``column`` above ``bins`` go right; the ``leaves`` are what it adds."""

    column: tuple[int, ...]
    bins: tuple[int, ...]
    leaves: tuple[float, ...]

    def at(self, codes: Bins) -> Codes:
        """The leaf of each row of (n, columns) codes."""
        column, bins = np.asarray(self.column), np.asarray(self.bins)
        rows, node = np.arange(len(codes)), np.zeros(len(codes), dtype=np.intp)
        for _ in range(DEPTH):
            node = 2 * node + 1 + (codes[rows, column[node]] > bins[node])
        return np.asarray(node - _INNER)


@dataclass(frozen=True)
class Forest:
    """The mean of what was learnt, and what trees add to it."""

    mean: float
    trees: tuple[Tree, ...]

    def __call__(self, codes: Bins) -> Floats:
        found = np.full(len(codes), self.mean)
        for tree in self.trees:
            found += np.asarray(tree.leaves)[tree.at(codes)]
        return found


def grow(codes: Bins, sizes: Codes, targets: Floats) -> Forest:
    """From (n, columns) codes, of which column j has values from 0 to ``sizes[j]`` - 1."""
    mean = float(targets.mean())
    rest, trees = targets - mean, []
    for _ in range(TREES):
        tree = _tree(codes, sizes, rest)
        rest = rest - np.asarray(tree.leaves)[tree.at(codes)]
        trees.append(tree)
    return Forest(mean, tuple(trees))


def _tree(codes: Bins, sizes: Codes, rest: Floats) -> Tree:
    column, bins = np.zeros(_INNER, dtype=int), np.zeros(_INNER, dtype=int)
    node = np.zeros(len(codes), dtype=np.intp)
    for depth in range(DEPTH):
        width, first = 2**depth, 2**depth - 1
        best = np.zeros(width)
        bins[first : first + width] = np.iinfo(np.int32).max  # all rows go left where no split helps
        for j, size in enumerate(sizes):
            gains = _gains(node * size + codes[:, j], width, int(size), rest)
            at = gains.argmax(axis=1)
            gain = gains[np.arange(width), at]
            better = gain > best
            best = np.where(better, gain, best)
            column[first : first + width] = np.where(better, j, column[first : first + width])
            bins[first : first + width] = np.where(better, at, bins[first : first + width])
        chosen = node + first
        node = 2 * node + (codes[np.arange(len(codes)), column[chosen]] > bins[chosen])
    rows = np.bincount(node, minlength=_INNER + 1)
    sums = np.bincount(node, weights=rest, minlength=_INNER + 1)
    leaves = _RATE * sums / (rows + _SHRINK)
    return Tree(tuple(map(int, column)), tuple(map(int, bins)), tuple(map(float, leaves)))


def _gains(cells: Codes, width: int, size: int, rest: Floats) -> Floats:
    """(nodes, bins): how much a split above each bin explains; 0 where a side would have too few rows."""
    rows = np.bincount(cells, minlength=width * size).reshape(width, size).cumsum(axis=1)
    sums = np.bincount(cells, weights=rest, minlength=width * size).reshape(width, size).cumsum(axis=1)
    other_rows, other_sums = rows[:, -1:] - rows, sums[:, -1:] - sums
    gains = (
        sums**2 / (rows + _SHRINK)
        + other_sums**2 / (other_rows + _SHRINK)
        - sums[:, -1:] ** 2 / (rows[:, -1:] + _SHRINK)
    )
    return np.where((rows >= _LEAST_LEAF) & (other_rows >= _LEAST_LEAF), gains, 0.0)
