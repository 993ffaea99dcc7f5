"""A world of 50 features for faults of a feed: quiet, drifting honestly, or broken."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.monitoring import Result
from everloop.monitoring import reference, texture
from everloop.monitoring.reference import Reference
from everloop.monitoring.texture import Texture

Rng = np.random.Generator
SHAPES: tuple[Callable[[Any], Any], ...] = (
    lambda z: z,
    lambda z: 15 + 8 * z,
    lambda z: np.exp(3 + 0.6 * z),
    lambda z: np.floor(np.exp(1 + 0.8 * z)),
    lambda z: np.round(70 + 12 * z, 1),
    lambda z: np.where(z < 0.3, 0.0, np.exp(z)),
    lambda z: 1000 / (1 + np.exp(-z)),
    lambda z: np.clip(np.round(40 + 14 * z), 18, 90),
)
LEVELS = (2, 3, 5, 8, 12, 20, 40, 80, 150, 300)


def scores(rng: Rng, rows: int, memory: float = 0.0) -> Any:
    """(rows, 50) normal, neighbours correlated by ``memory``."""
    z = rng.normal(size=(rows, 50))
    if memory:
        from scipy.signal import lfilter

        z = lfilter([np.sqrt(1 - memory**2)], [1, -memory], z, axis=0)
    return z


def table(z: Any) -> pa.Table:
    """Of the scores: 40 numbers of 8 shapes, 10 categories."""
    from scipy.special import ndtr

    columns: dict[str, Any] = {f"n{place}": SHAPES[place % 8](z[:, place]) for place in range(40)}
    for place, count in enumerate(LEVELS):
        weights = 1 / np.arange(1, count + 1)
        ends = np.cumsum(weights / weights.sum())
        codes = np.minimum(np.searchsorted(ends, ndtr(z[:, 40 + place])), count - 1)
        names = pa.array([f"level {code}" for code in range(count)])
        columns[f"c{place}"] = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)
    return pa.table(columns)


@cache
def world(memory: float = 0.0, seed: int = 77) -> tuple[Reference, Texture]:
    usual = table(scores(np.random.default_rng(seed), 40_000, memory))
    return reference.build(usual), texture.of(usual)


def suspected(reference: Reference) -> list[Result]:
    """As if every feature had drifted: the worst case for false claims."""
    return [Result("data", name, "ks", True, "moved") for name in reference.features]
