"""Does the world that the rows come from move on? Asked of inputs and labels, without a model.

Rows in the order of time are cut into blocks. In a world that stands still the blocks are exchangeable: any
order of them is as likely as the one that was seen, also where rows come in bursts that are shorter than a
block. In one that moves, neighbours are alike. So of each column the products of the means of blocks that are
near to each other are summed, and the largest sum of all columns is compared with those of the same blocks in
random orders: a permutation test, whatever the columns' distributions are (Pitman, 1937; the statistic is
Moran's of 1950, along the line of time). That false alarms are as rare as ``SURE`` says is simulated in
test_moving.py.

A world that has moved is a reason to try a candidate, not a proof that it will be better: that is the gate's
to say. What the hour and the weekday explain is taken out before (so it takes two weeks of rows to see
anything), and columns that only count up, as times and numbers of rows do, are left out: both say nothing of
the world. The seasons of a year move and are not taken out, as a model knows one only when it has seen it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from .columns import Floats, numbers

BLOCKS = 50  # consecutive in time, with equally many rows
FEWEST = 10  # blocks: of fewer no order is strange enough
LEAST = 30  # rows in a block, at least
REACH = 4  # times the new rows: a change of long ago is learnt, or was not worth it
MOST = 30_000  # rows that are looked at; of more, every second, third … one is taken
NEAR = {1: 2 / 3, 2: 1 / 3}  # how far apart, and how much that counts
ORDERS = 5_000  # random orders of the blocks, at most
ENOUGH = 10  # of them with as large a sum: then it is not rare (Besag and Clifford, 1991)
SURE = 0.001  # the chance of a world that stands still to seem to move at a look
EXPLAINED = 0.1  # of a column's deviation: where less is left, hours and weekdays explain it
COUNTS_UP = 0.99  # rank correlation with the order in time
_CHUNK = 250  # orders at a time
_RANKED = 1_000  # rows at most


@dataclass(frozen=True)
class Moves:
    """How likely the blocks would be as alike as they are in a world that stands still, ``p``, and the
    ``column`` that shows most of it. ``message`` says it in words."""

    p: float
    column: str
    rows: int
    message: str

    @property
    def sure(self) -> bool:
        return self.p <= SURE


def judge(features: Mapping[str, Any], times: Any, new: int) -> Moves | None:
    """Whether the rows' columns move in time: ``features`` maps names to columns (n,), labels among them:
    numbers (NaN is missing), or anything else, which is taken as categories. ``times`` (n,) in seconds since
    the epoch, in any order. So many of the latest rows are ``new`` to the champion: four times as many are
    looked at. None below 300 rows, and where no column varies."""
    at = np.asarray(times, dtype=np.float64)
    order = np.argsort(at, kind="stable")[-REACH * new :] if new else np.array([], dtype=int)
    order = order[:: -(-len(order) // MOST) or 1]
    blocks = min(BLOCKS, len(order) // LEAST)
    if blocks < FEWEST:
        return None
    taken = {name: np.asarray(column)[order] for name, column in features.items()}
    names, means = _means(taken, at[order], blocks)
    if not names:
        return None
    seen = _alike(means[None])[0]
    p = _chance(means, float(seen.max()))
    column = names[int(seen.argmax())]
    if p <= SURE:
        said = f"The rows change in time: '{column}' most surely (p = {p:.2g}, {len(order):,} rows)."
    else:
        said = f"Nothing shows that the rows change in time (p = {p:.2g}, {len(order):,} rows)."
    return Moves(p, column, len(order), said)


def _chance(means: Floats, largest: float) -> float:
    """Of so large a sum in a random order. It stops early where that is surely not rare."""
    draw, orders, at_least = np.random.default_rng(len(means)), 0, 0
    while orders < ORDERS and at_least < ENOUGH:
        mixed = [draw.permutation(len(means)) for _ in range(_CHUNK)]
        at_least += int((_alike(means[np.array(mixed)]).max(axis=1) >= largest - 1e-9).sum())
        orders += _CHUNK
    return (1 + at_least) / (1 + orders)


def _means(features: Mapping[str, Any], times: Floats, blocks: int) -> tuple[list[str], Floats]:
    """The blocks' means of each column that varies between them, (blocks, columns), standardised."""
    hours, weekdays = ((times // unit % many).astype(int) for unit, many in ((3_600, 24), (86_400, 7)))
    names, found = [], []
    for name, values in numbers(features):
        if _counts_up(values):
            continue
        left = _without(_without(values, weekdays), hours)
        means = np.array([part.mean() for part in np.array_split(left, blocks)])
        std = float(means.std())
        if left.std() < EXPLAINED or std <= 1e-9:
            continue
        names.append(name)
        found.append((means - means.mean()) / std)
    return names, np.column_stack(found) if found else np.empty((blocks, 0))


def _without(values: Floats, groups: Any) -> Floats:
    """The values less the mean of their group."""
    counts = np.maximum(np.bincount(groups), 1)
    return np.asarray(values - (np.bincount(groups, values) / counts)[groups])


def _counts_up(values: Floats) -> bool:
    some = values[:: -(-len(values) // _RANKED)]
    return some.min() < some.max() and abs(float(spearmanr(some, np.arange(len(some))).statistic)) > COUNTS_UP


def _alike(means: Floats) -> Floats:
    """(orders, columns): how alike blocks are that are near, of means (orders, blocks, columns)."""
    return np.asarray(
        sum(much * (means[:, far:] * means[:, :-far]).sum(axis=1) for far, much in NEAR.items())
    )
