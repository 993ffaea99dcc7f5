"""Whether stored versions are what their ids say: content decoded, and the id computed anew."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor

from everloop.core.errors import Corrupt, NotFound
from everloop.data import identity
from everloop.data.manifest import Manifest
from everloop.data.stored import Stored

from .objects import Objects
from .reader import prove

_AT_ONCE = 2  # columns in memory


class Prover:
    """Proves versions; columns that many of them share, segment by segment, are decoded once."""

    def __init__(self, there: Objects) -> None:
        self._there = there
        self._digests: dict[Hashable, str] = {}

    def fault(self, version_id: str) -> str | None:
        """What is wrong with a version's content; None where it is what its id says."""
        try:
            manifest = self._there.manifest(version_id)
            if manifest.kind == "files":
                prove(self._there, manifest)
                return None
            digests = self._of_columns(manifest)
        except (Corrupt, NotFound) as error:
            return error.message
        found = identity.assemble(manifest.schema, manifest.rows, digests, manifest.algorithm)
        if found != version_id:
            return f"The content that it names is another one: {found[:12]}."
        if digests != [column.digest for column in manifest.columns]:
            return "It names wrong digests of its columns."
        return None

    def _of_columns(self, manifest: Manifest) -> list[str]:
        stored = Stored(manifest, self._there.fetcher(manifest.packs))

        def digest(at: int) -> str:
            field, column = manifest.schema.field(at), manifest.columns[at]
            whole = (column.segments, column.patches, column.levels, manifest.strips, manifest.order)
            key = (manifest.algorithm, field.type, manifest.rows, whole)
            if key not in self._digests:
                values = stored.table([field.name]).column(0)
                self._digests[key] = identity.column_digest(values, manifest.algorithm)
            return self._digests[key]

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(digest, range(len(manifest.columns))))
