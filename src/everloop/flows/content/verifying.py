"""Whether everything that is stored is what was written, and what a damage touches.

The fast way compares each pack's bytes with its name, each manifest with its seal, and what versions name
with what is there. The full way also decodes every version and computes its id anew, and hashes the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from blake3 import blake3

from everloop.core.data import DataRef, DatasetVersion
from everloop.core.errors import Corrupt, NotFound
from everloop.core.ports import Entry
from everloop.data import manifest as manifests
from everloop.flows import artifacts
from everloop.flows.project import Project
from everloop.store import needs, refs

from . import described, inventory
from .inventory import Inventory
from .objects import Objects
from .proving import Prover

Progress = Callable[[int, int, str], None]
_PART = 4 << 20  # bytes that are read and hashed at a time
_AT_ONCE = 4
_REPAIR = "'everloop data repair' restores it from a backup, a copy, or the file it was registered from."
_OTHER = (
    "Its objects are whole, and hold another content: 'everloop data remove' takes the version away; then "
    "register the same data again. Or restore a backup from before."
)
_DATABASE = "'everloop backup restore --replace' brings the database back as it was saved."
_MOVE = "Move it to a version that is there, or delete it: everloop data tag, everloop data branch."
_UNNEEDED = "Nothing needs it: 'everloop data repair' sets it aside."


@dataclass(frozen=True)
class Touched:
    """A version that a damage touches, and the tags and branches that stand at it."""

    dataset: str
    version_id: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = f" ({', '.join(self.names)})" if self.names else ""
        return f"{self.dataset}@{self.version_id[:12]}{names}"


@dataclass(frozen=True)
class Damage:
    """An object that is not what was written, or is missing. ``store``: data, artifacts, or database for what
    the database lacks or says wrongly. ``runs`` are those whose models or plots it is. ``needed`` is false
    where nothing needs it for certain. ``remedy`` says what to do."""

    store: str
    key: str
    where: str
    what: str
    versions: tuple[Touched, ...] = ()
    runs: tuple[str, ...] = ()
    needed: bool = True
    remedy: str = _REPAIR


@dataclass(frozen=True)
class Verification:
    """What was looked at and what is wrong. ``unneeded`` counts packs and manifests that no version names
    (``everloop data gc`` takes them away); ``foreign`` are files that are none of ours."""

    full: bool
    objects: int
    bytes: int
    versions: int
    seconds: float
    damages: tuple[Damage, ...]
    unneeded: int
    foreign: tuple[str, ...]
    kept_aside: int

    @property
    def sound(self) -> bool:
        return not self.damages


def quiet(done: int, total: int, text: str) -> None:
    """Nobody looks."""


def verify(
    project: Project, *, full: bool = False, models: bool = False, progress: Progress = quiet
) -> Verification:
    """Look at everything that is stored; ``full`` also decodes it, ``models`` only adds models and plots.
    Other processes may register and collect meanwhile."""
    begun = project.clock.monotonic()
    there = Objects(project.data, project.tenant)
    known = versions_of(project)  # before the objects: a version's objects are there before it is
    stock = inventory.take(project.data, project.tenant)
    look = _Look(project, there, known, stock)
    look.at_database(full=full)
    look.at_objects(progress)
    if full or models:
        look.at_artifacts(progress)
    if full:
        look.at_contents(progress)
    entries = [*stock.packs.values(), *stock.manifests.values(), *look.artifacts.values()]
    return Verification(
        full=full,
        objects=len(entries),
        bytes=sum(entry.size for entry in entries),
        versions=len(known),
        seconds=project.clock.monotonic() - begun,
        damages=look.damages(),
        unneeded=len(look.unneeded()),
        foreign=tuple(project.data.where(entry.key) for entry in stock.foreign),
        kept_aside=len(stock.damaged),
    )


def versions_of(project: Project) -> dict[str, list[str]]:
    """The versions in the database by id, with their datasets: one content may be in several."""
    with project.store.reading() as tx:
        return needs.holders(tx)


class _Look:
    """One look at a store: what is wrong, by key."""

    def __init__(
        self,
        project: Project,
        there: Objects,
        known: Mapping[str, list[str]],
        stock: Inventory,
    ) -> None:
        self.project, self.there, self.known, self.stock = project, there, known, stock
        self.artifacts: dict[str, Entry] = {}
        self._sizes: dict[str, int] = {}  # of packs, as manifests name them
        self._users: dict[str, list[str]] = {}  # versions by pack
        self._wrong: dict[str, str] = {}
        self._decoded: set[str] = set()  # of these, what was found by decoding only
        self._of_database: list[Damage] = []
        self._described: dict[str, list[DatasetVersion]] = {}
        self._of_artifacts: dict[str, str] = {}
        self._runs: dict[str, list[str]] = {}

    def at_database(self, *, full: bool) -> None:
        """Versions whose rows cannot be read, names that stand at no version or are lost, and a database that
        knows nothing of what is stored."""
        with self.project.store.reading() as tx:
            standing, gone, known = refs.list_refs(tx), needs.removed(tx), needs.holders(tx)
            versions, unread = described.read_all(tx, known, full=full)
            lost = refs.lost(tx)
        for version in versions:
            self._described.setdefault(version.version_id, []).append(version)
        for each in unread:
            name = f"version {each.dataset}@{each.version_id[:12]}"
            whose = touched(self.project, [(each.dataset, each.version_id)])
            self._of_database.append(Damage("database", name, name, each.what, whose, remedy=_DATABASE))
        for ref in lost:
            name = f"{ref.kind} {ref.dataset}@{ref.name}"
            what = f"It is lost; it stood at {ref.version_id[:12]}."
            self._of_database.append(Damage("database", name, name, what, remedy=_put_back(ref)))
        for ref in standing:
            if ref.dataset not in known.get(ref.version_id, ()):
                name = f"{ref.kind} {ref.dataset}@{ref.name}"
                what = f"It stands at {ref.version_id[:12]}, which the database does not have."
                self._of_database.append(Damage("database", name, name, what, remedy=_MOVE))
        strange = self.stock.manifests.keys() - gone
        if strange and not known and not self.stock.leases:  # else a first registration is at work
            where = self.project.store.engine.url.render_as_string(hide_password=True)
            what = f"It knows no version, and {len(strange):,} are stored: it was lost, or is another one's."
            self._of_database.append(Damage("database", "versions", where, what, remedy=_DATABASE))

    def at_objects(self, progress: Progress) -> None:
        """The packs' bytes, the large ones first, and meanwhile the manifests."""
        entries = sorted(self.stock.packs.items(), key=lambda item: -item[1].size)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            faults = pool.map(lambda item: _fault_of_pack(self.there, item[0], item[1].size), entries)
            self._at_manifests()
            for done, ((name, entry), what) in enumerate(zip(entries, faults, strict=True), 1):
                if what:
                    named = self._sizes.get(name, entry.size)
                    cut = f"It has {entry.size:,} of {named:,} bytes."
                    self._wrong[entry.key] = cut if named != entry.size else what
                progress(done, len(entries), "packs")
        for name in self._sizes.keys() - self.stock.packs.keys():
            self._look_again(name)

    def _at_manifests(self) -> None:
        for version_id in [*self.stock.manifests, *(v for v in self.known if v not in self.stock.manifests)]:
            try:
                document = document_of(self.there, version_id)
            except NotFound:
                if version_id in self.known and self._still_registered(version_id):
                    self._wrong[self.there.manifest_key(version_id)] = "It is missing."
                continue
            except Corrupt as error:
                self._wrong[self.there.manifest_key(version_id)] = error.message
                continue
            for pack in manifests.packs_in(document):
                self._sizes[pack.id] = pack.size
                self._users.setdefault(pack.id, []).append(version_id)

    def at_artifacts(self, progress: Progress) -> None:
        """The models and plots that are there, and those that runs name."""
        blobs, tenant = self.project.artifacts, self.project.tenant
        self._runs = runs_by_artifact(self.project)
        self.artifacts = inventory.artifacts(blobs, tenant)
        self._of_artifacts = {key: "It is missing." for key in self._runs if not blobs.exists(key)}

        def fault(entry: Entry) -> str | None:
            try:
                return None if is_artifact(entry.key, blobs.get(entry.key)) else _CHANGED
            except NotFound:
                return None
            except Corrupt as error:
                return error.message

        for entry, what in self._each(fault, list(self.artifacts.values()), progress, "models and plots"):
            if what:
                self._of_artifacts[entry.key] = what

    def at_contents(self, progress: Progress) -> None:
        """Decode the versions that nothing was found against so far, and compare what the database says."""
        prover = Prover(self.there)
        touched = {version for key in self._wrong for version in self._touching(key)}
        wanted = [name for name in self.known if name not in touched]
        for done, version_id in enumerate(wanted, 1):
            what = prover.fault(version_id)
            if what and self._still_registered(version_id):
                self._wrong[self.there.manifest_key(version_id)] = what
                self._decoded.add(self.there.manifest_key(version_id))
            elif not what:
                self._compare(version_id)
            progress(done, len(wanted), "contents")

    def _compare(self, version_id: str) -> None:
        stored = self.there.manifest(version_id)
        for version in self._described.get(version_id, ()):
            what = described.difference(version, stored)
            if what and self._still_registered(version_id):
                name = f"version {version.dataset}@{version.short}"
                self._of_database.append(Damage("database", name, name, what, remedy=_DATABASE))

    def damages(self) -> tuple[Damage, ...]:
        return (
            *self._of_database,
            *(self._damage(key, what) for key, what in sorted(self._wrong.items())),
            *(self._damage_of_artifact(key, what) for key, what in sorted(self._of_artifacts.items())),
        )

    def unneeded(self) -> list[str]:
        """Packs and manifests that no version in the database needs."""
        needed = {name for name, users in self._users.items() if any(u in self.known for u in users)}
        packs = [name for name in self.stock.packs if name not in needed]
        return [*packs, *(name for name in self.stock.manifests if name not in self.known)]

    def _each(
        self, work: Callable[[Any], str | None], items: list[Any], progress: Progress, text: str
    ) -> Iterable[tuple[Any, str | None]]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, pair in enumerate(zip(items, pool.map(work, items), strict=True), 1):
                progress(done, len(items), text)
                yield pair

    def _look_again(self, name: str) -> None:
        """A pack that is missing, unless its versions were removed or rewritten since."""
        key = self.there.pack_key(name)
        for version_id in self._users[name]:
            try:
                named = {pack.id for pack in manifests.packs_in(document_of(self.there, version_id))}
            except (NotFound, Corrupt):
                continue
            if name in named and self._still_registered(version_id) and not self.there.blobs.exists(key):
                self._wrong[key] = "It is missing."

    def _still_registered(self, version_id: str) -> bool:
        with self.project.store.reading() as tx:
            return needs.is_registered(tx, version_id)

    def _touching(self, key: str) -> list[str]:
        name = key.rsplit("/", 1)[1].partition(".")[0]
        return self._users.get(name, []) if key.endswith(".pack") else [name]

    def _damage(self, key: str, what: str) -> Damage:
        versions = [(of, name) for name in self._touching(key) for of in self.known.get(name, [])]
        unsure = any(key.endswith(".manifest") for key in self._wrong)  # it may name this one
        needed = bool(versions) or unsure
        remedy = _OTHER if key in self._decoded else _REPAIR if needed else _UNNEEDED
        return Damage(
            "data",
            key,
            self.project.data.where(key),
            what,
            touched(self.project, versions),
            needed=needed,
            remedy=remedy,
        )

    def _damage_of_artifact(self, key: str, what: str) -> Damage:
        runs = tuple(self._runs.get(key, ()))
        where = self.project.artifacts.where(key)
        remedy = _REPAIR if runs else _UNNEEDED
        return Damage("artifacts", key, where, what, runs=runs, needed=bool(runs), remedy=remedy)


def _put_back(ref: DataRef) -> str:
    at = f"{ref.dataset}@{ref.version_id[:12]}"
    if ref.kind == "tag":
        return f"'everloop data tag {at} {ref.name}' puts it back."
    return f"'everloop data branch {ref.dataset}@{ref.name} --from {at} --move' puts it back."


_CHANGED = "Its bytes are not what was written."


def _fault_of_pack(there: Objects, name: str, size: int) -> str | None:
    """What is wrong with a pack. One that was replaced or collected meanwhile is looked at once more."""
    key = there.pack_key(name)
    for _ in range(2):
        try:
            hasher, at = blake3(), 0
            while at < size and (part := there.blobs.ranges(key, [(at, _PART)])[0]):
                hasher.update(part)
                at += len(part)
            if hasher.hexdigest() == name:
                return None
        except NotFound:
            return None
        except Corrupt as error:
            return error.message
    return _CHANGED


def document_of(there: Objects, version_id: str) -> dict[str, Any]:
    """A version's manifest, checked. Raises NotFound, Corrupt."""
    document = manifests.read(there.blobs.get(there.manifest_key(version_id)))
    if document["version_id"] != version_id:
        raise Corrupt(f"It belongs to version {document['version_id'][:12]}.")
    return document


def is_artifact(key: str, data: bytes) -> bool:
    """Whether bytes are what an artifact's name says."""
    return sha256(data).hexdigest() == key.rsplit("/", 1)[1].partition(".")[0]


def runs_by_artifact(project: Project) -> dict[str, list[str]]:
    """Which runs name which models, plots and row hashes, by key."""
    named: dict[str, list[str]] = {}
    with project.store.reading() as tx:
        for run_id, addresses in artifacts.files_by_run(tx).items():
            for key in dict.fromkeys(addresses):
                named.setdefault(key, []).append(run_id)
    return named


def touched(project: Project, versions: Iterable[tuple[str, str]]) -> tuple[Touched, ...]:
    """Versions (dataset, id) as they are told: with the names that stand at them."""
    with project.store.reading() as tx:
        standing = refs.list_refs(tx)
    return tuple(
        Touched(
            dataset,
            version_id,
            tuple(
                ref.name if ref.kind == "branch" else f"#{ref.name}"
                for ref in standing
                if (ref.dataset, ref.version_id) == (dataset, version_id)
            ),
        )
        for dataset, version_id in versions
    )


def is_right(key: str, data: bytes) -> bool:
    """Whether bytes are those that an object of this key must have."""
    name, _, kind = key.rsplit("/", 1)[1].partition(".")
    if kind == "pack":
        return bool(blake3(data).hexdigest() == name)
    if kind == "manifest":
        try:
            return bool(manifests.read(data)["version_id"] == name)
        except Corrupt:
            return False
    return is_artifact(key, data)
