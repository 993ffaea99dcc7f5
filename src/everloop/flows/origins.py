"""From the raw file to the models and back: where a data version comes from, and what was made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from everloop.core.data import DatasetVersion
from everloop.core.errors import UnknownVersion, close, nearest
from everloop.core.models import DataLineage, TrainedModel
from everloop.core.runs import Run
from everloop.data import names
from everloop.registry import lineage
from everloop.store import datasets, dvc, models, refs
from everloop.store.database import Tx

from .project import Project


def trace(project: Project, what: str, *, folder: Path | None = None) -> list[DataLineage]:
    """Of one data version; or, where ``what`` is a raw file, of each version that came from it, oldest first.

    A raw file is named as when it was registered (``source``), by its path from ``folder`` [the project's],
    or by its path under DVC. Raises UnknownVersion.
    """
    with project.store.reading() as tx:
        try:
            found = [datasets.find_version(tx, what, statistics=False)]
        except UnknownVersion as error:
            found = _from_file(tx, project.settings.root, folder, what)
            if not found:
                raise _unknown(tx, what, error) from error
        known: dict[str, list[DatasetVersion]] = {}
        for name in {version.dataset for version in found}:
            known[name] = datasets.versions(tx, name, statistics=False)
        return [_lineage(tx, version, known[version.dataset]) for version in found]


def straight(path: Path) -> Path:
    """The same without ``..``, and without links only where those lead elsewhere then."""
    if ".." not in path.parts:
        return path
    found, real = os.path.normpath(path), os.path.realpath(path)
    return Path(found if os.path.realpath(found) == real else real)


def _from_file(tx: Tx, root: Path, folder: Path | None, path: str) -> list[DatasetVersion]:
    under_dvc = {(file.dataset, file.version_id) for file in dvc.files(tx) if path in (file.path, file.file)}
    places = {straight(base / path) for base in (root, folder or root)}
    return [
        v
        for v in datasets.versions(tx, statistics=False)
        if v.source == path
        or (v.dataset, v.version_id) in under_dvc
        or (path and straight(root / v.source) in places)
    ]


def _unknown(tx: Tx, what: str, error: UnknownVersion) -> UnknownVersion:
    """What may have been meant by a name that is of no version: a file, unless it looks like a version's."""
    files, there = (
        {version.source for version in datasets.versions(tx, statistics=False)},
        datasets.datasets(tx),
    )
    if names.parse(what).dataset or names.is_prefix(what) or names.as_time(what) or not files:
        return error
    near = close(what, {*files, *there})
    if near and near != close(what, files):
        remedy = error.remedy  # a dataset is nearer
    else:
        remedy = near or f"{nearest(what, files)} 'everloop data list' shows the versions and their files."
    return UnknownVersion(f"'{what}' is no data version, and no file that one came from.", remedy=remedy)


def _lineage(tx: Tx, version: DatasetVersion, every: Sequence[DatasetVersion]) -> DataLineage:
    by_id = {each.version_id: each for each in every}
    return DataLineage(
        version=version,
        dvc=tuple(dvc.files(tx, version.dataset, version.version_id)),
        parents=lineage.chain(version, lambda v: by_id.get(v.parent) if v.parent else None)[1:],
        children=tuple(each for each in every if each.parent == version.version_id),
        refs=tuple(r for r in refs.list_refs(tx, version.dataset) if r.version_id == version.version_id),
        trained=tuple(_trained(tx, run) for run in models.runs_on(tx, version.version_id)),
    )


def _trained(tx: Tx, run: Run) -> TrainedModel:
    version = models.version_of_run(tx, run.run_id)
    if version is None:
        return TrainedModel(run)
    standing = models.list_aliases(tx, version.model).items()
    return TrainedModel(run, version, tuple(sorted(a for a, v in standing if v == version.version)))
