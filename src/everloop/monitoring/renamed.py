"""Levels that came back under another name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from . import fits
from .columns import Coded
from .levels import key_of
from .reference import FeatureReference

_LEAST = 0.02  # of the rows
_MOST = 0.8  # of the rows with new levels
_FEW = 3
_ROWS = 30
_LIKE = 0.05


@dataclass(frozen=True)
class Renamed:
    """``pairs``: new level to the one it was; ``share`` of the rows; ``how`` in words."""

    pairs: Mapping[str, str]
    share: float
    how: str


def _mended(level: str) -> str:
    """UTF-8 that was read as Latin-1, or written so."""
    try:
        return level.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return level


def _plain(level: str) -> str:
    letters = unicodedata.normalize("NFKD", level)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _number(level: str) -> str:
    """``1``, ``01``, ``1.0`` and ``+1`` are one."""
    try:
        return f"{float(level):g}"
    except ValueError:
        return level


_WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("spaces around them", str.strip),
    ("upper and lower case", lambda level: level.strip().casefold()),
    ("another way to write numbers", lambda level: _number(level.strip())),
    ("another encoding", lambda level: _mended(level).strip().casefold()),
    ("accents", lambda level: _plain(level).strip().casefold()),
    ("punctuation", lambda level: re.sub(r"[\W_]+", "", _plain(_mended(level)).casefold())),
)


def find(feature: FeatureReference, held: Coded) -> Renamed | None:
    """New levels that are those that vanished, written otherwise; or all levels new, in the old shares."""
    levels, rows = feature.levels, held.codes[held.codes >= 0]
    if levels is None or rows.size < _ROWS:
        return None
    counts = np.bincount(rows, minlength=len(held.levels))
    seen = {key_of(level): int(counts[place]) for place, level in enumerate(held.levels) if counts[place]}
    usual = {name: float(levels.shares[place]) for place, name in enumerate(levels.names)}
    new = {name: count for name, count in seen.items() if name not in usual}
    if not levels.complete:  # it has more than it lists
        return None
    if sum(new.values()) < _LEAST * rows.size:
        return None
    kept = {name: seen.get(name, 0) / rows.size / share for name, share in usual.items() if share}
    for how, way in _WAYS:
        most = 0.05 if how == "punctuation" else 0.95  # "A+" may be new beside "A"
        once = _one_each([name for name, part in kept.items() if part < most], way)
        pairs = {name: once[way(name)] for name in new if way(name) in once}
        mapped = sum(new[name] for name in pairs)
        if mapped >= _MOST * sum(new.values()) and mapped and _as_lost(pairs, seen, usual, rows.size):
            return Renamed(pairs, mapped / rows.size, how)
    return _recoded(feature, new, usual, rows.size)


def _one_each(lost: Sequence[str], way: Callable[[str], str]) -> dict[str, str]:
    """What each vanished level is written as this way, where that tells it from the others."""
    made: dict[str, list[str]] = {}
    for name in lost:
        made.setdefault(way(name), []).append(name)
    return {written: names[0] for written, names in made.items() if len(names) == 1}


def _as_lost(
    pairs: Mapping[str, str], seen: Mapping[str, int], usual: Mapping[str, float], rows: int
) -> bool:
    """Old and new name together come about as often as the old one did."""
    together = {old: seen.get(old, 0) for old in pairs.values()}
    for new, old in pairs.items():
        together[old] += seen[new]
    was = sum(usual[old] for old in together)
    return abs(sum(together.values()) / rows - was) <= 0.25 * was + 0.02


def _recoded(
    feature: FeatureReference, new: Mapping[str, int], usual: Mapping[str, float], rows: int
) -> Renamed | None:
    if sum(new.values()) < 0.95 * rows or not _FEW <= len(usual) <= 50 or len(new) != len(usual):
        return None
    if fits.free_rows(feature, rows) < fits.LEAST:
        return None
    ranked = sorted(new, key=lambda name: -new[name])
    olds = sorted(usual, key=lambda name: -usual[name])
    off = sum(abs(new[one] / rows - usual[other]) for one, other in zip(ranked, olds, strict=True)) / 2
    if off > _LIKE:
        return None
    return Renamed(dict(zip(ranked, olds, strict=True)), sum(new.values()) / rows, "other codes, as often")
