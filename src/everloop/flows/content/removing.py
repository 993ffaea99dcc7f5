"""Versions that nobody needs any more, taken out of the database; a collection then frees their bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from everloop.core.data import DataRef, DatasetVersion
from everloop.core.errors import Invalid, MLOpsError, Refused
from everloop.flows.project import Project
from everloop.store import datasets, history, models, needs, refs
from everloop.store.database import Tx

from .leases import COLLECTION
from .objects import Objects

_WAIT = 30.0  # seconds for a collection at work


@dataclass(frozen=True)
class Need:
    """What refers to a version. One that is not ``firm`` can be given up with ``force``."""

    what: str
    firm: bool


@dataclass(frozen=True)
class Removed:
    """Versions that went, and those of the ones asked for that stayed, with what needs each. ``left`` says
    why manifests of the former are still in the store, until a collection takes them."""

    versions: tuple[DatasetVersion, ...]
    kept: tuple[tuple[DatasetVersion, tuple[str, ...]], ...] = ()
    left: tuple[str, ...] = ()


def remove(project: Project, version: str, *, force: bool = False) -> Removed:
    """Take one version away. Its bytes go with the next collection, where no other version needs them.

    With ``force`` tags at it are taken away, branches step back, and DVC's pointers to it are forgotten.
    Raises UnknownVersion, and Refused with the names of what needs it.
    """
    with project.locks.hold(COLLECTION, wait=_WAIT):
        with project.store.writing() as tx:
            found = datasets.find_version(tx, version)
            tx.lock(f"dataset/{found.dataset}")
            there = _needs(tx, found)
            if [need for need in there if need.firm or not force]:
                raise _refused(found, there, force=force)
            _take_out(tx, project, found)
        left = _drop(project, found)
    return Removed((found,), left=left)


def remove_old(
    project: Project, dataset: str, *, older_than: timedelta, keep_last: int = 1, dry_run: bool = False
) -> Removed:
    """Take away a dataset's versions that are older and not among its last ones; those that something needs
    stay."""
    if keep_last < 1:
        raise Invalid(f"--keep-last {keep_last} would leave nothing.", remedy="Keep at least one version.")
    gone, kept = [], []
    left: list[str] = []
    with project.locks.hold(COLLECTION, wait=_WAIT):
        with project.store.reading() as tx:
            versions = datasets.versions(tx, dataset, statistics=False)
            if not versions:
                datasets.find_version(tx, f"{dataset}@latest")
        before = project.clock.now() - older_than
        last = sorted(versions, key=lambda version: version.sequence)[:-keep_last]
        for version in (each for each in last if each.created_at < before):
            with project.store.writing() as tx:
                tx.lock(f"dataset/{dataset}")
                there = _needs(tx, version)
                if there:
                    kept.append((version, tuple(need.what for need in there)))
                    continue
                if not dry_run:
                    _take_out(tx, project, version)
            gone.append(version)
            if not dry_run:
                left += _drop(project, version)
    return Removed(tuple(gone), tuple(kept), tuple(left))


def _drop(project: Project, version: DatasetVersion) -> tuple[str, ...]:
    """The version is gone already: a store that cannot be written keeps garbage, and hides no removal."""
    try:
        drop_manifest(project, version.version_id)
    except MLOpsError as error:
        return (error.message,)
    return ()


def drop_manifest(project: Project, version_id: str) -> bool:
    """Remove a manifest unless the database has its version; says whether it did. A registration of the same
    content that is at work finds that out before it ends, and writes it again."""
    with project.store.writing() as tx:
        tx.lock(f"content/{version_id}")
        if datasets.known_version(tx, version_id) is not None:
            return False
        project.data.remove(Objects(project.data, project.tenant).manifest_key(version_id))
        return True


def _needs(tx: Tx, version: DatasetVersion) -> list[Need]:
    dataset, name = version.dataset, version.version_id
    found = [
        Need(f"run {run.run_id} of {run.model}", firm=True)
        for run in models.runs_on(tx, name)
        if run.dataset == dataset
    ]
    found += [
        Need(f"model {each.model} {each.version}", firm=True)
        for each in models.list_model_versions(tx)
        if (each.dataset, each.data_version) == (dataset, name)
    ]
    found += [Need(f"the reference statistics of {model}", True) for model in needs.references_to(tx, name)]
    found += [Need(f"unfinished turn {turn}", True) for turn in needs.unfinished_with(tx, json.dumps(name))]
    found += [Need(f"{ref.kind} {dataset}@{ref.name}", firm=False) for ref in _standing(tx, version)]
    found += [Need(f"DVC's {path}", firm=False) for path in needs.dvc_paths(tx, dataset, name)]
    return found


def _refused(version: DatasetVersion, there: list[Need], *, force: bool) -> Refused:
    firm = [need for need in there if need.firm]
    named = ", ".join(need.what for need in (firm if force else there))
    remedy = "What models were trained on is never removed." if firm else ""
    if not firm:
        remedy = "--force takes the tags away, lets branches step back and forgets DVC's pointers."
    return Refused(f"{version.dataset}@{version.short} is needed by {named}.", remedy=remedy)


def _take_out(tx: Tx, project: Project, version: DatasetVersion) -> None:
    now = project.clock.now()
    for ref in _standing(tx, version):
        above = _ancestor(tx, version) if ref.kind == "branch" else None
        if above is None:
            refs.remove(tx, ref, at=now, by=project.user, reason="its version was removed")
        else:
            moved = DataRef(ref.dataset, ref.name, ref.kind, above, now, project.user)
            refs.move(tx, moved, "its version was removed")
    needs.take_out(tx, version.dataset, version.version_id)
    details = {"dataset": version.dataset, "version_id": version.version_id, "parent": version.parent}
    summary = f"data version {version.short} removed ({version.rows:,} rows, from {version.source})"
    history.append(tx, version.dataset, "removed", summary, at=now, by=project.user, details=details)


def _standing(tx: Tx, version: DatasetVersion) -> list[DataRef]:
    """The tags and branches at a version. Where ``main`` has no row, it is at the newest."""
    found = refs.list_refs(tx, version.dataset)
    main = refs.find_ref(tx, version.dataset, "main")
    if main is not None and main.name not in {ref.name for ref in found}:
        found.append(main)
    return [ref for ref in found if ref.version_id == version.version_id]


def _ancestor(tx: Tx, version: DatasetVersion) -> str | None:
    """The nearest version before this one that is still there."""
    here = version.parent and datasets.known_version(tx, version.parent, version.dataset)
    return here.version_id if here else None
