"""Damaged and missing objects, restored from wherever the right bytes still are, and proved.

Tried in this order: backups, a copy of the store that is named, and registering again what a version was
registered from. Nothing takes an object's place before it was checked; the damaged bytes are kept aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt, MLOpsError, NotFound
from everloop.core.ids import token
from everloop.core.ports import Blobs
from everloop.data import reading
from everloop.data.survey import survey
from everloop.flows import saved
from everloop.flows.project import Project
from everloop.store import datasets

from . import inventory, tables
from .leases import COLLECTION, leased
from .objects import Objects
from .proving import Prover
from .verifying import Damage, Progress, Touched, is_right, quiet, verify

_ROUNDS = 4  # a manifest that came back may name packs that are missing too
_WAIT = 30.0
Fetch = Callable[[str, str], bytes | None]


@dataclass(frozen=True)
class Restored:
    """An object that is right again (or with a dry run would be). ``source`` says where its bytes came from,
    ``aside`` where the damaged ones are kept; None where there were none to keep."""

    store: str
    key: str
    where: str
    source: str
    aside: str | None = None


@dataclass(frozen=True)
class Repair:
    """``lost`` are the damages that remain, ``lost_versions`` what cannot be loaded because of them;
    ``proved`` counts the versions that were touched and whose content was found right afterwards."""

    dry_run: bool
    damages: tuple[Damage, ...]
    restored: tuple[Restored, ...]
    lost: tuple[Damage, ...]
    lost_versions: tuple[Touched, ...]
    proved: int


def repair(
    project: Project, *, source: str | None = None, dry_run: bool = False, progress: Progress = quiet
) -> Repair:
    """Restore what is damaged. ``source`` is a folder or ``s3://…`` that holds a copy of the objects: of this
    store, another project's, or a folder above it.

    Raises Busy when a collection or another repair is at work, and NotFound for a ``source`` without objects.
    """
    fetches = dict(_fetches(project, source))
    with project.locks.hold(COLLECTION, wait=_WAIT):
        for entry in project.data.entries(f"{project.tenant}/{inventory.COLLECTING}/"):
            project.data.remove(entry.key)  # of a collection that was killed: we hold its lock
        work = _Work(project, fetches, dry_run)
        found = verify(project, models=True, progress=progress).damages
        left = found
        for _ in range(1 if dry_run else _ROUNDS):
            before = left
            for damage in left:
                work.restore(damage)
            for version in _versions(project, left):
                work.register_again(version, left)
            if dry_run:
                break
            left = verify(project, models=True, progress=progress).damages
            if not left or {d.key for d in left} >= {d.key for d in before}:
                break
        if dry_run:
            done = {each.key for each in work.restored}
            left = tuple(damage for damage in found if damage.key not in done)
        return _told(project, found, left, work)


class _Work:
    def __init__(self, project: Project, fetches: Mapping[str, Fetch], dry_run: bool) -> None:
        self.project, self.fetches, self.dry_run = project, fetches, dry_run
        self.restored: list[Restored] = []
        self.registered: set[str] = set()

    def restore(self, damage: Damage) -> None:
        """From a backup or copy; what nobody needs is only set aside. What the database lacks is its own."""
        if damage.store == "database":
            return
        blobs = self.project.data if damage.store == "data" else self.project.artifacts
        for source, fetch in self.fetches.items():
            with suppress(MLOpsError):  # a source that does not answer is none
                data = fetch(damage.key, damage.store)
                if data is not None and is_right(damage.key, data):
                    aside = self._set_aside(blobs, damage.key)
                    if not self.dry_run:
                        blobs.replace(damage.key, data)
                    self._say(damage, source, aside)
                    return
        if not damage.needed:
            aside = self._set_aside(blobs, damage.key)
            if not self.dry_run:
                blobs.remove(damage.key)
            self._say(damage, "nowhere: nothing needs it", aside)

    def register_again(self, version: DatasetVersion, damages: Sequence[Damage]) -> None:
        """From the file that a version was registered from, if that has the same content still."""
        file = self.project.settings.root / Path(version.source).expanduser()
        if version.version_id in self.registered or version.kind != "table" or not file.is_file():
            return
        self.registered.add(version.version_id)
        there = Objects(self.project.data, self.project.tenant)
        if tables.is_whole(there, version.version_id):
            return
        with suppress(MLOpsError):
            new = survey(reading.read_file(file, encoding=self._encoding(version)), version.hash_algorithm)
            if new.version_id != version.version_id:
                return
            wrong = [damage for damage in damages if self._touches(damage, version)]
            asides = [self._set_aside(self.project.data, damage.key) for damage in wrong]
            if not self.dry_run:
                before = tables.try_open(self.project, version.parent) if version.parent else None
                for parent in (before, None):  # what it builds on may be damaged itself
                    with leased(self.project.data, self.project.tenant, self.project.clock) as lease:
                        tables.keep(self.project, lease, new, parent)
                    if tables.is_whole(there, version.version_id):
                        break
            for damage, aside in zip(wrong, asides, strict=True):
                self._say(damage, str(file), aside)

    def _touches(self, damage: Damage, version: DatasetVersion) -> bool:
        """Whether an object that a version needs is damaged still, and with a dry run would be."""
        if self.dry_run and damage.key in {each.key for each in self.restored}:
            return False
        if damage.store != "data" or version.version_id not in {each.version_id for each in damage.versions}:
            return False
        try:
            return not is_right(damage.key, self.project.data.get(damage.key))
        except (NotFound, Corrupt):
            return True

    def _set_aside(self, blobs: Blobs, key: str) -> str | None:
        """Keep the damaged bytes under another name; a dry run moves nothing."""
        if self.dry_run:
            return None
        try:
            data = blobs.get(key)
        except (NotFound, Corrupt):  # nothing is there, or nothing that could be decrypted
            return None
        aside = f"{self.project.tenant}/{inventory.DAMAGED}/{token()}/{key.rsplit('/', 1)[1]}"
        blobs.put(aside, data)
        return blobs.where(aside)

    def _say(self, damage: Damage, source: str, aside: str | None) -> None:
        self.restored.append(Restored(damage.store, damage.key, damage.where, source, aside))

    def _encoding(self, version: DatasetVersion) -> str:
        models = self.project.settings.models.values()
        return next((m.data.encoding for m in models if m.dataset == version.dataset), "utf-8")


def _fetches(project: Project, source: str | None) -> Iterator[tuple[str, Fetch]]:
    copies = saved.open_backups(project)
    if copies is not None:
        yield f"backups in {project.settings.backup.to}", copies.fetch
    if source is not None:
        yield source, _copy_at(project, source)


def _copy_at(project: Project, source: str) -> Fetch:
    """Objects below a place by the ends of their names: packs/ID.pack, versions/ID.manifest, AB/ID.ending."""
    blobs = project.open_blobs(source)
    known: dict[str, list[str]] = {}
    for entry in blobs.entries():
        known.setdefault("/".join(entry.key.rsplit("/", 2)[-2:]), []).append(entry.key)
    if not known:
        raise NotFound(f"There is nothing in {source}.", remedy="Name the folder of a copy.")

    def fetch(key: str, store: str) -> bytes | None:
        for candidate in known.get("/".join(key.rsplit("/", 2)[-2:]), ()):
            with suppress(NotFound, Corrupt):
                data = blobs.get(candidate)
                if is_right(key, data):
                    return data
        return None

    return fetch


def _versions(project: Project, damages: Sequence[Damage]) -> list[DatasetVersion]:
    """The versions that damages touch, those that came first first."""
    names = {
        (each.dataset, each.version_id)
        for damage in damages
        if damage.store != "database"
        for each in damage.versions
    }
    found = []
    with project.store.reading() as tx:
        for dataset, version_id in names:
            with suppress(Corrupt):  # the database cannot say what it was registered from
                version = datasets.known_version(tx, version_id, dataset, statistics=False)
                found += [version] if version else []
    return sorted(found, key=lambda version: (version.created_at, version.sequence))


def _told(project: Project, found: tuple[Damage, ...], left: tuple[Damage, ...], work: _Work) -> Repair:
    each_touched = {(each.dataset, each.version_id): each for d in found for each in d.versions}
    wrong = {each.version_id for damage in left for each in damage.versions}
    proved = 0
    if not work.dry_run:
        prover = Prover(Objects(project.data, project.tenant))
        faults = {name: prover.fault(name) for name in {name for _, name in each_touched} - wrong}
        wrong |= {name for name, fault in faults.items() if fault}
        proved = sum(fault is None for fault in faults.values())
    still = {damage.key for damage in left}
    restored = tuple(each for each in work.restored if each.key not in still)
    lost = tuple(each for (_, name), each in each_touched.items() if name in wrong)
    return Repair(work.dry_run, found, restored, left, lost, proved)
