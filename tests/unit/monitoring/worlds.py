"""Data whose rows depend on each other in known ways, for statistical tests of monitoring."""

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter
from scipy.special import ndtr

LEVELS = np.asarray([0.4, 0.25, 0.2, 0.1, 0.05])


def latent(rng, rows, width, kind="independent", memory=0.0):
    """(rows, width) of standard normal marginals. ``memory``: of an AR(1) process, or rows of a moving
    average."""
    if kind == "independent":
        return rng.standard_normal((rows, width))
    if kind == "ar":
        noise = rng.standard_normal((rows + 1_000, width))
        return lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=0)[1_000:]
    size = int(memory)
    sums = np.cumsum(rng.standard_normal((rows + size + 1, width)), axis=0)
    return (sums[size:-1] - sums[: -size - 1]) / np.sqrt(size)


def season(rows, day, first=0):
    return np.sin(2 * np.pi * ((first + np.arange(rows)) % day) / day)[:, None]


def table(z, **changed):
    """Eight features of latent columns: numbers of several shapes, categories, missing values. ``changed``
    replaces arguments: mean, deviation, missing, correlation, moved (from the first level to the third)."""
    x = changed.get("mean", 0.0) + changed.get("deviation", 1.0) * z[:, 0]
    rho = changed.get("correlation", 0.6)
    other = rho * z[:, 1] + np.sqrt(1 - rho**2) * z[:, 2]
    levels = np.searchsorted(np.cumsum(LEVELS), ndtr(z[:, 3])).clip(0, 4)
    moved = changed.get("moved", 0.0)
    levels = np.where((levels == 0) & (np.mod(ndtr(z[:, 7]) * 997, 1) < moved / LEVELS[0]), 2, levels)
    names = np.asarray(["a", "b", "c", "d", "e", "new"])
    levels = np.where(np.mod(ndtr(z[:, 7]) * 9973, 1) < changed.get("new", 0.0), 5, levels)
    gone = ndtr(z[:, 6]) < changed.get("missing", 0.01)
    columns = {
        "x": x,
        "skewed": np.exp(z[:, 1]),
        "other": other,
        "level": names[levels],
        "count": np.floor(np.exp(0.8 * z[:, 4]) * 2),
        "zeros": np.where(z[:, 5] < 1, 0.0, z[:, 5]),
        "gaps": np.where(gone, np.nan, z[:, 7]),
        "yes": z[:, 5] > 0.5,
    }
    return pa.table({name: pa.array(each, from_pandas=True) for name, each in columns.items()})
