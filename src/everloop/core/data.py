"""Nouns of the data room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Column:
    """One column of a schema. ``type`` is the logical type, free of encodings: ``string``, ``int64``,
    ``float64``, ``bool``, ``timestamp[UTC]``, ``date`` …"""

    name: str
    type: str


@dataclass(frozen=True)
class ColumnStatistics:
    """What is known of one column's values. ``count`` is of the values present, ``missing`` of the others.

    ``mean``, ``std`` (sample), ``minimum``, ``maximum`` and ``quantiles`` (keys ``"0.05"`` … ``"0.95"``) are
    there for numbers, booleans (as 0 and 1) and times (seconds since 1970); ``levels`` (the most frequent
    first, at most 100) for strings and booleans. ``distinct`` counts different values.
    """

    count: int
    missing: int
    distinct: int
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetVersion:
    """One immutable content of a dataset. ``version_id`` is the hash of that content: schema and values.

    ``parent`` is the version that was the dataset's newest when this one came; ``sequence`` counts from 1.
    ``kind`` is "table" or "files" (any file or folder, as it is); ``origin`` says where the content came from
    (``dvc``: the .dvc file, ``commit``, ``md5`` …). ``bytes`` is what storing this version added.
    """

    dataset: str
    version_id: str
    sequence: int
    rows: int
    columns: tuple[Column, ...]
    statistics: Mapping[str, ColumnStatistics]
    hash_algorithm: str
    created_at: datetime
    created_by: str
    source: str
    parent: str | None = None
    bytes: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    kind: str = "table"
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def short(self) -> str:
        return self.version_id[:12]


@dataclass(frozen=True)
class DataRef:
    """A name in a dataset's history. A ``tag`` stays where it was put; a ``branch`` moves with each version
    registered on it."""

    dataset: str
    name: str
    kind: str
    version_id: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True)
class DataMove:
    """One movement of a name, the ``sequence``-th of its dataset: ``version_id`` is where it went, None where
    it was removed."""

    dataset: str
    sequence: int
    name: str
    kind: str
    version_id: str | None
    at: datetime
    by: str
    reason: str


Cell = str | int | float | bool | None
"""A value as it is shown: what JSON has no type for is text (times, decimals, lists, NaN)."""


@dataclass(frozen=True)
class ColumnChange:
    """How one column's statistics moved between two versions.

    ``shifts`` says by how much: ``mean``, ``quantiles`` and ``std`` in standard deviations (that of before,
    at most 10), ``missing`` and ``levels`` as shares of the rows. ``shift`` is the largest of them.
    """

    name: str
    before: ColumnStatistics | None
    after: ColumnStatistics | None
    shift: float = 0.0
    shifts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RowChange:
    """A row that is in both versions with some cells changed: column -> (before, after)."""

    key: Mapping[str, Cell]
    cells: Mapping[str, tuple[Cell, Cell]]


@dataclass(frozen=True)
class RowExamples:
    """The first rows of each kind, in their table's order."""

    changed: tuple[RowChange, ...] = ()
    added: tuple[Mapping[str, Cell], ...] = ()
    removed: tuple[Mapping[str, Cell], ...] = ()


@dataclass(frozen=True)
class DatasetDiff:
    """What lies between two versions.

    With a ``key`` rows of equal key are compared cell by cell over the columns ``compared``; ``key_from`` is
    "asked" or "guessed". Of rows with the same key the first is paired with the first, the second with the
    second …; ``repeated`` counts, before and after, the rows whose key had come already, ``keyless`` those
    with a missing value in the key (which equals a missing one). Without a key (``key_from`` "none") whole
    rows are compared, by content, and no row counts as changed.

    ``cells_changed`` is per column. ``columns_retyped`` maps a name to its types before and after;
    ``columns_not_compared`` are those of them whose values have nothing in common. ``columns_reordered`` are
    the fewest that must move to get from one order to the other. ``rows_reordered``: rows that both have
    stand in another order. ``changes`` has what moved most first.

    Versions of one content are compared whole, by their ids, where no key was asked for.
    """

    before: str
    after: str
    rows_added: int
    rows_removed: int
    rows_changed: int
    rows_kept: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: Mapping[str, tuple[str, str]]
    columns_reordered: tuple[str, ...]
    columns_not_compared: tuple[str, ...]
    key: tuple[str, ...]
    key_from: str
    repeated: tuple[int, int]
    keyless: tuple[int, int]
    rows_reordered: bool
    compared: tuple[str, ...]
    cells_changed: Mapping[str, int]
    examples: RowExamples
    changes: tuple[ColumnChange, ...]
