"""Make a backup: rows and changes in one picture of the database, then the objects that the target lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from everloop.core.errors import Corrupt, InvalidSettings, NotFound, Refused
from everloop.core.ids import new_id
from everloop.core.ports import Blobs
from everloop.flows import data
from everloop.flows.artifacts import files_by_run
from everloop.flows.content.inventory import COLLECTING, DAMAGED, LEASES, REWRITTEN
from everloop.flows.content.leases import leased
from everloop.flows.content.objects import Objects
from everloop.flows.content.verifying import is_right
from everloop.flows.project import Project
from everloop.flows.saved import (
    STORES,
    Backup,
    Found,
    Line,
    Object,
    Part,
    Rows,
    Saved,
    Target,
    normal,
    open_target,
)
from everloop.settings.storage import is_url
from everloop.store import changes
from everloop.store.changes import Mark
from everloop.store.database import Tx, to_json
from everloop.store.migrations import HEAD
from everloop.store.tables import BACKED_UP

Progress = Callable[[str, int, int], None]
Key = tuple[str, str]
_AT_ONCE = 4
_DAMAGED, _GONE = "damaged", "gone"
_HASHED = re.compile(r"/[0-9a-f]{40,128}\.[^/]+$")  # other files are none of ours, and saved as they are
_OF_THE_MOMENT = (LEASES, COLLECTING, REWRITTEN, DAMAGED)  # signs of work, and what a repair kept aside
_SIGN_OF_LIFE = 600.0
_SKEW = timedelta(minutes=5)  # by which the clocks of store and project may differ
_SMALL = 256_000  # bytes of changes that are always fewer than a new base is worth
_LONG = 200  # parts of changes after which a base is taken in any case


class Stopped(Exception):
    """A backup was asked to stop. What it has copied is there for the next one."""


@dataclass
class _Copied:
    """What became of the project's objects: those the target has now, the new ones of them, those that are
    damaged in the project, and of these those that the target has from earlier."""

    present: dict[Key, Object]
    new: list[Object]
    damaged: list[Key]
    kept: list[Key]


def quiet(what: str, done: int, total: int) -> None:
    """Nobody looks."""


def create(
    project: Project,
    to: str | None = None,
    *,
    full: bool = False,
    adopt: bool = False,
    progress: Progress = quiet,
    stop: Callable[[], bool] = lambda: False,
) -> Backup:
    """Save what has changed since the newest backup in the target. With ``full`` all rows are saved again,
    all objects read, here and there, and those that are damaged in the target replaced.

    A backup in the target that is damaged is not gone on from: then all rows are saved again by itself.
    One at a time. Interrupted at any point there is no new backup, and the next one goes on with what was
    copied. An object that is damaged in the project is named in ``damaged``; all others are saved.

    Raises:
        Refused: the target belongs to another project, or to the one that this is a copy of, and not
            ``adopt``.
        InvalidSettings: the target is in the project's own state, or around it.
        Busy: another backup, restore or drill is at work.
    """
    target = open_target(project, to)
    with project.locks.hold("backup"):
        return save(project, target, full=full, adopt=adopt, progress=progress, stop=stop)


def save(
    project: Project,
    target: Target,
    *,
    full: bool = False,
    adopt: bool = False,
    aside: bool = False,
    progress: Progress = quiet,
    stop: Callable[[], bool] = lambda: False,
) -> Backup:
    """``create`` for one that holds the lock; ``aside`` for one that is about to replace what is there."""
    _check_place(project, target)
    found = target.found()
    newest = found.backups[-1] if found.backups else None
    with project.store.writing() as tx:
        if newest and not adopt:
            _check_owner(project, target, newest, changes.find(tx, target.place))
        mark, at = changes.begin(tx, target.place, project.clock)
    unread = _unread(target, found)
    whole_ones = [backup for backup in found.backups if backup.id not in unread]
    newest = whole_ones[-1] if whole_ones else None
    parent = _parent(whole_ones, mark)
    blank = Backup(
        id=new_id("backup", at),
        at=at,
        tenant=project.tenant,
        project=project.settings.project,
        folder=str(project.settings.root),
        sequence=mark.sequence,
        counts={},
        rows=Rows(at, HEAD, ()),
        aside=aside,
    )
    with project.store.snapshot() as tx:
        saved = _save_rows(tx, target, blank, parent, full=full)
    # An object is stored before a row names it: all that the rows name are in a list that is made now.
    copied = _copy_objects(project, target, newest, progress, stop, full=full)
    whole = saved.is_full
    listed = newest if whole else parent
    before = target.inventory(listed) if listed else {}
    lines = target.write_parts(_object_lines(copied.present, before, whole=whole))
    backup = replace(
        saved,
        objects=(*(parent.objects if parent and not whole else ()), *lines),
        own=len(lines),
        settings=_settings(project, target),
        object_count=len(copied.present),
        object_bytes=sum(each.size for each in copied.present.values()),
        new_objects=len(copied.new),
        new_bytes=sum(each.size for each in copied.new),
        damaged=tuple("/".join(key) for key in sorted(copied.damaged)),
        kept=tuple("/".join(key) for key in copied.kept),
        unread=unread,
    )
    target.write(backup)
    with project.store.writing() as tx:
        changes.reach(tx, mark, backup.id, backup.sequence, backup.at)
    return backup


def _check_place(project: Project, target: Target) -> None:
    """A backup in what it saves would save itself, and one around it would be lost with it."""
    settings = project.settings
    for own in (str(settings.state), settings.data_place, settings.models_place):
        here, there = normal(project, own), target.place
        inside = f"{there}/".startswith(f"{here}/")
        if inside or (not is_url(there) and f"{here}/".startswith(f"{there.rstrip('/')}/")):
            how = "in" if inside else "around"
            raise InvalidSettings(
                f"The place for backups, {there}, is {how} {here}, which is to be saved.",
                remedy="Name a folder that is neither in the project's state nor around it, or s3://….",
            )


def _unread(target: Target, found: Found) -> tuple[str, ...]:
    """The newest backups that are damaged, back to one that is whole."""
    unread = [key.rsplit("/", 1)[-1].removesuffix(".json") for key in found.damaged]
    for backup in reversed(found.backups):
        if target.is_whole(backup):
            break
        unread.append(backup.id)
    return tuple(sorted(unread))


def _check_owner(project: Project, target: Target, newest: Backup, mark: Mark | None) -> None:
    """A copy of a project has its marks as well: that the original is still in its folder tells it. Where
    that cannot be seen, the project was moved or is reached by another path: its marks are enough."""
    try:
        if Path(newest.folder).samefile(project.settings.root):
            return
        copied = project.settings.store.url is None  # else several folders use one database
    except OSError:
        copied = False
    if copied or mark is None or mark.reached(newest.id) is None:
        raise Refused(
            f"{target.place} holds backups of the project in {newest.folder}.",
            remedy="Give each project a place of its own. If this is that project, moved, say --adopt.",
        )


def _parent(backups: Sequence[Backup], mark: Mark) -> Backup | None:
    """The backup that this one goes on from: one that is there, and whose later changes are all kept."""
    fitting = [backup for backup in backups if mark.reached(backup.id) is not None]
    return fitting[-1] if fitting else None


def _is_long(rows: Rows) -> bool:
    """Whether the changes since a base are worth a new one."""
    grown = sum(part.size for part in rows.changes)
    return len(rows.changes) > _LONG or grown > max(_SMALL, sum(part.size for part in rows.base))


# -- rows ----------------------------------------------------------------------------------------------------


def _save_rows(tx: Tx, target: Target, blank: Backup, parent: Backup | None, *, full: bool) -> Backup:
    """The changes since ``parent``; all rows where there is none, or where it is time. Then the changes up to
    now are saved as well, so that the moments before are not lost."""
    at = changes.latest(tx, blank.at)
    sequence = changes.newest(tx, at_least=parent.sequence if parent else blank.sequence)
    saved = replace(blank, at=at, sequence=sequence, counts=changes.count_rows(tx))
    if parent is None:
        return replace(saved, rows=Rows(at, HEAD, target.write_parts(_rows(tx))))
    new = target.write_parts(_changes(tx, parent.sequence))
    longer = replace(parent.rows, changes=(*parent.rows.changes, *new))
    if full or _is_long(parent.rows):
        base = Rows(at, HEAD, target.write_parts(_rows(tx)))
        return replace(saved, parent=parent.id, rows=base, past=longer)
    return replace(saved, parent=parent.id, rows=longer, past=parent.past)


def _rows(tx: Tx) -> Iterator[Line]:
    for table in BACKED_UP:
        for row in tx.each(table):
            yield {"table": table.name, "row": to_json(row)}


def _changes(tx: Tx, sequence: int) -> Iterator[Line]:
    for row in changes.since(tx, sequence):
        yield {name: row[name] for name in ("at", "schema", "table_name", "op", "content")}


# -- objects -------------------------------------------------------------------------------------------------


def _copy_objects(
    project: Project,
    target: Target,
    newest: Backup | None,
    progress: Progress,
    stop: Callable[[], bool],
    *,
    full: bool,
) -> _Copied:
    """Copy what the target does not have. What has not been written since the newest backup is not read."""
    before = target.inventory(newest) if newest else {}
    settled = newest.at - _SKEW if newest and not full else None
    prefix = f"{project.tenant}/objects/"
    there = {entry.key: entry.size for entry in target.blobs.entries(prefix)}
    stores = {"data": project.data, "artifacts": project.artifacts}
    copied = _Copied({}, [], [], [])
    unknown: list[Key] = []

    def copy(key: Key) -> Object | str:
        if stop():
            raise Stopped
        return _copy(stores[key[0]], target, there, *key, full=full)

    with leased(project.data, project.tenant, project.clock) as lease:  # nothing is collected meanwhile
        for store in STORES:
            for entry in stores[store].entries(f"{project.tenant}/"):
                known = before.get((store, entry.key))
                saved = known and there.get(target.object_key(known.sha256)) == known.size == entry.size
                if known and saved and settled and entry.modified < settled:
                    copied.present[store, entry.key] = replace(known, gone=False)
                elif entry.key.split("/")[1] not in _OF_THE_MOMENT:
                    unknown.append((store, entry.key))
        renewed = project.clock.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for done, (key, found) in enumerate(zip(unknown, pool.map(copy, unknown), strict=True), 1):
                    progress("objects", done, len(unknown))
                    if project.clock.monotonic() > renewed + _SIGN_OF_LIFE:
                        lease.renew()
                        renewed = project.clock.monotonic()
                    if isinstance(found, Object):
                        copied.present[key] = found
                        if target.object_key(found.sha256) not in there:
                            copied.new.append(found)
                    elif found == _DAMAGED:
                        copied.damaged.append(key)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    earlier = {
        key: known
        for key, known in before.items()
        if key not in copied.present and there.get(target.object_key(known.sha256)) == known.size
    }
    needed = {*copied.damaged, *_still_needed(project, target, newest, earlier)} & set(earlier)
    for key in sorted(needed):
        copied.present[key] = replace(earlier[key], gone=False)
        copied.kept.append(key)
    copied.damaged = [key for key in copied.damaged if key not in needed]
    return copied


def _still_needed(
    project: Project, target: Target, newest: Backup | None, among: Mapping[Key, Object]
) -> set[Key]:
    """Which of the objects that the project no longer has its versions and runs need all the same: those were
    lost, not collected."""
    if newest is None or not among:
        return set()
    saved = Objects(Saved(target, newest, "data"), project.tenant)
    with project.store.reading() as tx:
        files = files_by_run(tx)
    needed = {("artifacts", address) for addresses in files.values() for address in addresses}
    for version in data.list_versions(project):
        key = saved.manifest_key(version.version_id)
        needed.add(("data", key))
        if ("data", key) in among or any(known.endswith(".pack") for _, known in among):
            for there in (Objects(project.data, project.tenant), saved):
                with suppress(NotFound, Corrupt):
                    packs = there.manifest(version.version_id).packs
                    needed |= {("data", there.pack_key(pack.id)) for pack in packs}
    return needed & set(among)


def _copy(
    source: Blobs, target: Target, there: Mapping[str, int], store: str, key: str, *, full: bool
) -> Object | str:
    """The copy, made where the target lacks it; or that the object is damaged in the project, or gone."""
    try:
        content = source.get(key)
        if _HASHED.search(key) and not is_right(key, content):
            return _DAMAGED
    except NotFound:
        return _GONE
    except Corrupt:
        return _DAMAGED
    found = Object(store, key, len(content), sha256(content).hexdigest())
    place = target.object_key(found.sha256)
    if there.get(place) != found.size or (full and not target.holds(found)):
        target.blobs.replace(place, content)
        if target.blobs.size(place) != found.size:
            raise Corrupt(
                f"{target.blobs.where(place)} is not as long as what was written there.",
                remedy="Check the disk or bucket, then make the backup again.",
            )
    return found


def _object_lines(present: dict[Key, Object], before: dict[Key, Object], *, whole: bool) -> Iterator[Line]:
    """What is new against ``before`` (all that is there, for a new base), then what is gone since."""
    old = {key: found for key, found in before.items() if not found.gone}
    for key, found in sorted(present.items()):
        if whole or old.get(key) != found:
            yield _line(found)
    for key, found in sorted(old.items()):
        if key not in present:
            yield _line(replace(found, gone=True))


def _line(found: Object) -> Line:
    return {name: getattr(found, name) for name in ("store", "key", "size", "sha256", "gone")}


def _settings(project: Project, target: Target) -> Part | None:
    """The project's settings file, as it is."""
    file = project.settings.file
    return target.write_text(file.read_text(encoding="utf-8")) if file and file.is_file() else None
