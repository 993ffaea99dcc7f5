"""Rows that come twice, and values that stay where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from everloop.core.monitoring import Result

from . import fits, texture, words
from .columns import Coded, Numbers
from .fits import Sample
from .texture import CHUNK, Texture

_LEAST = 30  # rows
_DUPLICATES = 0.05  # of the rows, more than usual
_FEW_CHUNKS, _UNSURE = 4, 0.15
_LONGER = 5  # times the second longest run
_CHANCE = 1e-9
_SOME = 3
_ROWS = 400  # of the reference
_SHORTEST, _TIMES = 15, 6  # rows of a run, and times the longest one of the reference
_PART = 0.25  # of the window
_ENOUGH, _NEAR, _NEARLY = 100, 0.1, 0.9  # rows, shares
_OFTEN, _RARE = 0.3, 0.15  # of the rows: a value that may well stay, where there are others and where not
Span = tuple[int, int]


def rows(samples: Mapping[str, Sample], usual: Texture | None) -> Iterator[Result]:
    """Whole rows that repeat earlier ones, far more than in any chunk of the reference."""
    if usual is None or usual.rows < _LEAST or not samples.keys() >= usual.features.keys():
        return
    codes = {name: each.codes for name, each in samples.items() if name in usual.features}
    count = next((column.size for column in codes.values()), 0)
    if count < _LEAST:
        return
    spans = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
    again = np.concatenate([texture.repeated(codes, span) for span in spans])
    share, before, around = float(again.mean()), usual.duplicates, CHUNK
    if count < CHUNK:
        before = max(before, usual.shorter or 0.0)
    if usual.rows < _FEW_CHUNKS * CHUNK:  # of one or two chunks none need be the usual one
        before += _UNSURE
    if not _more(share, before) and CHUNK < count <= usual.long and usual.longer is not None:
        again = texture.repeated(codes, slice(0, count))
        share, before, around = float(again.mean()), usual.longer, count
    if not _more(share, before):
        return
    text = (
        f"{words.share(share)} of {words.rows(count)} repeat an earlier row of the {around:,} around them in "
        f"every column; usual are at most {words.share(before)}."
    )
    yield Result(
        "quality", "rows", "fault", True, text, "critical" if share >= 0.3 else "warning",
        value=share, usual=before, details={"fault": "duplicated rows", "rows": int(again.sum())},
    )  # fmt: skip


def _more(share: float, before: float) -> bool:
    return share >= before + _DUPLICATES + 0.5 * before * (1 - before)


def stuck(
    samples: Mapping[str, Sample], usual: Texture | None, results: Sequence[Result], in_time: bool = True
) -> Iterator[Result]:
    """A value that stays: in all rows, or in a run that chance does not make. Where many features stay over
    the same rows, these come from one source and nothing is stuck."""
    constant = {each.subject: each for each in results if each.fired and each.statistic == "constant"}
    staying = {}
    for name, each in samples.items():
        if name in constant:
            there = np.flatnonzero(each.codes >= 0)
            if (each.codes[there] != each.codes[there[:1]]).any():
                continue  # levels that are too rare to be told apart in a summary
            value = _value(each, int(there[0])) if there.size else None
            told = f"'{value}'" if isinstance(each.held, Coded) else constant[name].details["words"]
            text = f"'{name}' is stuck: all {words.rows(there.size)} with a value are {told}."
            if there.size == each.codes.size:
                text = f"'{name}' is stuck: all {words.rows(there.size)} are {told}."
            yield _result(name, text, 0, each.codes.size, value)
        elif in_time and (span := _longest(each, usual.features.get(name) if usual else None)) is not None:
            staying[name] = span
    for name, span in staying.items():
        together = sum(_overlap(span, other) for other in staying.values())
        if together >= _SOME and together > len(samples) / 3:
            continue
        value = _value(samples[name], span[0])
        size = samples[name].codes.size
        text = (
            f"'{name}' is stuck at {_shown(value, samples[name])} in {words.rows(span[1])} in a row, "
            f"{words.share(span[1] / size)} of those looked at; usually it varies."
        )
        yield _result(name, text, span[0], span[1], value)


def _result(name: str, text: str, start: int, length: int, value: object) -> Result:
    details = {"fault": "stuck", "from_row": start, "rows": length, "stays_at": value}
    return Result("quality", name, "fault", True, text, "critical", value=float(length), details=details)


def _longest(sample: Sample, usual: texture.FeatureTexture | None) -> Span | None:
    codes, feature = sample.codes, sample.feature
    if feature.kind in ("text", "other") or feature.constant:
        return None
    starts, lengths = texture.runs(codes)
    if usual is not None and lengths.size:
        span = int(starts[lengths.argmax()]), int(lengths.max())
        if _never_so_long(sample, span, usual.run):
            return span
    if lengths.size < 2 or lengths.max() < max(_LEAST, 0.02 * codes.size):
        return None
    place = int(lengths.argmax())
    start, length = int(starts[place]), int(lengths[place])
    others = np.delete(lengths, place)
    if length < _LONGER * int(others.max()) or (usual is not None and length < 3 * usual.run):
        return None
    outside = np.delete(codes, np.s_[start : start + length])
    effect = codes.size / fits.free_rows(feature, codes.size)
    here = (np.count_nonzero(outside == codes[start]) / effect + 2) / (outside.size / effect + 4)
    share = max(_share(sample, start), float(here))
    if share > 0.5 or codes.size * share ** max(length / effect - 1, 0) > _CHANCE:
        return None
    return start, length


def _never_so_long(sample: Sample, span: Span, usual: int) -> bool:
    """Many times as long as any run of the reference, which was long enough to see it, at a value that is not
    frequent elsewhere: what is may well stay."""
    start, length = span
    if sample.feature.rows < _ROWS or usual > CHUNK / 2 or length < max(_SHORTEST, _TIMES * usual):
        return False
    if length < _PART * sample.codes.size:
        return False
    outside = np.delete(sample.codes, np.s_[start : start + length])
    if not outside.size:
        return _share(sample, start) <= _RARE
    here, share = float((outside == sample.codes[start]).mean()), _share(sample, start)
    if outside.size >= _ENOUGH and abs(here - share) <= _NEAR:
        return share <= _NEARLY  # the rest is as usual
    return max(share, here) <= _OFTEN


def _share(sample: Sample, at: int) -> float:
    """Of the reference, that have the value of a row, at most."""
    feature, held = sample.feature, sample.held
    if isinstance(held, Numbers) and feature.bins is not None:
        place = int(feature.bins.locate(held.values[at : at + 1])[0])
        return max(float(feature.bins.shares[place]), 1 / feature.bins.total) if place >= 0 else 1.0
    if isinstance(held, Coded) and feature.levels is not None:
        places, _ = feature.levels.located(held)
        return max(float(feature.levels.shares[places[held.codes[at]]]), 1 / max(feature.levels.total, 1))
    return 1.0


def _value(sample: Sample, at: int) -> object:
    held = sample.held
    return held.levels[held.codes[at]] if isinstance(held, Coded) else float(held.values[at])


def _shown(value: object, sample: Sample) -> str:
    feature = sample.feature
    return words.number(value, feature.kind, feature.type) if isinstance(value, float) else f"'{value}'"


def _overlap(one: Span, other: Span) -> bool:
    shared = min(one[0] + one[1], other[0] + other[1]) - max(one[0], other[0])
    return shared >= 0.8 * max(one[1], other[1])
