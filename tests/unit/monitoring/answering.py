"""Worlds in which the truth is known: answers of models, and errors that follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter

Given = tuple[np.ndarray, dict[str, Any]]
TWO = {"classes": [0, 1], "positive": 1}


def following(rng: np.random.Generator, rows: int, r: float) -> np.ndarray:
    """Standard normal numbers, each correlated by ``r`` with the one before."""
    noise = rng.normal(size=rows)
    if r == 0:
        return noise
    noise[1:] *= np.sqrt(1 - r * r)
    return np.asarray(lfilter([1], [1, -r], noise))


def two_classes(
    rng: np.random.Generator, rows: int, *, r: float = 0.0, moved: float = 0.0, wrong: float = 0.0
) -> Given:
    """Labels and probabilities of an overconfident model. ``moved``: of the inputs, in standard deviations;
    ``r``: of what the model does not see; ``wrong``: the share of labels that are turned around."""
    x = rng.normal(moved, 1, rows)
    unseen = following(rng, rows, r)
    truth = rng.random(rows) < 1 / (1 + np.exp(-(1.5 * x - 0.5 + unseen)))
    truth ^= rng.random(rows) < wrong
    return truth.astype(int), {"probabilities": 1 / (1 + np.exp(-2 * x))}


def three_classes(rng: np.random.Generator, rows: int) -> Given:
    z = 1.5 * rng.normal(size=(rows, 3))
    chance = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    truth = (rng.random(rows)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    told = np.exp(1.5 * z) / np.exp(1.5 * z).sum(axis=1, keepdims=True)
    return np.array(["a", "b", "c"])[truth.clip(max=2)], {"probabilities": told}


def values(rng: np.random.Generator, rows: int, *, r: float = 0.0, moved: float = 0.0) -> Given:
    """Numbers whose error grows with the answer and has heavy tails."""
    x = rng.normal(moved, 1, rows)
    return x + np.exp(0.5 * x) * following(rng, rows, r) * np.exp(0.3 * rng.normal(size=rows)), {"answers": x}


def errors(rng: np.random.Generator, rows: int, share: float, r: float = 0.0) -> np.ndarray:
    """0 or 1: a Markov chain with this share of errors and this correlation of successors."""
    fresh = np.flatnonzero((rng.random(rows) >= r) | (np.arange(rows) == 0))
    drawn = rng.random(rows) < share
    return drawn[fresh[np.cumsum(np.isin(np.arange(rows), fresh)) - 1]].astype(float)
