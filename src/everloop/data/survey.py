"""A table looked over before it is stored: its values, its id, and fingerprints of blocks of its rows.

Blocks are cut by what the rows are (``rows.cuts``), so most blocks of a table that changed a little are
blocks of the version before. Where a block's fingerprint in a column is known, its values need not be looked
at again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.types as kinds

from . import identity, rows, values
from .manifest import Manifest
from .rows import Hashes
from .values import Others, Values

Marks = tuple[bytes, ...]
MARK = 24  # bytes of a block's fingerprint that are kept


@dataclass(frozen=True)
class Survey:
    """``hashes``: of each row's key; ``ends``: where blocks end; ``marks``: of each column, by block."""

    table: pa.Table
    algorithm: str
    version_id: str
    columns: dict[str, Values]
    digests: dict[str, str]
    key: tuple[str, ...]
    hashes: Hashes
    ends: tuple[int, ...]
    marks: dict[str, Marks]

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First row and end of each block."""
        return list(pairwise((0, *self.ends)))

    def key_marks(self) -> list[tuple[bytes, ...]]:
        """The fingerprints of each block's key."""
        return list(zip(*(self.marks[name] for name in self.key), strict=True))


def survey(table: pa.Table, algorithm: str, before: Manifest | None = None) -> Survey:
    """Look over ``table``, as a successor of ``before``.

    Raises InvalidSettings for an unknown algorithm, WrongType for what cannot be versioned.
    """
    identity.check(table.schema, algorithm)
    with ThreadPoolExecutor() as pool:
        columns = dict(zip(table.column_names, pool.map(values.of, table.columns), strict=True))
        if before is not None and before.algorithm != algorithm:
            before = None  # the digests are of another kind
        key = before.key if before and all(_tells_rows(columns.get(name)) for name in before.key) else ()
        key = key or rows.choose_key(columns)
        hashes = rows.hashes(columns, key, table.num_rows)
        ends = tuple(rows.cuts(hashes, table.nbytes / max(table.num_rows, 1)))
        blocks = list(pairwise((0, *ends)))

        def marked(name: str) -> Marks:
            return tuple(columns[name].cut(*block).fingerprint()[:MARK] for block in blocks)

        marks = dict(zip(columns, pool.map(marked, columns), strict=True))
        known = _known(before, key, ends, marks)

        def digested(name: str) -> str:
            return known.get(name) or _digest(table[name], columns[name], algorithm)

        digests = dict(zip(columns, pool.map(digested, columns), strict=True))
    version_id = identity.assemble(table.schema, table.num_rows, list(digests.values()), algorithm)
    return Survey(table, algorithm, version_id, columns, digests, key, hashes, ends, marks)


def _tells_rows(found: Values | None) -> bool:
    """Whether a column can be part of a key."""
    return found is not None and not isinstance(found, Others)


def _known(
    before: Manifest | None, key: tuple[str, ...], ends: tuple[int, ...], marks: dict[str, Marks]
) -> dict[str, str]:
    """The digests of columns that are block by block what they were."""
    if before is None or before.key != key or before.blocks != ends or not ends:
        return {}
    same = zip(before.schema, before.columns, strict=True)
    return {
        field.name: column.digest
        for field, column in same
        if marks.get(field.name) == column.marks and not _ordered(field.type)
    }


def _digest(column: pa.ChunkedArray, found: Values, algorithm: str) -> str:
    if _ordered(column.type):  # the order of the levels is part of what it is
        return identity.column_digest(column, algorithm)
    array = found.to_arrow() if not isinstance(found, values.Texts | Others) else found.array
    return identity.column_digest(pa.chunked_array([array]), algorithm)


def _ordered(kind: pa.DataType) -> bool:
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return bool(kinds.is_dictionary(kind) and kind.ordered)
