"""Which drifted feature does how much to a model's answers.

Counterfactual repair: the values of one feature in the window are put back to how they are distributed in the
reference, all else stays, and the model is asked again. How far its answers move is what the drift does. A
number is mapped by its rank (quantile mapping); of a category, or of missing values, as few rows are changed
as bring the shares back (a coupling of the largest overlap).

What one feature does may hide behind another (a score that is 1 for one reason cannot rise for a second one),
so the effect is the mean of two: this feature put back in the window as it is, and this feature left as it is
where all others are put back (the first and the last step of a Shapley value).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import stdtrit

from everloop.core.monitoring import Damage, Result

from . import estimated, fits
from .columns import Coded, Floats, Ints, read
from .estimated import Estimator
from .metrics import metrics_of
from .reference import FeatureReference, Reference

MOST_FEATURES = 20
MOST_ROWS = 5_000
SEED = 20_231
_GROUPS = 10  # of neighbouring rows: how much they differ bounds the effect
_LEVEL = 0.05
Answers = Callable[[pa.Table], Any]


def rank(
    reference: Reference,
    table: pa.Table,
    answers: Answers,
    features: Sequence[str],
    *,
    estimator: Estimator | None = None,
    positive: int = -1,
    seed: int = SEED,
) -> list[Damage]:
    """The features, those that do most first; of the same effect the earlier one of ``features``.

    Args:
        table: rows of the window in the order of time; the newest 5,000 are asked about.
        answers: gives probabilities (rows, classes), in the order of the estimator's classes, or values
            (rows,). Their distance is half the sum over the classes, or the difference of the values.
        features: which drifted, the worst first; the first 20 that can be put back are looked at.
        estimator: tells the performance to expect of the answers.
        positive: the class whose probability is told in ``moved``.
    """
    table = table.slice(max(0, table.num_rows - MOST_ROWS))
    if not table.num_rows:
        return []
    rng = np.random.default_rng(seed)
    said = _said(answers, table)
    performance = _performance(estimator, said)
    made = []
    before = said if said.ndim == 1 else said[:, positive]
    names = _repairable(reference, table, features)
    whole = {name: repaired(reference.features[name], table.column(name), rng) for name in names}
    usual = table
    for name in names:
        usual = _with(usual, name, whole[name])
    without = _said(answers, usual) if names else said
    for name in names:
        column = table.column(name)
        parts = [repaired(reference.features[name], column.slice(*each), rng) for each in _groups(len(said))]
        again = _said(answers, _with(table, name, whole[name]))
        alone = _said(answers, _with(usual, name, column))
        grouped, beside = (_said(answers, _with(each, name, _joined(parts))) for each in (table, usual))
        after = again if again.ndim == 1 else again[:, positive]
        away = (_distances(said, again) + _distances(without, alone)) / 2
        noisy = (_distances(said, grouped) + _distances(beside, alone)) / 2
        effect, half = float(away.mean()), _half(noisy)
        bare = Damage(
            name, effect, max(0.0, effect - half), effect + half,
            share=0.0, moved=float((before - after).mean()), rows=len(said),
        )  # fmt: skip
        made.append(_with_harm(bare, performance, _performance(estimator, again)))
    total = sum(each.effect for each in made)
    shares = [each.effect / total if total else 0.0 for each in made]
    ranked = [replace(each, share=share) for each, share in zip(made, shares, strict=True)]
    return sorted(ranked, key=lambda each: -each.effect)


def drifted(results: Sequence[Result]) -> list[str]:
    """The features about which something fired, the largest effect in units of its floor first; also those of
    pairs."""
    found: dict[str, float] = {}
    for each in results:
        if not each.fired or each.family not in ("data", "quality", "joint"):
            continue
        pairs = [name for pair in each.details.get("pairs", ()) for name in pair["features"]]
        together = each.details.get("features", ())
        size = abs((each.value or 0.0) - (each.usual or 0.0)) / (each.floor or 0.05)
        for name in pairs or together or [each.subject]:
            found[name] = max(found.get(name, 0.0), 0.0 if each.family == "joint" else size)
    return sorted(found, key=lambda name: -found[name])


def repaired(
    feature: FeatureReference, column: pa.ChunkedArray, rng: np.random.Generator
) -> pa.Array | pa.ChunkedArray:
    """The column with the reference's distribution, in the type that it came in."""
    held = read(column, feature.kind)
    if isinstance(held, Coded):
        return _levels_back(feature, held, column, rng)
    if held is None or feature.bins is None:
        return column
    values, missing = held.values.copy(), np.isnan(held.values)
    there = np.flatnonzero(~missing)
    order = there[np.lexsort((rng.random(there.size), values[there]))]
    values[order] = fits.quantiles(feature, (np.arange(there.size) + 0.5) / max(there.size, 1))
    values, missing = _missing_back(feature, values, missing, rng)
    return _as_it_came(values, missing, column.type)


def _repairable(reference: Reference, table: pa.Table, features: Sequence[str]) -> list[str]:
    chosen, here = [], set(table.column_names)
    for name in dict.fromkeys(features):
        feature = reference.features.get(name)
        if feature is None or name not in here or feature.kind in ("text", "other"):
            continue
        known = feature.bins is not None or feature.levels is not None
        if known and feature.rows > feature.missing and read(table.column(name), feature.kind) is not None:
            chosen.append(name)
    return chosen[:MOST_FEATURES]


def _missing_back(
    feature: FeatureReference, values: Floats, missing: Any, rng: np.random.Generator
) -> tuple[Floats, Any]:
    """As many missing values as usual: others get a usual value, or lose theirs."""
    wanted = round(feature.missing / feature.rows * values.size)
    excess = int(missing.sum()) - wanted
    if excess > 0:
        filled = rng.permutation(np.flatnonzero(missing))[:excess]
        values[filled] = fits.quantiles(feature, (np.arange(excess) + 0.5) / excess)
        missing[filled] = False
    elif excess < 0:
        missing[rng.permutation(np.flatnonzero(~missing))[:-excess]] = True
    return values, missing


def _levels_back(
    feature: FeatureReference, held: Coded, column: pa.ChunkedArray, rng: np.random.Generator
) -> pa.Array | pa.ChunkedArray:
    levels = feature.levels
    if levels is None:
        return column
    names = [*levels.names, *(level for level in held.levels if level not in levels.places)]
    codes = _placed(names, held)
    shares = np.zeros(len(names) + 1)  # the last place is a missing value
    shares[: len(levels.names)] = levels.counts[: len(levels.names)]
    there_now = np.bincount(codes, minlength=shares.size)[:-1] > 0
    others = [
        at for at in range(len(levels.names), len(names)) if there_now[at] and levels.is_other(names[at])
    ]
    if others:  # levels that the reference has seen, but does not list
        shares[others] = levels.counts[len(levels.names) :].sum() / len(others)
    shares[-1] = shares[:-1].sum() * feature.missing / max(feature.rows - feature.missing, 1)
    codes = _coupled(codes, shares / shares.sum(), rng)
    there: list[Any] = [*names, None]
    texts = [there[code] for code in codes]
    if pa.types.is_boolean(column.type):
        return pa.array([None if text is None else text == "true" for text in texts], pa.bool_())
    if feature.kind == "boolean":
        flags = [None if text is None else float(text == "true") for text in texts]
        return pa.array(flags, pa.float64()).cast(column.type)
    made = pa.array(texts, pa.string())
    if pa.types.is_dictionary(column.type):
        return made.dictionary_encode()
    return made


def _placed(names: Sequence[str], held: Coded) -> Ints:
    places = {name: place for place, name in enumerate(names)}
    of_level = np.asarray([*(places[level] for level in held.levels), len(names)], dtype=np.int64)
    return np.asarray(of_level[held.codes])


def _coupled(codes: Ints, shares: Floats, rng: np.random.Generator) -> Ints:
    """As few rows are changed as give these shares."""
    wanted = shares * codes.size
    whole = np.floor(wanted).astype(np.int64)
    left = codes.size - int(whole.sum())
    whole[np.argsort(whole - wanted)[:left]] += 1
    here = np.bincount(codes, minlength=shares.size)
    codes = codes.copy()
    free = [
        rng.permutation(np.flatnonzero(codes == place))[: here[place] - whole[place]]
        for place in np.flatnonzero(here > whole)
    ]
    if free:
        taking = np.repeat(np.arange(shares.size), np.maximum(whole - here, 0))
        codes[np.concatenate(free)] = rng.permutation(taking)
    return codes


def _as_it_came(values: Floats, missing: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_temporal(kind):
        steps = np.where(missing, 0, np.rint(values * 1e6)).astype(np.int64)
        stamps = pa.array(steps, pa.timestamp("us"), mask=missing)
        try:
            return stamps.cast(kind, safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return stamps
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pa.array(np.rint(np.where(missing, 0, values)), mask=missing).cast(kind, safe=False)
    return pa.array(values, pa.float64(), mask=missing)


def _said(answers: Answers, table: pa.Table) -> Floats:
    return np.asarray(answers(table), dtype=np.float64)


def _with(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _with_harm(
    bare: Damage, performance: tuple[str, float, int] | None, without: tuple[str, float, int] | None
) -> Damage:
    if performance is None or without is None:
        return bare
    metric, value, sign = performance
    harm = (without[1] - value) * sign
    return replace(bare, metric=metric, performance=value, repaired=without[1], harm=harm)


def _distances(said: Floats, again: Floats) -> Floats:
    off = np.abs(said - again)
    return np.asarray(off if off.ndim == 1 else off.sum(axis=1) / 2)


def _half(distances: Floats) -> float:
    """Half the 95 % interval of a mean: groups were repaired each for itself, so that they differ by all that
    chance does, and rows that follow each other may be alike."""
    means = [distances[start : start + size].mean() for start, size in _groups(distances.size)]
    if len(means) < 2:
        return float(distances.max())
    error = float(np.std(means, ddof=1) / np.sqrt(len(means)))
    return float(stdtrit(len(means) - 1, 1 - _LEVEL / 2)) * error


def _groups(rows: int) -> list[tuple[int, int]]:
    """Where they begin, and how long they are."""
    ends = np.linspace(0, rows, min(_GROUPS, rows) + 1).astype(int)
    return [(int(start), int(end - start)) for start, end in pairwise(ends)]


def _joined(parts: Sequence[pa.Array | pa.ChunkedArray]) -> pa.ChunkedArray:
    chunks = [
        chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])
    ]
    return pa.chunked_array(chunks)


def _performance(estimator: Estimator | None, said: Floats) -> tuple[str, float, int] | None:
    """The first metric that can be estimated: its name, its value, and 1 where more is better."""
    if estimator is None:
        return None
    given: dict[str, Any] = {"probabilities" if estimator.kind.task == "classification" else "answers": said}
    values = {each.statistic: each.value for each in estimated.estimate(estimator, **given)}
    for metric in metrics_of(estimator.kind, True):
        value = values.get(metric.name)
        if value is not None and metric.name in estimator.usual:
            return metric.name, value, metric.sign
    return None
