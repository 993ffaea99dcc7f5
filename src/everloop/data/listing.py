"""What a version of files is: a table with one row a file, sorted by path.

``path`` is relative with ``/``; ``kind`` is file, executable, link, or folder (only of empty ones); ``size``
is in bytes; ``digest`` is the hash of the bytes by the version's algorithm (of a link: of its target's text);
``chunks`` names the chunks that hold the bytes, 36 bytes each: the BLAKE3 hash and the length.

Format ``everloop.files/1`` of the id: the hash of a small JSON document with the format, the number of files
and the digests of the columns path, kind and digest, each as of a table's column (``identity``). So the id
does not depend on how files are cut, found, dated or owned. Golden tests pin it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from everloop.core.errors import Corrupt

from . import identity
from .patterns import matcher

FORMAT = "everloop.files/1"
FILE, EXECUTABLE, LINK, FOLDER = "file", "executable", "link", "folder"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("kind", pa.string()),
        ("size", pa.int64()),
        ("digest", pa.binary()),
        ("chunks", pa.large_binary()),
    ]
)
CHUNK = np.dtype([("mark", "V32"), ("size", "<u4")])
_NAMED = ("path", "kind", "digest")


class Listed(NamedTuple):
    """One row. ``size`` in bytes."""

    path: str
    kind: str
    size: int
    digest: bytes
    chunks: bytes


def table(rows: Iterable[Listed]) -> pa.Table:
    """The listing of files that come in any order."""
    ordered = sorted(rows)
    columns = list(zip(*ordered, strict=True)) or [()] * len(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def rows(listing: pa.Table) -> list[Listed]:
    """The rows of a listing, in its order."""
    return [Listed(*row) for row in zip(*(column.to_pylist() for column in listing.columns), strict=True)]


def version_id(listing: pa.Table, algorithm: str) -> str:
    """The id of a version of files."""
    columns = [[name, identity.column_digest(listing[name], algorithm)] for name in _NAMED]
    document = {"format": FORMAT, "files": listing.num_rows, "columns": columns}
    hasher = identity.new_hasher(algorithm)
    hasher.update(json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii"))
    return hasher.hexdigest()


def chunks_of(named: bytes) -> npt.NDArray[np.void]:
    """The chunks of a file, in order: ``mark`` and ``size`` of each."""
    if len(named) % CHUNK.itemsize:
        raise Corrupt("A listing names chunks that cannot be.")
    return np.frombuffer(named, CHUNK)


def check(listing: pa.Table) -> None:
    """Raises Corrupt where a listing names what no registration writes: paths that lead out of the folder,
    twice the same, files below files, links that lead out."""
    known = listing.schema.names == SCHEMA.names and listing.schema.types == SCHEMA.types
    if not known or any(column.null_count for column in listing.columns):
        raise Corrupt("A listing of files has other columns than it should.")
    paths = listing["path"].to_pylist()
    for path in paths:
        if not is_inside(path):
            raise Corrupt(f"A listing names the path '{path}', which is not inside of a folder.")
    for before, after in pairwise(paths):
        if before >= after:
            raise Corrupt(f"A listing names '{after}' after '{before}'.")
    whole = set(paths)
    for path in paths:
        above = path.rpartition("/")[0]
        while above:
            if above in whole:
                raise Corrupt(f"A listing names '{path}' below '{above}', which is no folder with files.")
            above = above.rpartition("/")[0]
    odd = set(listing["kind"].unique().to_pylist()) - {FILE, EXECUTABLE, LINK, FOLDER}
    if odd:
        raise Corrupt(f"A listing names a file of the kind '{min(odd)}'.")


def is_inside(path: str) -> bool:
    """Whether a relative path stays below where it begins."""
    parts = path.split("/")
    return "\0" not in path and not any(part in ("", ".", "..") for part in parts)


def leads_inside(path: str, target: str) -> bool:
    """Whether the link at ``path`` leads to something in the same folder."""
    if not target or target.startswith("/") or "\0" in target:
        return False
    depth = path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return False
    return True


def matching(listing: pa.Table, patterns: Sequence[str]) -> pa.Table:
    """The rows whose path, or a folder above it, one of the patterns names."""
    expression = matcher(patterns)
    chosen = [expression.fullmatch(path) is not None for path in listing["path"].to_pylist()]
    return listing.filter(pa.array(chosen, pa.bool_()))
