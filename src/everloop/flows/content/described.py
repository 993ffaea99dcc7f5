"""Whether what the database says of versions can be read, and is what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt
from everloop.data import statistics
from everloop.data.manifest import Manifest
from everloop.store import datasets
from everloop.store.database import Tx


@dataclass(frozen=True)
class Unread:
    """A version whose row in the database cannot be read, and what is wrong with it."""

    dataset: str
    version_id: str
    what: str


def read_all(
    tx: Tx, known: Mapping[str, Sequence[str]], *, full: bool
) -> tuple[list[DatasetVersion], list[Unread]]:
    """The versions ``known`` (datasets by id) as the database describes them; with ``full`` their statistics
    are read as well, and not kept."""
    versions, unread = [], []
    for version_id, of in known.items():
        for dataset in of:
            try:
                found = datasets.known_version(tx, version_id, dataset, statistics=full)
            except Corrupt as error:
                unread.append(Unread(dataset, version_id, error.message))
                continue
            if found is None:  # removed since
                continue
            if (found.dataset, found.version_id) != (dataset, version_id):
                what = f"It describes {found.dataset}@{found.short} instead."
                unread.append(Unread(dataset, version_id, what))
            else:
                versions.append(replace(found, statistics={}))
    return versions, unread


def difference(version: DatasetVersion, stored: Manifest) -> str | None:
    """What the database says of a version's content that is not so."""
    if version.kind != stored.kind:
        return f"The database says that it is of kind {version.kind}, and {stored.kind} is stored."
    if version.rows != stored.rows:
        return f"The database says {version.rows} rows, and {stored.rows} are stored."
    columns = statistics.schema(stored.schema) if stored.kind == "table" else ()
    if version.columns != columns:
        wrong = [column.name for column in version.columns if column not in columns]
        lacking = [column.name for column in columns if column not in version.columns]
        said = f"it names {_named(wrong)}, and {_named(lacking)} stored"
        return f"The database has other columns: {said if wrong or lacking else 'their order is another'}."
    return None


def _named(columns: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in columns) or "none that is not"
