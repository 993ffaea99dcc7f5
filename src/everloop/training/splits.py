"""Which rows are held out, and which folds the training rows form.

Sides follow seeded hashes of the rows' contents (or of their group), so a row keeps its side when other rows
arrive, and rows with equal content never stand on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, TimeSeriesSplit

from everloop.core.errors import AllMissing, InvalidSettings, TooFewRows, UnknownColumn, WrongType, nearest
from everloop.core.runs import Recipe

EXACT_ROWS = 5_000
_GOLDEN = 0x9E3779B97F4A7C15


def split(
    frame: pd.DataFrame, target: str, recipe: Recipe, row_hashes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the (training, test) rows of ``frame``, both ascending and neither empty.

    ``row_hashes`` has one 64-bit integer per row. ``random``: rows whose seeded hash is below ``test_size``.
    ``stratified``: the same within each class, and exact (by rank of the hash) up to 5,000 rows, where a
    threshold would only be proportional in expectation; a few rows next to the cut can then change sides when
    rows are added. ``time``: the latest share of rows, equal times together. ``group``: whole groups; rows
    without a group value form one group.
    """
    size = recipe.split.test_size
    if not 0 < size < 1:
        raise InvalidSettings(
            f"split.test_size is {size}.", remedy="Give a share between 0 and 1, such as 0.2."
        )
    if len(frame) < 2:
        raise TooFewRows(f"{len(frame)} row(s) cannot be split.", remedy="Add rows.")
    if recipe.split.kind == "time":
        held_out = _latest(times(frame, recipe), size, recipe.split.column)
    elif recipe.split.kind == "group":
        held_out = _by_group(groups(frame, recipe), size, recipe)
    else:
        shares = uniforms(row_hashes, recipe.seed)
        stratify = recipe.split.kind == "stratified"
        strata = frame[target].to_numpy() if stratify else np.zeros(len(frame), dtype=np.int8)
        held_out = _by_hash(shares, strata, size, exact=stratify and len(frame) <= EXACT_ROWS)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def fold(
    frame: pd.DataFrame, target: str, recipe: Recipe, row_hashes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(Fitting, judging) positions of each of ``recipe.folds`` cross-validation folds.

    Folds keep what the split protects: classes in proportion (stratified), whole groups (group), or only
    the past to judge the future (time, with growing history).
    """
    if recipe.split.kind == "time":
        order = np.argsort(times(frame, recipe).to_numpy(), kind="stable")
        for past, future in TimeSeriesSplit(recipe.folds).split(order):
            yield order[past], order[future]
        return
    if recipe.split.kind == "group":
        values = groups(frame, recipe)
        if len(np.unique(values)) < recipe.folds:
            raise TooFewRows(
                f"Column '{recipe.split.column}' has {len(np.unique(values))} groups in the training rows, "
                f"which is fewer than {recipe.folds} folds.",
                remedy="Ask for fewer folds.",
            )
        yield from GroupKFold(recipe.folds).split(values, groups=values)
        return
    shares = uniforms(row_hashes, recipe.seed)
    stratify = recipe.split.kind == "stratified"
    strata = frame[target].to_numpy() if stratify else np.zeros(len(frame), dtype=np.int8)
    number = np.empty(len(frame), dtype=np.int64)
    for rows in _strata(strata):
        _, rank = np.unique(shares[rows], return_inverse=True)  # equal rows share a rank, so a fold
        number[rows] = rank % recipe.folds
    if len(np.unique(number)) < recipe.folds:
        raise TooFewRows(
            f"{len(frame)} training rows have fewer than {recipe.folds} different contents, one per fold.",
            remedy="Ask for fewer folds or bring more rows.",
        )
    for k in range(recipe.folds):
        yield np.flatnonzero(number != k), np.flatnonzero(number == k)


def uniforms(row_hashes: np.ndarray, seed: int) -> np.ndarray:
    """Numbers in [0, 1) that depend on hash and seed only (SplitMix64: Steele, Lea and Flood, 2014)."""
    z = np.asarray(row_hashes).astype(np.uint64) + np.uint64((seed * _GOLDEN + _GOLDEN) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def times(frame: pd.DataFrame, recipe: Recipe) -> pd.Series:
    """The time column as numbers or as datetimes without zone (UTC where there was one), none missing."""
    name = _column(frame, recipe)
    column = frame[name]
    missing = int(column.isna().sum())
    if missing == len(column):
        raise AllMissing(f"Time column '{name}' has no values.", remedy="Split by another column.")
    if missing:
        raise WrongType(
            f"Time column '{name}' has no value in {missing} of {len(column)} rows.",
            remedy="Fill the times in, drop those rows, or choose another split.",
        )
    if pd.api.types.is_numeric_dtype(column):
        return column
    try:
        if not pd.api.types.is_datetime64_any_dtype(column):
            column = pd.to_datetime(column, format="ISO8601", utc=True)
        return column.dt.tz_convert(None) if column.dt.tz is not None else column
    except (ValueError, TypeError) as error:
        raise WrongType(
            f"Column '{name}' cannot be read as times: {error}",
            remedy="Use a timestamp, date or number column, or ISO 8601 strings.",
        ) from error


def groups(frame: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """One text per row that names its group; the same for 7 and 7.0, as integers may come either way."""
    codes, levels = pd.factorize(frame[_column(frame, recipe)])
    return np.array([*(_text(level) for level in levels), ""], dtype=object)[codes]


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _column(frame: pd.DataFrame, recipe: Recipe) -> str:
    name = recipe.split.column
    if name is None:
        raise InvalidSettings(
            f"A {recipe.split.kind} split needs a column.", remedy="Set split.column to the column's name."
        )
    if name not in frame.columns:
        raise UnknownColumn(
            f"Split column '{name}' does not exist.", remedy=nearest(name, map(str, frame.columns))
        )
    return name


def _latest(when: pd.Series, size: float, name: str | None) -> np.ndarray:
    values = when.to_numpy()
    cut = np.sort(values)[len(values) - max(1, round(size * len(values)))]
    sides = [side for side in (values >= cut, values > cut) if 0 < side.sum() < len(values)]
    if not sides:
        raise TooFewRows(
            f"Time column '{name}' has one value only, so there is no later part to test on.",
            remedy="Choose another split or another time column.",
        )
    return np.asarray(min(sides, key=lambda side: abs(side.mean() - size)))


def _by_group(values: np.ndarray, size: float, recipe: Recipe) -> np.ndarray:
    names, member = np.unique(values, return_inverse=True)
    if len(names) < 2:
        raise TooFewRows(
            f"Column '{recipe.split.column}' has one group only.",
            remedy="Choose another split or group column.",
        )
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    shares = uniforms(np.array([int.from_bytes(d, "big") for d in digests], dtype=np.uint64), recipe.seed)
    return np.asarray(_below(shares, size)[member])


def _by_hash(shares: np.ndarray, strata: np.ndarray, size: float, *, exact: bool) -> np.ndarray:
    held_out = np.zeros(len(shares), dtype=bool)
    for rows in _strata(strata):
        if not exact:
            held_out[rows] = _below(shares[rows], size)
            continue
        ranked = np.sort(shares[rows])
        wanted = round(size * len(rows))
        if len(rows) > 1:
            wanted = min(max(wanted, 1), len(rows) - 1)
        held_out[rows] = shares[rows] < ranked[wanted]
    return held_out


def _below(shares: np.ndarray, size: float) -> np.ndarray:
    """Below the threshold; where that leaves a side empty, the lowest is tested or the highest trained on."""
    held_out = shares < size
    if not held_out.any():
        held_out = shares == shares.min()
    elif held_out.all():
        held_out = shares < shares.max()
    return np.asarray(held_out)


def _strata(labels: np.ndarray) -> list[np.ndarray]:
    codes, _ = pd.factorize(labels)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
