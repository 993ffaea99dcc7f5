"""What usual data look like: a summary of the data a model was made of, to which windows are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.errors import Corrupt, EmptyTable, Invalid

from . import chunks as time_chunks
from . import joint as together
from .bins import Bins, edges_of
from .chunks import Dependence
from .columns import MOST_LEVELS, Coded, Floats, Ints, Kind, Numbers, kind_of, read
from .joint import Joint
from .levels import Levels, levels_of
from .packing import pack, unpack

FORMAT = 1
MOST_SLOTS = 64
_GROUPS = 64  # of bins, kept for each phase
_JOINT_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class FeatureReference:
    """One feature. ``bins`` of a number, date or text's length; ``levels`` of a category or boolean; neither
    of a type of which only missing values are watched.

    ``negative`` and ``positive`` count infinities, which are in no bin; NaN is missing. ``centre`` and
    ``scale`` are mean and standard deviation (1 where it does not vary). ``dependence`` has a column for each
    component of ``bins``, one for the largest distance of the two distributions and one for missing values;
    of a category one for each level and one for missing values. ``slots`` counts groups of bins, or levels,
    by phase.
    """

    name: str
    kind: Kind
    type: str
    rows: int
    missing: int
    bins: Bins | None
    levels: Levels | None
    dependence: Dependence
    negative: int = 0
    positive: int = 0
    empty: int = 0
    centre: float = 0.0
    scale: float = 1.0
    minimum: float | None = None
    maximum: float | None = None
    slots: Ints = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    slots_missing: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def constant(self) -> bool:
        """All values that are there are one."""
        if self.levels is not None:
            return int((self.levels.counts > 0).sum()) <= 1
        return self.minimum == self.maximum

    @cached_property
    def groups(self) -> Ints:
        """To which group each bin belongs."""
        return groups_of(self.bins.counts.size if self.bins else 0)


def groups_of(bins: int) -> Ints:
    """The group of each bin: 64 of equal size at most."""
    return np.arange(bins) * min(_GROUPS, bins) // max(bins, 1)


@dataclass(frozen=True, eq=False)
class Reference:
    """``slots`` are the phases that the reference tells apart (hours of the day, say), ``slot_rows`` the rows
    of each."""

    rows: int
    features: Mapping[str, FeatureReference]
    joint: Joint
    slots: tuple[str, ...] = ()
    slot_rows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def calibrated(self) -> bool:
        """Whether there are rows enough (160) to know how they depend on each other."""
        return time_chunks.count_of(self.rows) > 0

    def to_document(self) -> dict[str, Any]:
        return {"format": FORMAT, "rows": self.rows, "packed": pack(_tree(self))}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Reference:
        """Raises Corrupt where it is damaged or of a newer release."""
        number = document.get("format")
        if number != FORMAT:
            raise Corrupt(
                f"A reference of monitoring has format {number!r}; this release reads {FORMAT}.",
                remedy="Upgrade everloop, or make a new reference.",
            )
        try:
            return _reference(unpack(document["packed"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(
                f"A reference of monitoring is damaged: {error!r}.", remedy="Make a new reference."
            ) from error


def build(
    table: pa.Table, *, order: Sequence[Any] | None = None, phases: Sequence[Any] | None = None
) -> Reference:
    """The reference of a table whose rows stand in the order of time, or are put so by ``order``, one value
    a row. Windows that follow it are judged by how much its own chunks of time differ, so the order matters:
    in a shuffled table all rows look independent.

    ``phases``: one label a row (hour of the day, weekday …), at most 64 different. Windows that say their
    phases are compared with the same phases.

    Any column may be constant, all missing or of a type that is not watched. One row, or infinite values, are
    counted as they are. Fewer than 160 rows are *uncalibrated*: rows are then taken as independent, and
    results say so. Raises EmptyTable for no columns or no rows.
    """
    if not table.num_columns or not table.num_rows:
        raise EmptyTable(
            f"A reference needs rows and columns; the table has {table.num_rows} rows and "
            f"{table.num_columns} columns.",
            remedy="Give the data that the model was trained on.",
        )
    for name, given in (("order", order), ("phases", phases)):
        if given is not None and len(given) != table.num_rows:
            raise Invalid(
                f"'{name}' has {len(given)} values and the table {table.num_rows} rows.",
                remedy="Give one value a row.",
            )
    labels, codes = _phases(phases)
    if order is not None:
        keys = np.asarray(order)
        if (keys[1:] < keys[:-1]).any():
            by_time = np.argsort(keys, kind="stable")
            table, codes = table.take(by_time), codes[by_time] if codes.size else codes
    return _Builder(table, labels, codes).build()


def _phases(phases: Sequence[Any] | None) -> tuple[tuple[str, ...], Ints]:
    if phases is None:
        return (), np.zeros(0, dtype=np.int64)
    labels, codes = np.unique(np.asarray([str(label) for label in phases]), return_inverse=True)
    if len(labels) > MOST_SLOTS:
        raise Invalid(
            f"{len(labels)} different phases are too many; at most {MOST_SLOTS} are kept.",
            remedy="Use the hour of the day or the weekday.",
        )
    return tuple(map(str, labels)), codes.astype(np.int64)


class _Builder:
    def __init__(self, table: pa.Table, labels: tuple[str, ...], codes: Ints) -> None:
        self.table, self.labels, self.codes = table, labels, codes
        self.rows = table.num_rows
        self.slot_rows = np.bincount(codes, minlength=len(labels)).astype(np.int64)
        self.chunks = time_chunks.count_of(self.rows)
        self.chunk = np.arange(self.rows) * self.chunks // self.rows
        if labels and self.chunks:
            cells = np.bincount(self.chunk * len(labels) + codes, minlength=self.chunks * len(labels))
            self.chunk_slots = cells.reshape(self.chunks, -1)
        self.sampled, self.run = together.sample(self.rows, _JOINT_ROWS)
        self.scores: dict[str, tuple[Any, Any]] = {}

    def build(self) -> Reference:
        features = {name: self.feature(name) for name in self.table.column_names}
        return Reference(self.rows, features, self.joint(), self.labels, self.slot_rows)

    def feature(self, name: str) -> FeatureReference:
        column = self.table.column(name)
        kind = kind_of(column)
        held = read(column, kind)
        if isinstance(held, Coded) and len(held.levels) > MOST_LEVELS:
            kind, held = "text", read(column, "text")
        if isinstance(held, Numbers):
            return self.number(name, kind, str(column.type), held)
        if held is None:
            raise Invalid(f"Column '{name}' of type {column.type} cannot be read as {kind}.")
        levels = levels_of(held)
        places, _ = levels.located(held)
        width = levels.counts.size
        located = np.append(places, width)[held.codes] if len(places) else np.full(self.rows, width)
        cells = self.cells(located, width)
        slots, missing, dependence = self.counted(cells, located, np.eye(width), levels.shares)
        return FeatureReference(
            name, kind, str(column.type), self.rows, int((held.codes < 0).sum()), None, levels, dependence,
            slots=slots, slots_missing=missing,
        )  # fmt: skip

    def number(self, name: str, kind: Kind, type_name: str, held: Numbers) -> FeatureReference:
        values = held.values
        is_finite = np.isfinite(values)
        whole = bool(is_finite.all())
        finite = values if whole else values[is_finite]
        edges = edges_of(finite)
        width = edges.size + 1
        located = Bins(edges, np.zeros(width, dtype=np.int64)).locate(values)
        located = located if whole else np.where(is_finite, located, width)
        cells = self.cells(located, width)
        bins = Bins(edges, cells.sum(axis=0)[:width])
        groups = groups_of(width)
        first = np.flatnonzero(np.diff(groups, prepend=-1))  # of each group of bins
        shares = np.add.reduceat(bins.shares, first)
        components = np.add.reduceat(bins.shares[:, None] * bins.components, first, axis=0)
        components /= np.maximum(shares, 1e-300)[:, None]
        cells = np.column_stack([np.add.reduceat(cells[:, :width], first, axis=1), cells[:, width]])
        grouped = np.append(groups, first.size)[located] if self.labels else located
        slots, gone, dependence = self.counted(cells, grouped, components, shares, ks=True)
        missing = 0 if whole else int(np.isnan(values).sum())
        infinite = values[np.isinf(values)] if finite.size + missing < values.size else finite[:0]
        centre, scale = _moments(finite)
        least, most = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
        if kind == "number" and least != most:
            picked = located[self.sampled]
            self.scores[name] = (
                np.append(bins.scores, 0)[picked].astype(np.int16),
                picked < width,
            )
        return FeatureReference(
            name, kind, type_name, self.rows, missing, bins if kind != "other" else None, None, dependence,
            negative=int((infinite < 0).sum()),
            positive=int((infinite > 0).sum()),
            empty=held.empty,
            centre=centre,
            scale=scale,
            minimum=least,
            maximum=most,
            slots=slots,
            slots_missing=gone,
        )  # fmt: skip

    def cells(self, located: Ints, width: int) -> Ints:
        """Rows of each place in each chunk of time; the last place is missing."""
        size = max(self.chunks, 1)
        at = located if size == 1 else self.chunk * (width + 1) + located
        return np.bincount(at, minlength=size * (width + 1)).reshape(size, -1)

    def counted(
        self, cells: Ints, located: Ints, components: Floats, shares: Floats, *, ks: bool = False
    ) -> tuple[Ints, Ints, Dependence]:
        """By phase: rows of each bin or level, and missing rows. And how means of ``components`` and the
        share of missing values depend on time."""
        width = cells.shape[1] - 1
        count = len(self.labels)
        slots = (
            np.bincount(self.codes * (width + 1) + located, minlength=count * (width + 1)) if count else None
        )
        by_slot = slots.reshape(count, -1) if slots is not None else np.zeros((0, width + 1), dtype=np.int64)
        gone = by_slot[:, width]
        columns = components.shape[1] + ks + 1
        if not self.chunks:
            return by_slot[:, :width], gone, time_chunks.nothing(columns)
        seen = cells.astype(np.float64)
        missing = float(seen[:, width].sum()) / self.rows
        expected = self.expected(seen, by_slot, np.append(shares * (1 - missing), missing))
        off = seen - expected
        rows = self.rows / self.chunks
        fourth = shares @ components**4
        middle = shares @ components
        variance = shares @ components**2 - middle**2
        kurtosis = fourth / np.maximum(variance, 1e-12) ** 2 - 3
        present = 1 - missing
        # means over rows that have a value: what missing values take away is no change of them
        inner = off[:, :width] - (seen[:, :width].sum(axis=1, keepdims=True)
                                  - expected[:, :width].sum(axis=1, keepdims=True)) * shares  # fmt: skip
        parts = [time_chunks.fit(inner @ components, rows, variance * present, kurtosis)]
        if ks:
            pointwise = np.cumsum(inner, axis=1)[:, :-1]
            parts.append(time_chunks.highest(time_chunks.fit(pointwise, rows, 0.25 * present, margin=1.0))
                         if width > 1 else _same_sizes(parts[0], 1))  # fmt: skip
        share = missing * (1 - missing)
        parts.append(time_chunks.fit(off[:, width:], rows, share, 1 / share - 6 if share else 0.0))
        return by_slot[:, :width], gone, time_chunks.beside(parts)

    def expected(self, seen: Floats, by_slot: Ints, overall: Floats) -> Floats:
        """Rows of each place in each chunk, as its phases make them."""
        if not self.labels:
            return np.asarray(seen.sum(axis=1, keepdims=True) * overall)
        return np.asarray(self.chunk_slots @ (by_slot / np.maximum(self.slot_rows, 1)[:, None]))

    def joint(self) -> Joint:
        names = tuple(self.scores)[: together.MOST]
        width = len(names)
        none = np.zeros((len(self.labels), width), dtype=np.int64)
        if width < 2:
            return Joint(names, together.empty(width), time_chunks.nothing(0), none)
        scores = np.column_stack([self.scores[name][0] for name in names])
        present = np.column_stack([self.scores[name][1] for name in names])
        slots = none
        if self.labels:
            codes = self.codes[self.sampled]
            for place in range(len(self.labels)):
                mine = codes == place
                held = np.maximum(present[mine].sum(axis=0), 1)
                slots[place] = np.rint(scores[mine].sum(axis=0) / held)
            scores = np.where(present, scores - slots[codes], 0).astype(np.int16)
        sums = together.sums_of(scores, present)
        return Joint(names, sums, self.joint_dependence(scores, present, sums), slots)

    def joint_dependence(self, scores: Any, present: Any, sums: together.Sums) -> Dependence:
        rows, pairs = len(scores), scores.shape[1] * (scores.shape[1] - 1) // 2
        runs = rows // self.run
        count = time_chunks.count_of(rows) if runs == 1 else runs * 16
        if not count:
            return time_chunks.nothing(pairs)
        moved = together.influences(scores, present, sums, count)
        first, second = np.triu_indices(scores.shape[1], 1)
        variance = (1 - sums.correlations[first, second] ** 2) ** 2
        share = (sums.pairs / rows)[first, second]
        moved = moved - moved.mean(axis=0)
        fewest = time_chunks.FEWEST if runs == 1 else runs
        return time_chunks.fit(
            moved, rows // count, np.maximum(variance * share, 1e-6), 6.0, fewest=fewest, margin=1.0
        )


def _moments(finite: Floats) -> tuple[float, float]:
    """Mean and standard deviation, 1 where there is none; in parts of the greatest where they overflow."""
    if not finite.size:
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(finite.mean()), float(finite.std())
    if not np.isfinite(mean) or not np.isfinite(deviation):
        greatest = float(np.abs(finite).max())
        mean, deviation = (float(part) * greatest for part in _moments(finite / greatest))
    return mean, deviation if deviation > 0 else 1.0


def _same_sizes(like: Dependence, width: int) -> Dependence:
    none = np.zeros((like.sizes.size, width), dtype=np.int64)
    return Dependence(like.sizes, like.counts, none, none + 32)


def _tree(reference: Reference) -> dict[str, Any]:
    joint = reference.joint
    return {
        "rows": reference.rows,
        "slots": list(reference.slots),
        "slot_rows": reference.slot_rows,
        "features": [_feature_tree(feature) for feature in reference.features.values()],
        "joint": {
            "names": list(joint.names),
            "sums": {each: getattr(joint.sums, each) for each in ("pairs", "totals", "squares", "products")},
            "dependence": _dependence_tree(joint.dependence),
            "slots": joint.slots,
        },
    }


_PLAIN = (
    *("name", "kind", "type", "rows", "missing", "negative", "positive", "empty"),
    *("centre", "scale", "minimum", "maximum", "slots", "slots_missing"),
)


def _feature_tree(feature: FeatureReference) -> dict[str, Any]:
    return {
        **{each: getattr(feature, each) for each in _PLAIN},
        "bins": {"edges": feature.bins.edges, "counts": feature.bins.counts} if feature.bins else None,
        "levels": _levels_tree(feature.levels) if feature.levels else None,
        "dependence": _dependence_tree(feature.dependence),
    }


def _dependence_tree(dependence: Dependence) -> dict[str, Any]:
    return {each: getattr(dependence, each) for each in ("sizes", "counts", "effects", "peaks")}


def _levels_tree(levels: Levels) -> dict[str, Any]:
    return {
        "names": list(levels.names), "counts": levels.counts, "others": levels.others, "once": levels.once
    }  # fmt: skip


def _levels(tree: dict[str, Any] | None) -> Levels | None:
    if tree is None:
        return None
    return Levels(tuple(tree["names"]), tree["counts"], tree.get("others"), tree.get("once", 0))


def _reference(tree: dict[str, Any]) -> Reference:
    features = [
        FeatureReference(
            **{each: value for each, value in part.items() if each in _PLAIN},
            bins=Bins(**part["bins"]) if part["bins"] else None,
            levels=_levels(part["levels"]),
            dependence=Dependence(**part["dependence"]),
        )
        for part in tree["features"]
    ]
    joint = tree["joint"]
    return Reference(
        tree["rows"],
        {feature.name: feature for feature in features},
        Joint(
            tuple(joint["names"]),
            together.Sums(**joint["sums"]),
            Dependence(**joint["dependence"]),
            joint["slots"],
        ),
        tuple(tree["slots"]),
        tree["slot_rows"],
    )
