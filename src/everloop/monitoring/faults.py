"""A broken feed, told from a world that changed.

Honest change moves and spreads values and mixes levels anew. What is looked for here is what it does not do:
all values in another unit, one value that stands in for missing ones, a sensor that stays where it is,
columns in each other's place, rows that come twice, levels under other names. A claim needs both: the fault
explains the window, and honest change does not.

What cannot be told apart is not claimed, see ``units``. What is indistinguishable and claimed: a positive
feature all of whose values changed by exactly the factor of a known conversion; a code that is all new, with
the old shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.monitoring import Level, Result

from . import clocks, fits, impossible, renamed, repeats, spikes, stretches, swapped, units, words
from .columns import Coded, Numbers
from .fits import Sample
from .reference import Reference
from .stretches import Stretch
from .swapped import Parts
from .texture import FeatureTexture, Texture, decimals_of
from .windows import Window

MOST_ROWS = 20_000
SUDDEN = 0.1  # of the rows: more missing values than usual
_LEAST = 30
_COARSE = 0.02  # standard deviations


@np.errstate(over="ignore", invalid="ignore")  # values near 10^308 do not add up
def diagnose(
    reference: Reference,
    window: Window,
    table: pa.Table,
    results: Sequence[Result],
    *,
    texture: Texture | None = None,
    times: Any = None,
    in_time: bool = True,
) -> list[Result]:
    """What is broken, the worst first: one result for each fault, of family ``quality`` with the statistic
    ``fault``; ``details`` name the ``fault``, its evidence, and from which part of the rows on it is seen.

    ``table``: the newest rows of the window in the order of time, of which 20,000 are looked at; ``results``:
    of the check of this window. Units, columns in each other's place and other names of levels are looked for
    where it fired, or what moved waits for a second window only; the rest always. ``times``: when each row
    was asked for (seconds since 1970). Without the ``texture`` of the reference, rows that repeat are not
    judged, and values that repeat are more cautiously. Rows that are not ``in_time`` may be sorted: a value
    that stays says nothing then.
    """
    newest = max(0, table.num_rows - MOST_ROWS)
    table = table.slice(newest)
    asked = None if times is None else np.asarray(times, dtype=float)[newest:]
    moved = {
        each.subject
        for each in results
        if (each.fired or each.details.get("alone")) and each.family in ("quality", "data")
    }
    samples = _samples(reference, table)
    found = [*_gone(window, results), *repeats.rows(samples, texture)]
    done = {each.subject for each in found}

    @cache
    def parts_of(name: str) -> list[Stretch]:
        return stretches.candidates(samples.get(name), table.num_rows)

    crossed = list(swapped.find(reference, table, moved - done, parts_of, leave=done))
    done |= {name for each in crossed for name in each.details["features"]}
    stuck = {each.subject: each for each in repeats.stuck(samples, texture, results, in_time)}
    for name, each in samples.items():
        if name not in done:
            usual = texture.features.get(name) if texture else None
            found += islice(_of_feature(name, each, usual, stuck, name in moved, asked, parts_of), 1)
    return sorted([*found, *crossed], key=lambda each: (each.level != "critical", each.subject))


def told_once(found: Sequence[Result], broken: Sequence[Result]) -> list[Result]:
    """What a check found and what is ``broken``: of a column that is lost or all missing the fault alone."""
    lost = {each.subject for each in broken if each.details.get("fault") == "missing" and each.value == 1}
    kept = [
        each for each in found
        if each.subject not in lost or each.statistic not in ("missing", "missing_column")
    ]  # fmt: skip
    return [*kept, *broken]


def _of_feature(
    name: str,
    sample: Sample,
    usual: FeatureTexture | None,
    stuck: Mapping[str, Result],
    drifted: bool,
    asked: Any,
    parts_of: Parts,
) -> Iterator[Result]:
    """The first of them explains the rest."""
    yield from clocks.find(name, sample, usual, asked)
    if name in stuck and not spikes.stands_in(sample, stuck[name].details["stays_at"]):
        yield stuck[name]
    yield from spikes.find(name, sample, usual)
    if name in stuck:
        yield stuck[name]
    if drifted:
        yield from _other_unit(name, sample, parts_of)
        yield from _other_names(name, sample)
    if drifted or sample.free < fits.LEAST:  # of few rows no test may have told
        yield from impossible.degrees(name, sample, usual)
    yield from impossible.find(name, sample, usual)
    yield from _rounded(name, sample)


def _samples(reference: Reference, table: pa.Table) -> dict[str, Sample]:
    found, here = {}, set(table.column_names)
    for name, feature in reference.features.items():
        if name in here and feature.rows > feature.missing:
            one = fits.sample(feature, table.column(name))
            if one is not None:
                found[name] = one
    return found


def fault(name: str, kind: str, text: str, *, level: Level = "critical", **details: Any) -> Result:
    shares = {key: details.pop(key) for key in ("value", "usual") if key in details}
    told = {"fault": kind, **details}
    return Result("quality", name, "fault", True, text, level, **shares, details=told)


def _gone(window: Window, results: Sequence[Result]) -> Iterator[Result]:
    """Missing values that came at once."""
    for each in results:
        if not each.fired or each.family != "quality":
            continue
        if each.statistic == "missing_column":
            now = each.value or 0.0
            of = "any more" if now == 1 else f"in {words.share(now)} of {words.rows(window.rows)}"
            text = f"'{each.subject}' does not come {of}: the column is missing."
            yield fault(each.subject, "missing", text, value=now)
        elif each.statistic == "missing" and (each.value or 0.0) - (each.usual or 0.0) >= SUDDEN:
            now, before = each.value or 0.0, each.usual or 0.0
            text = (
                f"'{each.subject}' is missing in {words.share(now)} of {words.rows(window.rows)}; "
                f"usual are {words.share(before)}."
            )
            yield fault(each.subject, "missing", text, value=now, usual=before)


def _other_unit(name: str, sample: Sample, parts_of: Parts) -> Iterator[Result]:
    held = sample.held
    if sample.feature.kind != "number" or not isinstance(held, Numbers):
        return
    for part in parts_of(name):
        found = units.find(Sample(sample.feature, Numbers(held.values[part.first : part.last])))
        if found is not None:
            text = (
                f"'{name}' comes in another unit{part.words}: {found.words} "
                f"(now = {found.factor:g} · usual{f' {found.offset:+g}' if found.offset else ''}); undone, "
                "it is distributed as usual."
            )
            yield fault(
                name, "unit change", text,
                factor=found.factor, offset=found.offset, conversion=found.words, since=part.since,
                until=part.until,
            )  # fmt: skip
            return


def _other_names(name: str, sample: Sample) -> Iterator[Result]:
    if not isinstance(sample.held, Coded):
        return
    found = renamed.find(sample.feature, sample.held)
    if found is not None:
        first = ", ".join(f"'{old}' is now '{new}'" for new, old in list(found.pairs.items())[:3])
        text = (
            f"'{name}': levels came back under other names ({found.how}) in {words.share(found.share)} of "
            f"the rows: {first}."
        )
        pairs = dict(list(found.pairs.items())[:20])
        yield fault(name, "renamed levels", text, value=found.share, names=pairs, how=found.how)


def _rounded(name: str, sample: Sample) -> Iterator[Result]:
    """Fewer decimals than the reference, so few that it matters."""
    feature, values = sample.feature, sample.values
    if feature.kind != "number" or values.size < _LEAST:
        return
    values = fits.unusual(feature, values)
    if values.size < _LEAST:
        return
    usual, now = fits.decimals(feature), decimals_of(values)
    if now is None or (usual is not None and now >= usual) or 10.0**-now < _COARSE * feature.scale:
        return
    if np.unique(values).size < 2 or fits.distance(feature, values) > 0.5:
        return
    before = "unrounded" if usual is None else f"{usual} decimals"
    text = f"'{name}' is rounded to {now} decimals; usual is {before}."
    yield fault(name, "rounded", text, level="warning", decimals=now, usual_decimals=usual)
