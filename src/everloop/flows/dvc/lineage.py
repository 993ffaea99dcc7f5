"""Which version comes after which: the parents of imported versions, as git's history has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from everloop.core.data import DatasetVersion
from everloop.core.dvc import Sighting
from everloop.flows.project import Project
from everloop.store import datasets
from everloop.store import dvc as dvc_files


def newest_imported(
    sighting: Sighting | None, dataset: str, versions: Mapping[tuple[str, str], str]
) -> str | None:
    """The version of a sighting, or of the nearest before it that could be imported."""
    seen = sighting.back() if sighting is not None else ()
    known = (versions.get((dataset, each.pointer.md5)) for each in seen)
    return next((version_id for version_id in known if version_id is not None), None)


def put_in_order(
    project: Project,
    repository: str,
    taken: Sequence[tuple[str, Sighting]],
    versions: Mapping[tuple[str, str], str],
) -> None:
    """Give each imported version the parent that an import of everything at once would have given it.

    Versions that came before what was missing then have another, and so has the first of a history that is
    taken up late. ``taken`` is a whole history, by dataset and sighting, parents first. What was added or
    registered here stays.
    """
    with project.store.writing() as tx:
        known = {
            (dataset, version.version_id): version
            for dataset in dict.fromkeys(dataset for dataset, _ in taken)
            for version in datasets.versions(tx, dataset, statistics=False)
        }
        imported = {
            (file.dataset, file.version_id, file.path, file.commit)
            for file in dvc_files.files(tx)
            if file.how == "imported" and file.repository == repository
        }
        done = set()
        for dataset, sighting in taken:
            version = known.get((dataset, versions.get((dataset, sighting.pointer.md5), "")))
            if version is None or version.version_id in done:
                continue
            done.add(version.version_id)
            origin = version.origin
            came = (dataset, version.version_id, origin.get("path"), origin.get("commit"))
            if came not in imported or origin.get("path") != sighting.pointer.path:
                continue
            parent = newest_imported(sighting.before, dataset, versions)
            if parent != version.parent and not _is_above(known, dataset, version, parent):
                datasets.set_parent(tx, version, parent)
                known[dataset, version.version_id] = replace(version, parent=parent)


def _is_above(
    known: Mapping[tuple[str, str], DatasetVersion], dataset: str, version: DatasetVersion, here: str | None
) -> bool:
    """Whether a version is ``here`` or an ancestor of it: no line of versions leads back to its start."""
    passed: set[str] = set()
    while here is not None and here not in passed:
        passed.add(here)
        above = known.get((dataset, here))
        here = above.parent if above else None
    return version.version_id in passed
