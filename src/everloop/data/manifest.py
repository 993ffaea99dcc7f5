"""What a version of a table is made of: which segments, in which order.

The rows of a version lie in *strips* (runs of rows that all columns cut alike). Each column has one segment a
strip, and *patches*: later changes of single values, by position. Strips hold the rows in the order in which
they were first stored; ``order`` says which of them this version has, and in what order, as runs (start,
length). So appended rows are new strips, changed values are patches, and deleted, inserted or reordered rows
are another order: what did not change is never stored again. A strip none of whose rows are left keeps its
place, without segments.

A manifest is JSON, compressed, with the BLAKE3 hash of everything before it at its end.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import blake3
import pyarrow as pa
import pyarrow.types as kinds

from everloop.core.errors import Corrupt

from .identity import LEAF
from .packs import Pack, Ref

FORMAT = 1
_CODEC = pa.Codec("zstd", 9)
_SEAL = 32


@dataclass(frozen=True)
class StoredColumn:
    """``segments``: one a strip, None where no row of the strip is left. ``patches``: oldest first.
    ``levels``: the values of a dictionary, in its order. ``marks``: the fingerprint of each block;
    ``summaries``: what its statistics are made of, in large tables; ``leaves``: what its digest is."""

    digest: str
    segments: tuple[Ref | None, ...]
    patches: tuple[Ref, ...] = ()
    levels: tuple[Ref, ...] | None = None
    marks: tuple[bytes, ...] = ()
    summaries: tuple[Ref, ...] = ()
    leaves: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """``strips``: rows of each; ``key``: the columns by which rows are recognised in the next version;
    ``blocks``: where the blocks end that have fingerprints (``survey``). Of a version of files (``kind``
    "files") the table is their ``listing``, and ``chunks`` are those of the packs that hold their content."""

    version_id: str
    algorithm: str
    rows: int
    schema: pa.Schema
    columns: tuple[StoredColumn, ...]
    strips: tuple[int, ...]
    order: Ref | None
    key: tuple[str, ...]
    blocks: tuple[int, ...]
    packs: tuple[Pack, ...]
    kind: str = "table"
    chunks: tuple[Pack, ...] = ()

    @property
    def table_packs(self) -> tuple[Pack, ...]:
        """The packs of the table itself."""
        content = set(self.chunks)
        return tuple(pack for pack in self.packs if pack not in content)

    def column(self, name: str) -> StoredColumn:
        at: int = self.schema.names.index(name)
        return self.columns[at]


def refs(columns: Iterable[StoredColumn], order: Ref | None) -> Iterable[Ref]:
    """Everything that columns and an order point at."""
    for column in columns:
        yield from (ref for ref in column.segments if ref is not None)
        yield from column.patches
        yield from column.levels or ()
        yield from column.summaries
    if order is not None:
        yield order


def dump(manifest: Manifest) -> bytes:
    """The bytes of a manifest."""
    numbers = {pack.id: number for number, pack in enumerate(manifest.packs)}
    document = {
        "format": FORMAT,
        "kind": manifest.kind,
        "version_id": manifest.version_id,
        "algorithm": manifest.algorithm,
        "rows": manifest.rows,
        "schema": base64.b64encode(_writable(manifest.schema).serialize()).decode(),
        "dictionaries": {
            str(at): [str(field.type.index_type), field.type.ordered]
            for at, field in enumerate(manifest.schema)
            if _is_unwritable(field.type)
        },
        "columns": [
            {
                "digest": column.digest,
                "segments": _runs(column.segments, numbers),
                "patches": _runs(column.patches, numbers),
                "levels": None if column.levels is None else _runs(column.levels, numbers),
                "summaries": _runs(column.summaries, numbers),
                "marks": base64.b64encode(b"".join(column.marks)).decode(),
                "leaves": base64.b64encode(b"".join(column.leaves)).decode(),
            }
            for column in manifest.columns
        ],
        "strips": manifest.strips,
        "order": _runs([manifest.order], numbers),
        "key": manifest.key,
        "blocks": manifest.blocks,
        "packs": [[pack.id, pack.size, *pack.index, pack.check] for pack in manifest.packs],
        "chunks": [numbers[pack.id] for pack in manifest.chunks],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    return seal(text)


def load(data: bytes) -> Manifest:
    """A manifest from its bytes. Raises Corrupt if any of them changed, if it contradicts itself, or if a
    newer release wrote it."""
    document = read(data)
    try:
        found = _manifest(document)
    except (KeyError, IndexError, TypeError, ValueError, pa.ArrowException) as error:
        raise Corrupt(f"A manifest cannot be understood: {error!r}.") from error
    strips = len(found.strips)
    if len(found.columns) != len(found.schema) or any(len(c.segments) != strips for c in found.columns):
        raise Corrupt("A manifest contradicts itself: its columns do not fit its schema and strips.")
    if found.order is None and found.rows > sum(found.strips):
        raise Corrupt("A manifest contradicts itself: it names more rows than its strips hold.")
    return found


def _manifest(document: Mapping[str, Any]) -> Manifest:
    packs = packs_in(document)
    return Manifest(
        version_id=document["version_id"],
        algorithm=document["algorithm"],
        rows=document["rows"],
        schema=_schema(document),
        columns=tuple(
            StoredColumn(
                column["digest"],
                tuple(_unrun(column["segments"], packs)),
                tuple(_present(_unrun(column["patches"], packs))),
                None if column["levels"] is None else tuple(_present(_unrun(column["levels"], packs))),
                _cut(column["marks"], len(document["blocks"])),
                tuple(_present(_unrun(column["summaries"], packs))),
                _cut(column["leaves"], -(-document["rows"] // LEAF)),
            )
            for column in document["columns"]
        ),
        strips=tuple(document["strips"]),
        order=_unrun(document["order"], packs)[0],
        key=tuple(document["key"]),
        blocks=tuple(document["blocks"]),
        packs=packs,
        kind=document["kind"],
        chunks=tuple(packs[number] for number in document["chunks"]),
    )


def _is_unwritable(kind: pa.DataType) -> bool:
    """Arrow's own form of a schema cannot tell a dictionary of an extension from an extension of one."""
    return bool(kinds.is_dictionary(kind) and isinstance(kind.value_type, pa.BaseExtensionType))


def _writable(schema: pa.Schema) -> pa.Schema:
    plain = [f.with_type(f.type.value_type) if _is_unwritable(f.type) else f for f in schema]
    return pa.schema(plain, metadata=schema.metadata)


def _schema(document: Mapping[str, Any]) -> pa.Schema:
    found = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(document["schema"])))
    for at, (index, ordered) in document["dictionaries"].items():
        field = found.field(int(at))
        kind = pa.dictionary(pa.type_for_alias(index), field.type, ordered)
        found = found.set(int(at), field.with_type(kind))
    return found


def seal(text: bytes) -> bytes:
    """A document's text, compressed, with a checksum."""
    packed: bytes = len(text).to_bytes(8, "little") + _CODEC.compress(text, asbytes=True)
    return packed + bytes(blake3.blake3(packed).digest())


def read(data: bytes) -> dict[str, Any]:
    """The checked document in a manifest's bytes, of a table or of files."""
    packed, sum_ = data[:-_SEAL], data[-_SEAL:]
    if blake3.blake3(packed).digest() != sum_:
        raise Corrupt("A manifest is damaged: its checksum does not match.")
    try:
        text = _CODEC.decompress(packed[8:], int.from_bytes(packed[:8], "little"))
        document: dict[str, Any] = json.loads(bytes(text))
    except (ValueError, MemoryError, pa.ArrowException) as error:
        raise Corrupt(f"A manifest cannot be understood: {error!r}.") from error
    if not 1 <= document.get("format", 0) <= FORMAT:
        raise Corrupt(
            f"A manifest has format {document.get('format')!r}; this release reads 1 to {FORMAT}.",
            remedy="It was written by a newer release: upgrade everloop.",
        )
    return document


def packs_in(document: Mapping[str, Any]) -> tuple[Pack, ...]:
    """The packs that a manifest's document names, of a table or of files."""
    return tuple(Pack(name, size, (at, length), check) for name, size, at, length, check in document["packs"])


def _runs(places: Iterable[Ref | None], numbers: dict[str, int]) -> list[list[int]]:
    """Places as [pack, first entry, count]; pack -1 where there is none."""
    runs: list[list[int]] = []
    for ref in places:
        pack, entry = (-1, 0) if ref is None else (numbers[ref.pack], ref.entry)
        if runs and runs[-1][0] == pack and (pack < 0 or runs[-1][1] + runs[-1][2] == entry):
            runs[-1][2] += 1
        else:
            runs.append([pack, entry, 1])
    return runs


def _unrun(runs: list[list[int]], packs: tuple[Pack, ...]) -> list[Ref | None]:
    return [
        None if pack < 0 else Ref(packs[pack].id, entry + step)
        for pack, entry, count in runs
        for step in range(count)
    ]


def _cut(text: str, count: int) -> tuple[bytes, ...]:
    """As many pieces of one length."""
    data = base64.b64decode(text)
    size = len(data) // max(count, 1)
    return tuple(data[at * size : (at + 1) * size] for at in range(count if data else 0))


def _present(places: Iterable[Ref | None]) -> list[Ref]:
    return [ref for ref in places if ref is not None]
