"""What was seen of a folder's files when they were last read, so that what did not change is not read again.

A file counts as unchanged while its size, its times of change (of content and of its entry, in nanoseconds)
and its number on the file system are the same. A file that was changed less than two seconds before it was
looked at is not remembered: another change in the same instant would not show (git's "racy" entries).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
from blake3 import blake3

from everloop.data.folders import Found
from everloop.data.listing import Listed
from everloop.flows.project import Project

_FORMAT = b"everloop.seen/1\n"
_SEAL = 32
_RACY = 2_000_000_000  # nanoseconds
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("changed", pa.int64()),
        ("inode", pa.uint64()),
        ("digest", pa.binary()),
        ("chunks", pa.large_binary()),
    ]
)
Known = Mapping[str, tuple[tuple[int, int, int, int], bytes, bytes]]


class Seen:
    """Of one folder, one hash algorithm and one tenant."""

    def __init__(self, project: Project, root: Path, algorithm: str) -> None:
        name = sha256(f"{project.tenant}\n{algorithm}\n{root.resolve()}".encode()).hexdigest()[:24]
        self._file = project.settings.state / "seen" / f"{name}.arrow"
        self._write = project.write_file
        self._begun = project.clock.now().timestamp() * 1e9
        self._known = self._load()

    def recall(self, found: Found) -> tuple[bytes, bytes] | None:
        """The digest and chunks of a file that did not change."""
        known = self._known.get(found.path)
        if known is None or known[0] != (found.size, found.modified, found.changed, found.inode):
            return None
        return known[1:]

    def remember(self, files: Sequence[Found], listed: Sequence[Listed]) -> None:
        """Keep what is known now of a folder's files."""
        calm = [
            (f.path, f.size, f.modified, f.changed, f.inode, row.digest, row.chunks)
            for f, row in zip(files, listed, strict=True)
            if max(f.modified, f.changed) < self._begun - _RACY
        ]
        if {row[0]: (row[1:5], *row[5:]) for row in calm} == self._known:
            return
        columns = list(zip(*calm, strict=True)) or [()] * len(_SCHEMA)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        content = _FORMAT + sink.getvalue().to_pybytes()
        self._write(self._file, content + blake3(content).digest())

    def _load(self) -> Known:
        """Nothing where it is not there or not what was written: then all is read again."""
        try:
            data = self._file.read_bytes()
        except OSError:
            return {}
        content, sum_ = data[:-_SEAL], data[-_SEAL:]
        if not content.startswith(_FORMAT) or blake3(content).digest() != sum_:
            return {}
        columns = pa.ipc.open_file(pa.BufferReader(content[len(_FORMAT) :])).read_all().columns
        path, size, modified, changed, inode, digest, chunks = (column.to_pylist() for column in columns)
        stats = zip(size, modified, changed, inode, strict=True)
        return dict(zip(path, zip(stats, digest, chunks, strict=True), strict=True))
