"""Check a target: every byte of every backup against its hash, and what a damaged object would cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from everloop.core.errors import Corrupt, NotFound
from everloop.flows import artifacts, data
from everloop.flows.content import tables
from everloop.flows.project import Project
from everloop.flows.saved import STORES, Backup, Saved, Target, open_target

from .restoring import staged
from .saving import Progress, quiet

_AT_ONCE = 4


@dataclass(frozen=True)
class Damage:
    """A damaged or missing object of the target, the backups that need it, and what they lose by it: data
    versions, runs, or all that the backups hold (``everything``)."""

    where: str
    message: str
    backups: tuple[str, ...]
    touches: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    backups: int
    objects: int
    bytes: int
    damage: tuple[Damage, ...]


def verify(
    project: Project, backup_id: str | None = None, *, source: str | None = None, progress: Progress = quiet
) -> Verified:
    """Read all that a backup needs, or that all backups in the target need, and compare the hashes."""
    target = open_target(project, source)
    found = target.found()
    chosen = [target.find(backup_id)] if backup_id else list(found.backups)
    damage = [
        Damage(
            key,
            f"{target.blobs.where(key)} is damaged.",
            (key.rsplit("/", 1)[-1].removesuffix(".json"),),
            ("everything",),
        )
        for key in (() if backup_id else found.damaged)
    ]
    parts = {part.sha256: part for backup in chosen for part in backup.parts}
    keys = {target.part_key(part): (part.sha256, part.size) for part in parts.values()}
    broken = _broken(target, keys, "lists and rows", progress)
    for key, said in broken.items():
        users = [b.id for b in chosen if any(target.part_key(part) == key for part in b.parts)]
        damage.append(Damage(target.blobs.where(key), said, tuple(users), ("everything",)))
    readable = [b for b in chosen if not any(target.part_key(part) in broken for part in b.parts)]
    inventories = [target.inventory(backup) for backup in readable]
    objects = {
        target.object_key(each.sha256): (each.sha256, each.size)
        for inventory in inventories
        for each in inventory.values()
    }
    for key, said in _broken(target, objects, "objects", progress).items():
        damage.append(_cost(project, target, readable, objects[key][0], said))
    total = sum(size for _, size in [*keys.values(), *objects.values()])
    return Verified(len(chosen), len(keys) + len(objects), total, tuple(damage))


def _broken(
    target: Target, wanted: Mapping[str, tuple[str, int]], what: str, progress: Progress
) -> dict[str, str]:
    """What is wrong with those that are not what their hash says."""

    def one(key: str) -> str | None:
        try:
            target.checked(key, wanted[key][0])
        except Corrupt as error:
            return error.message
        return None

    broken = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done, (key, said) in enumerate(zip(wanted, pool.map(one, wanted), strict=True), 1):
            progress(what, done, len(wanted))
            if said:
                broken[key] = said
    return broken


def _cost(project: Project, target: Target, backups: Sequence[Backup], digest: str, said: str) -> Damage:
    """What is lost with an object, as the newest backup that needs it tells."""
    users = [
        (backup, found.store, found.key)
        for backup in backups
        for found in target.inventory(backup).values()
        if found.sha256 == digest
    ]
    backup, store, key = users[-1]
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: Saved(target, backup, name) for name in STORES}
        with staged(project, target, backup, None, Path(folder), stores) as copy:
            touches = tuple(touched(copy, store, key))
    names = tuple(dict.fromkeys(backup.id for backup, _, _ in users))
    return Damage(target.blobs.where(target.object_key(digest)), said, names, touches)


def touched(project: Project, store: str, key: str) -> Iterator[str]:
    """The data versions, or the runs, that need an object."""
    if store == "artifacts":
        with project.store.reading() as tx:
            files = artifacts.files_by_run(tx)
        for run_id, addresses in files.items():
            if key in addresses:
                yield f"run {run_id}"
        return
    there = tables.objects(project)
    for version in data.list_versions(project):
        needed = {there.manifest_key(version.version_id)}
        with suppress(Corrupt, NotFound):
            packs = there.manifest(version.version_id).packs
            needed |= {there.pack_key(pack.id) for pack in packs}
        if key in needed:
            yield f"{version.dataset}@{version.short}"
