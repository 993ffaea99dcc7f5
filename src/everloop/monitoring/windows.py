"""A window of production, summarised over the reference's bins and levels.

Summaries of the same reference add up: any window over any number of servers is the sum of its parts, exactly
and in any order. One takes about as much memory as the reference, however many rows it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.errors import Corrupt, Invalid

from . import joint as together
from .columns import Coded, Floats, Ints, Numbers, read
from .levels import kept
from .packing import pack, unpack
from .reference import FeatureReference, Reference

FORMAT = 1
_BATCH = 131_072
_JOINT_ROWS = 16_384  # of a batch
_UNIT = 4_096  # of sums: steps in one standard deviation
_SQUARE = 256
_FARTHEST = 2.0**22  # standard deviations; values farther away count as this far in sums
_BLOCK = 1_024


@dataclass(frozen=True, eq=False)
class FeatureWindow:
    """``counts`` are those of the reference's bins or levels. ``total`` and ``squares`` sum the values as
    distances from the reference's mean in its standard deviations, in whole steps so that they add exactly.
    ``named`` holds levels that are new to the reference (at most 64), ``new`` counts the rows of all such
    (in earlier releases 0), ``strange`` rows whose type does not fit, by type: of those nothing else is
    counted."""

    rows: int
    missing: int
    counts: Ints
    negative: int = 0
    positive: int = 0
    empty: int = 0
    total: int = 0
    squares: int = 0
    minimum: float | None = None
    maximum: float | None = None
    named: Mapping[str, int] = field(default_factory=dict)
    strange: Mapping[str, int] = field(default_factory=dict)
    new: int = 0

    @property
    def present(self) -> int:
        """Rows with a finite value, or a level."""
        return int(self.counts.sum())

    def mean(self, reference: FeatureReference) -> float | None:
        """None without values, and where some lie too far off to be added up."""
        if not self.present or self._far(reference):
            return None
        if self.minimum is not None and self.minimum == self.maximum:
            return self.minimum
        return reference.centre + reference.scale * (self.total / _UNIT / self.present)

    def deviation(self, reference: FeatureReference) -> float | None:
        """None where there is no mean."""
        if not self.present or self._far(reference):
            return None
        if self.minimum is not None and self.minimum == self.maximum:
            return 0.0
        mean = self.total / _UNIT / self.present
        return float(reference.scale * np.sqrt(max(self.squares / _SQUARE / self.present - mean**2, 0.0)))

    def _far(self, reference: FeatureReference) -> bool:
        if self.minimum is None or self.maximum is None or self.minimum == self.maximum:
            return False
        reach = _FARTHEST * reference.scale
        return self.minimum < reference.centre - reach or self.maximum > reference.centre + reach

    def __add__(self, other: FeatureWindow) -> FeatureWindow:
        return FeatureWindow(
            self.rows + other.rows,
            self.missing + other.missing,
            self.counts + other.counts,
            self.negative + other.negative,
            self.positive + other.positive,
            self.empty + other.empty,
            self.total + other.total,
            self.squares + other.squares,
            min((each.minimum for each in (self, other) if each.minimum is not None), default=None),
            max((each.maximum for each in (self, other) if each.maximum is not None), default=None),
            kept(Counter(self.named) + Counter(other.named)),
            dict(sorted((Counter(self.strange) + Counter(other.strange)).items())),
            self.new + other.new,
        )


@dataclass(frozen=True, eq=False)
class Window:
    """``slots``: rows of each phase of the reference, and last of those whose phase is unknown. ``absent``:
    rows without the column, ``unknown``: rows with a column that the reference does not have."""

    rows: int
    features: Mapping[str, FeatureWindow]
    joint: together.Sums
    slots: Ints
    absent: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)

    def merge(self, other: Window) -> Window:
        """Of the rows of both. They must be of one reference."""
        if self.features.keys() != other.features.keys() or any(
            one.counts.size != other.features[name].counts.size for name, one in self.features.items()
        ):
            raise Invalid(
                "These windows are of different references and do not add up.",
                remedy="Summarise both over the same reference.",
            )
        return Window(
            self.rows + other.rows,
            {name: one + other.features[name] for name, one in self.features.items()},
            self.joint + other.joint,
            self.slots + other.slots,
            dict(Counter(self.absent) + Counter(other.absent)),
            dict(Counter(self.unknown) + Counter(other.unknown)),
        )

    def to_document(self) -> dict[str, Any]:
        tree = {
            "features": {
                name: {each: getattr(one, each) for each in FeatureWindow.__dataclass_fields__}
                for name, one in self.features.items()
            },
            "joint": {each: getattr(self.joint, each) for each in together.Sums.__dataclass_fields__},
            "slots": self.slots,
            "absent": dict(sorted(self.absent.items())),
            "unknown": dict(sorted(self.unknown.items())),
        }
        return {"format": FORMAT, "rows": self.rows, "packed": pack(tree)}

    @staticmethod
    def from_document(reference: Reference, document: Mapping[str, Any]) -> Window:
        """Raises Corrupt where it is damaged, of a newer release or of another reference."""
        if document.get("format") != FORMAT:
            raise Corrupt(
                f"A window of monitoring has format {document.get('format')!r}; this release reads {FORMAT}.",
                remedy="Upgrade everloop.",
            )
        try:
            tree = unpack(document["packed"])
            window = Window(
                document["rows"],
                {name: FeatureWindow(**one) for name, one in tree["features"].items()},
                together.Sums(**tree["joint"]),
                tree["slots"],
                tree["absent"],
                tree["unknown"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"A window of monitoring is damaged: {error!r}.") from error
        fits = {name: _width(one) for name, one in reference.features.items()}
        if fits != {name: one.counts.size for name, one in window.features.items()}:
            raise Corrupt(
                "This window was summarised over another reference.",
                remedy="Read it with the reference of the model version it belongs to.",
            )
        return window


def summarise(reference: Reference, table: pa.Table, *, phases: Sequence[Any] | str | None = None) -> Window:
    """The window of a table. ``phases``: a label a row, or one for all rows, as in the reference.

    Columns that the reference has and the table lacks, columns it does not have, and columns whose type
    changed are counted as such. No rows are a window like another.
    """
    codes = _slots(reference, phases, table.num_rows)
    parts = [
        _of_batch(reference, table.slice(start, _BATCH), codes[start : start + _BATCH])
        for start in range(0, max(table.num_rows, 1), _BATCH)
    ]
    return merge(parts)


def merge(windows: Iterable[Window]) -> Window:
    """Of the rows of all: at least one window."""
    return reduce(Window.merge, windows)


def _slots(reference: Reference, phases: Sequence[Any] | str | None, rows: int) -> Ints:
    count = len(reference.slots)
    if phases is None or not count:
        return np.full(rows, count, dtype=np.int64)
    places = {label: place for place, label in enumerate(reference.slots)}
    if isinstance(phases, str):
        return np.full(rows, places.get(phases, count), dtype=np.int64)
    if len(phases) != rows:
        raise Invalid(
            f"'phases' has {len(phases)} values and the table {rows} rows.", remedy="Give one label a row."
        )
    return np.asarray([places.get(str(label), count) for label in phases], dtype=np.int64)


def _width(feature: FeatureReference) -> int:
    held = feature.bins or feature.levels
    return held.counts.size if held is not None else 1


def _of_batch(reference: Reference, table: pa.Table, codes: Ints) -> Window:
    rows, names = table.num_rows, reference.joint.names
    sampled, _ = together.sample(rows, _JOINT_ROWS)
    scores = np.zeros((len(sampled), len(names)), dtype=np.int16)
    present = np.zeros((len(sampled), len(names)), dtype=bool)
    columns = {name: place for place, name in enumerate(names)}
    here = set(table.column_names)
    features, absent = {}, {}
    for name, feature in reference.features.items():
        none = np.zeros(_width(feature), dtype=np.int64)
        if name not in here:
            absent[name] = rows
            features[name] = FeatureWindow(0, 0, none)
            continue
        column = table.column(name)
        held = read(column, feature.kind)
        if held is None:
            features[name] = FeatureWindow(rows, 0, none, strange={str(column.type): rows})
        elif isinstance(held, Coded):
            features[name] = _of_levels(feature, held)
        else:
            features[name], located = _of_numbers(feature, held)
            if name in columns and feature.bins is not None:
                picked = located[sampled]
                place = columns[name]
                present[:, place] = picked >= 0
                scores[:, place] = np.where(picked >= 0, feature.bins.scores[picked], 0)
    if len(reference.slots):
        means = np.vstack([reference.joint.slots, np.zeros((1, len(names)), dtype=np.int64)])
        scores = np.where(present, scores - means[codes[sampled]], 0).astype(np.int16)
    return Window(
        rows,
        features,
        together.sums_of(scores, present),
        np.bincount(codes, minlength=len(reference.slots) + 1).astype(np.int64),
        {name: count for name, count in absent.items() if count},
        {name: rows for name in table.column_names if name not in reference.features and rows},
    )


def _of_levels(feature: FeatureReference, held: Coded) -> FeatureWindow:
    levels = feature.levels
    if levels is None:
        raise Invalid(f"'{feature.name}' has no levels in the reference.")
    rows = np.bincount(held.codes + 1, minlength=len(held.levels) + 1)[1:]
    places, keys = levels.located(held)
    counts = np.zeros(levels.counts.size, dtype=np.int64)
    np.add.at(counts, places, rows[: len(places)])
    new = Counter[str]()
    for place in np.flatnonzero((places >= len(levels.names)) & (rows[: len(places)] > 0)):
        if levels.is_new(keys[place]):
            new[keys[place]] += int(rows[place])
    present = int(counts.sum())
    return FeatureWindow(len(held.codes), len(held.codes) - present, counts, named=kept(new), new=new.total())


def _of_numbers(feature: FeatureReference, held: Numbers) -> tuple[FeatureWindow, Ints]:
    values = held.values
    if feature.bins is None:
        missing = int(np.isnan(values).sum())
        return FeatureWindow(values.size, missing, np.asarray([values.size - missing])), np.zeros(0, np.int64)
    located = feature.bins.locate(values)
    present = located >= 0
    whole = bool(present.all())
    counts = np.bincount(located if whole else located[present], minlength=feature.bins.counts.size)
    finite = values if whole else values[present]
    missing = 0 if whole else int(np.isnan(values).sum())
    infinite = values[np.isinf(values)] if finite.size + missing < values.size else finite[:0]
    total, squares = _sums(finite, feature)
    negative = int((infinite < 0).sum())
    return FeatureWindow(
        values.size,
        missing,
        counts,
        negative,
        infinite.size - negative,
        held.empty,
        total,
        squares,
        float(finite.min()) if finite.size else None,
        float(finite.max()) if finite.size else None,
    ), located


def _sums(finite: Floats, feature: FeatureReference) -> tuple[int, int]:
    """As whole numbers; sums of blocks do not leave 64 bits, and Python's integers hold the rest."""
    total = squares = 0
    for start in range(0, finite.size, _BLOCK * 32):
        with np.errstate(over="ignore"):
            some = finite[start : start + _BLOCK * 32]
            far = (some - feature.centre) / feature.scale
            if not np.isfinite(far).all():
                far = some / feature.scale - feature.centre / feature.scale
        np.clip(far, -_FARTHEST, _FARTHEST, out=far)
        total += int(np.rint(far * _UNIT).astype(np.int64).sum())
        steps = np.rint(far * far * _SQUARE).astype(np.int64)
        squares += sum(np.add.reduceat(steps, np.arange(0, steps.size, _BLOCK)).tolist())
    return total, squares
