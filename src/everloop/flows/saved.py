"""Where backups are: what lies in a folder or bucket, how it is written and read, every byte against a hash.

TENANT/backups/ID.json         a backup: names all it needs; written last, so one that is there is whole
TENANT/metadata/SHA256.jsonl.gz   rows, changes of rows, and lists of objects, as JSON lines
TENANT/objects/data/…          contents of data versions, by the names they have in the project
TENANT/objects/artifacts/…     fitted models and plots, in the same way
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, NoReturn

from everloop.core.documents import dump, load
from everloop.core.errors import Corrupt, InvalidSettings, NotFound, Refused, UnknownVersion, nearest
from everloop.core.ports import Blobs, Entry
from everloop.settings.storage import is_url, place_of

from .project import Project

STORES = ("data", "artifacts")
_PART = 4_000_000  # bytes of JSON lines in one part, before compression
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """JSON lines in one file of ``metadata/``."""

    sha256: str
    size: int
    lines: int


@dataclass(frozen=True)
class Object:
    """An object of the project. ``gone``: it was there at the backup before this one and is no longer."""

    store: str
    key: str
    size: int
    sha256: str
    gone: bool = False


@dataclass(frozen=True)
class Rows:
    """All rows as they were at one moment, and what became of them since. ``schema`` is of the base; each
    change names its own."""

    base_at: datetime
    schema: str
    base: tuple[Part, ...]
    changes: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Backup:
    """A backup, which names all it needs itself: no other one has to be there.

    It holds the project as it was at ``at``, and at any moment since ``rows.base_at``, when all rows were
    saved; ``past`` reaches further back, to the base before that one. ``counts`` are the rows by table.
    ``objects`` are lists of what came and went; the last ``own`` of them are of this backup. ``sequence`` is
    the last change. ``damaged`` names objects that were damaged in the project already and are not saved,
    ``kept`` those damaged or missing there for which the copy of an earlier backup stands. ``unread`` are
    earlier backups that are damaged themselves, so that this one does not go on from them. ``aside``: a
    restore made it of what it was about to replace.
    """

    id: str
    at: datetime
    tenant: str
    project: str
    folder: str
    sequence: int
    counts: Mapping[str, int]
    rows: Rows
    objects: tuple[Part, ...] = ()
    own: int = 0
    past: Rows | None = None
    parent: str | None = None
    settings: Part | None = None
    object_count: int = 0
    object_bytes: int = 0
    new_objects: int = 0
    new_bytes: int = 0
    damaged: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    aside: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        several = [self.rows, self.past] if self.past else [self.rows]
        of_rows = [part for rows in several for part in (*rows.base, *rows.changes)]
        return (*of_rows, *self.objects, *((self.settings,) if self.settings else ()))

    @property
    def is_full(self) -> bool:
        """Whether all rows were saved with it."""
        return self.at == self.rows.base_at

    @property
    def reaches_back_to(self) -> datetime:
        return self.past.base_at if self.past else self.rows.base_at


@dataclass(frozen=True)
class Found:
    """The backups in a target, oldest first, and the names of those whose file is damaged."""

    backups: tuple[Backup, ...]
    damaged: tuple[str, ...] = ()


@dataclass
class Target:
    """One tenant's backups at ``place``."""

    place: str
    blobs: Blobs
    tenant: str
    _inventories: dict[str, dict[tuple[str, str], Object]] = field(default_factory=dict)

    # -- backups ---------------------------------------------------------------------------------------------

    def found(self) -> Found:
        backups, damaged = [], []
        for entry in sorted(self.blobs.entries(f"{self.tenant}/backups/"), key=lambda entry: entry.key):
            try:
                backups.append(self._read(entry.key))
            except Corrupt:
                damaged.append(entry.key)
        return Found(tuple(sorted(backups, key=lambda backup: (backup.at, backup.id))), tuple(damaged))

    def damaged_after(self, backup: Backup) -> tuple[str, ...]:
        """Where the files of later backups are that cannot be read: ids are in the order of time."""
        places = []
        for entry in self.blobs.entries(f"{self.tenant}/backups/"):
            if entry.key > self._manifest(backup.id):
                try:
                    self._read(entry.key)
                except Corrupt:
                    places.append(self.blobs.where(entry.key))
        return tuple(sorted(places))

    def find(self, backup_id: str) -> Backup:
        """By its id or a unique ending of it (4 characters or more)."""
        backups = self.found().backups
        fitting = [
            b for b in backups if b.id == backup_id or (len(backup_id) > 3 and b.id.endswith(backup_id))
        ]
        if len(fitting) != 1:
            said = "no backup" if not fitting else "more than one backup"
            raise UnknownVersion(
                f"There is {said} '{backup_id}' in {self.place}.",
                remedy=nearest(backup_id, [backup.id for backup in backups[-12:]]),
            )
        return fitting[0]

    def write(self, backup: Backup) -> None:
        """The last act of a backup: from now on it is there."""
        body = dump(backup)
        text = json.dumps({**body, "sha256": _digest(body)}, indent=1)
        self._put(self._manifest(backup.id), text.encode())

    def remove(self, backup: Backup) -> None:
        self.blobs.remove(self._manifest(backup.id))

    def _manifest(self, backup_id: str) -> str:
        return f"{self.tenant}/backups/{backup_id}.json"

    def _read(self, key: str) -> Backup:
        try:
            document = json.loads(self.blobs.get(key))
            said = document.pop("sha256")
        except (ValueError, KeyError, AttributeError):
            said, document = None, {}
        if said is None or said != _digest(document):
            raise Corrupt(
                f"The backup {self.blobs.where(key)} is damaged.",
                remedy="Use another one ('everloop backup list'), or copy that file from elsewhere.",
            )
        return load(Backup, document)

    # -- parts -----------------------------------------------------------------------------------------------

    def write_parts(self, lines: Iterable[Line]) -> tuple[Part, ...]:
        """JSON lines in as many parts as they need, each under the hash of its bytes."""
        parts, waiting, size = [], [], 0
        for line in lines:
            text = json.dumps(line, separators=(",", ":"))
            waiting.append(text)
            size += len(text) + 1
            if size >= _PART:
                parts.append(self._write_part(waiting))
                waiting, size = [], 0
        if waiting:
            parts.append(self._write_part(waiting))
        return tuple(parts)

    def write_text(self, text: str) -> Part:
        return self._write_part([json.dumps({"text": text})])

    def _write_part(self, texts: list[str]) -> Part:
        content = gzip.compress("".join(f"{text}\n" for text in texts).encode(), 6, mtime=0)
        part = Part(sha256(content).hexdigest(), len(content), len(texts))
        self._put(self.part_key(part), content)
        return part

    def read_part(self, part: Part) -> Iterator[Line]:
        """The lines of a part. Raises Corrupt where its bytes are not what was written."""
        for text in gzip.decompress(self.checked(self.part_key(part), part.sha256)).splitlines():
            yield json.loads(text)

    def part_key(self, part: Part) -> str:
        return f"{self.tenant}/metadata/{part.sha256}.jsonl.gz"

    def _put(self, key: str, content: bytes) -> None:
        """Written and read back: what is there with other bytes is damaged, and replaced."""
        self.blobs.put(key, content)
        try:
            same = self.blobs.get(key) == content
        except Corrupt:
            same = False
        if not same:
            self.blobs.replace(key, content)

    def checked(self, key: str, digest: str) -> bytes:
        try:
            content = self.blobs.get(key)
        except NotFound as error:
            raise Corrupt(
                f"{self.blobs.where(key)} is missing from the backup.", remedy=_OTHER.format(place=self.place)
            ) from error
        if sha256(content).hexdigest() != digest:
            raise Corrupt(f"{self.blobs.where(key)} is damaged.", remedy=_OTHER.format(place=self.place))
        return content

    # -- objects ---------------------------------------------------------------------------------------------

    def inventory(self, backup: Backup) -> dict[tuple[str, str], Object]:
        """The objects that a backup needs, by store and key; those gone since the one before it included."""
        if backup.id not in self._inventories:
            known: dict[tuple[str, str], Object] = {}
            for position, part in enumerate(backup.objects):
                latest = position >= len(backup.objects) - backup.own
                for line in self.read_part(part):
                    found = Object(**line)
                    if found.gone and not latest:
                        known.pop((found.store, found.key), None)
                    else:
                        known[found.store, found.key] = found
            self._inventories[backup.id] = known
        return self._inventories[backup.id]

    def is_whole(self, backup: Backup) -> bool:
        """Whether a backup's rows and lists are there in every byte: they are small against the objects."""
        try:
            for part in backup.parts:
                self.checked(self.part_key(part), part.sha256)
        except Corrupt:
            return False
        return True

    def object_key(self, digest: str) -> str:
        """Where an object lies: by its hash, as the project may write another content under the same name."""
        return f"{self.tenant}/objects/{digest[:2]}/{digest}"

    def fetch(self, found: Object) -> bytes:
        return self.checked(self.object_key(found.sha256), found.sha256)

    def holds(self, found: Object) -> bool:
        """Whether an object is here, and every byte of it what it was."""
        try:
            self.fetch(found)
        except Corrupt:
            return False
        return True


@dataclass(frozen=True)
class Saved:
    """One store of a backup, as the project's own is read: nothing is restored for a look at it."""

    target: Target
    backup: Backup
    store: str

    def get(self, key: str) -> bytes:
        return self.target.fetch(self._find(key))

    def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        content = self.get(key)
        return [content[start : start + length] for start, length in spans]

    def size(self, key: str) -> int | None:
        return self._find(key).size if self.exists(key) else None

    def exists(self, key: str) -> bool:
        return (self.store, key) in self.target.inventory(self.backup)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        for (store, key), found in self.target.inventory(self.backup).items():
            if store == self.store and key.startswith(prefix):
                yield Entry(key, found.size, self.backup.at)

    def where(self, key: str) -> str:
        return self.target.blobs.where(self.target.object_key(self._find(key).sha256))

    def put(self, key: str, data: bytes) -> None:
        self._refuse()

    def replace(self, key: str, data: bytes) -> None:
        self._refuse()

    def remove(self, key: str) -> None:
        self._refuse()

    def sweep_drafts(self, older_than: datetime) -> int:
        return 0

    def _refuse(self) -> NoReturn:
        raise Refused(f"{self.backup.id} is a backup, and is not written to.", remedy="Restore it first.")

    def _find(self, key: str) -> Object:
        try:
            return self.target.inventory(self.backup)[self.store, key]
        except KeyError:
            raise NotFound(f"{self.backup.id} has no object '{key}'.") from None


@dataclass(frozen=True)
class Copies:
    """What backups hold of a project's objects, newest backup first, for those who mend the project."""

    target: Target

    @cached_property
    def _known(self) -> dict[tuple[str, str], Object]:
        known: dict[tuple[str, str], Object] = {}
        for backup in self.target.found().backups:
            try:
                known |= self.target.inventory(backup)
            except Corrupt:  # its own list is damaged: the others say what they have
                continue
        return known

    def keys(self, store: str = "data") -> set[str]:
        """The keys that ``fetch`` may be asked for."""
        return {key for kept, key in self._known if kept == store}

    def fetch(self, key: str, store: str = "data") -> bytes | None:
        """An object's bytes as they were saved; None where no backup has them undamaged."""
        found = self._known.get((store, key))
        try:
            return self.target.fetch(found) if found else None
        except Corrupt:
            return None


def open_target(project: Project, place: str | None = None) -> Target:
    """The target that was named, else that of ``backup.to``."""
    chosen = project.settings.backup.to if place is None else place
    if chosen is None:
        raise InvalidSettings(
            "It is not said where backups go.",
            remedy="Set backup.to in the settings, or name a folder or s3://… on the command line.",
        )
    named = normal(project, chosen)
    return Target(named, project.open_blobs(named), project.tenant)


def normal(project: Project, place: str) -> str:
    """One spelling for one place: a folder as its absolute path, a URL without the slash at its end."""
    if not place.strip():
        raise InvalidSettings("The place for backups is empty.", remedy=_PLACES)
    try:
        named = place_of(place)
    except ValueError as error:
        raise InvalidSettings(f"The place for backups: {error}.", remedy=_PLACES) from None
    if is_url(named):
        return named
    return str((project.settings.root / place).expanduser().resolve())


def open_backups(project: Project) -> Copies | None:
    """What the backups in ``backup.to`` hold of this project's objects; None where none is set."""
    return Copies(open_target(project)) if project.settings.backup.to else None


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


_PLACES = "Name a folder, or s3://BUCKET/PREFIX."
_OTHER = "'everloop backup verify' says what is whole in {place}; restore from another backup or place."
