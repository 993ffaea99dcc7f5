"""Restore: build the metadata beside, bring the objects, check everything, and only then put it in place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from everloop.core.errors import Conflict, Corrupt, NotFound, Refused, UnknownVersion
from everloop.core.ids import token
from everloop.core.ports import Blobs
from everloop.flows.content.leases import leased
from everloop.flows.project import Project
from everloop.flows.saved import Backup, Found, Object, Rows, Target, open_target
from everloop.settings.writing import standalone
from everloop.store import changes, history
from everloop.store.database import Store, Tx
from everloop.store.replay import Change, rebuild, refill
from everloop.store.tables import turns
from everloop.store.times import to_text

from .checking import Checked, check
from .saving import Progress, quiet, save

_AT_ONCE = 4
DATABASE = "everloop.db"


@dataclass(frozen=True)
class Restored:
    """What a restore brought. ``at`` is the moment that the project is at now, ``before`` the backup of what
    was in place until then; ``objects`` counts those that were missing or damaged, ``bytes`` is of them."""

    backup_id: str
    at: datetime
    place: str
    rows: int
    versions: int
    runs: int
    objects: int
    bytes: int
    seconds: float
    before: str | None = None
    problems: tuple[str, ...] = ()


def restore(
    project: Project,
    backup_id: str | None = None,
    *,
    at: datetime | None = None,
    source: str | None = None,
    into: Path | None = None,
    over: bool = False,
    keep_going: bool = False,
    progress: Progress = quiet,
) -> Restored:
    """The project as it was in a backup [the newest that no restore made], or at any moment that they cover.

    With ``into`` as a project of its own in a new folder; else in place, where what is there now is backed up
    first and ``over`` has to say that it may be replaced. All that comes is checked before anything changes;
    what is not as it was saved is an error, or with ``keep_going`` told in ``problems`` while all else comes.
    That a backup newer than the newest one cannot be read is told there in any case.
    Killed at any moment there is the old state or the new one.

    Raises:
        UnknownVersion: no backup of that name, or none that covers ``at``.
        Corrupt: the backup, or something in it, is damaged; nothing has changed.
        Refused: there is something in place, and not ``over``.
        Busy: a turn, a delivery, another backup or restore is at work.
    """
    target = open_target(project, source)
    with ExitStack() as held:
        for name in _locks(project, whole=into is None):
            held.enter_context(project.locks.hold(name))
        backup = choose(target, backup_id, at)
        unread = overlooked(target, backup) if backup_id is None and at is None else ()
        if into is not None:
            done = _restore_beside(project, target, backup, at, into, keep_going, progress)
        else:
            # What is brought is needed by no row until the end: a lease keeps a collection away from it.
            held.enter_context(leased(project.data, project.tenant, project.clock))
            done = _restore_in_place(project, target, backup, at, over, keep_going, progress)
        return replace(done, problems=(*unread, *done.problems))


def choose(target: Target, backup_id: str | None, at: datetime | None) -> Backup:
    """The backup to restore from: that of the name, the nearest one not before ``at``, or the newest. That is
    not what a restore put aside, so that one which was killed or failed is done by doing it again."""
    if backup_id is not None:
        return target.find(backup_id)
    found = target.found()
    if not found.backups and found.damaged:
        raise Corrupt(
            f"No backup in {target.place} can be read: the files of {', '.join(found.damaged)} are damaged.",
            remedy="Put these files back from a copy of the place.",
        )
    if not found.backups:
        raise UnknownVersion(
            f"There is no backup in {target.place}.", remedy="'everloop backup create' makes one."
        )
    if at is None:
        return ([backup for backup in found.backups if not backup.aside] or found.backups)[-1]
    covering = [backup for backup in found.backups if backup.reaches_back_to <= at <= backup.at]
    if not covering:
        spans = "; ".join(spelled(span) for span in windows(found))
        later = f" 'everloop backup create --to {target.place}' covers the time until now."
        raise UnknownVersion(
            f"The backups in {target.place} do not cover {_precise(at)}.",
            remedy=f"Covered: {spans} (UTC).{later if at > found.backups[-1].at else ''}",
        )
    return covering[0]


def overlooked(target: Target, backup: Backup) -> tuple[str, ...]:
    """What keeps the newest backup that can be read from being the newest, in sentences."""
    return tuple(
        f"a backup newer than {backup.id} cannot be read: {where} is damaged"
        for where in target.damaged_after(backup)
    )


def windows(found: Found) -> list[tuple[datetime, datetime]]:
    """The spans of time that can be restored, oldest first: each backup reaches back to a base."""
    spans: list[tuple[datetime, datetime]] = []
    for begin, end in sorted((backup.reaches_back_to, backup.at) for backup in found.backups):
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans


def spelled(span: tuple[datetime, datetime]) -> str:
    """A span in whole seconds that lie in it; one that holds none, to the microsecond."""
    begin, end = span[0] + timedelta(microseconds=-span[0].microsecond % 1_000_000), span[1]
    if begin > end:
        return f"{_precise(span[0])} to {_precise(end)}"
    return f"any moment from {_said(begin)} to {_said(end)}"


@contextmanager
def staged(
    project: Project,
    target: Target,
    backup: Backup,
    at: datetime | None,
    folder: Path,
    stores: Mapping[str, Blobs],
) -> Iterator[Project]:
    """The project with the metadata of a backup, in a new database in ``folder``, and with these stores."""
    path = folder / DATABASE
    rows = backup.past if backup.past and at and at < backup.rows.base_at else backup.rows
    store = rebuild(path, project.tenant, project.clock, _history(target, rows, at or backup.at), rows.schema)
    try:
        yield replace(project, store=store, data=stores["data"], artifacts=stores["artifacts"])
    finally:
        store.close()


def bring(
    target: Target,
    backup: Backup,
    stores: Mapping[str, Blobs],
    progress: Progress,
    damaged: list[str] | None = None,
) -> list[Object]:
    """Copy the objects of a backup that are missing or damaged in ``stores``; returns those. All are read.
    One that is damaged in the backup raises Corrupt, or is told in ``damaged``."""
    everything = target.inventory(backup).values()
    # A manifest comes after the packs that it names: killed in between, the one in place is good still.
    wanted = sorted(everything, key=lambda found: (found.key.endswith(".manifest"), found.store, found.key))
    manifests = [found for found in wanted if found.key.endswith(".manifest")]

    def one(found: Object) -> bool:
        there = stores[found.store]
        with suppress(NotFound, Corrupt):
            if sha256(there.get(found.key)).hexdigest() == found.sha256:
                return False
        try:
            content = target.fetch(found)
        except Corrupt as error:
            if damaged is None:
                raise
            damaged.append(error.message)
            return False
        there.replace(found.key, content)
        return True

    brought = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        steps = chain(pool.map(one, wanted[: len(wanted) - len(manifests)]), map(one, manifests))
        for done, (found, copied) in enumerate(zip(wanted, steps, strict=True), 1):
            progress("objects", done, len(wanted))
            if copied:
                brought.append(found)
    return brought


# -- beside --------------------------------------------------------------------------------------------------


def _restore_beside(
    project: Project,
    target: Target,
    backup: Backup,
    at: datetime | None,
    into: Path,
    keep_going: bool,
    progress: Progress,
) -> Restored:
    begun = project.clock.monotonic()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Conflict(
            f"{into} is there already and not empty.", remedy="Name a folder that is not there yet."
        )
    draft = into.with_name(f".{into.name}.restoring")
    shutil.rmtree(draft, ignore_errors=True)  # of a restore that was killed: we hold the lock
    state = draft / ".everloop"
    state.mkdir(parents=True)
    try:
        stores = {name: project.open_blobs(str(state / place)) for name, place in _PLACES.items()}
        damaged: list[str] | None = [] if keep_going else None
        brought = bring(target, backup, stores, progress, damaged)
        with staged(project, target, backup, at, state, stores) as copy:
            checked = _proved(copy, backup, at, damaged, progress)
            _note(copy, backup, at)
            rows = sum(counts(copy.store).values())
        _write_settings(project, target, backup, draft)
        project.move_folder(draft, into)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _summary(project, backup, at, str(into), rows, checked, brought, begun)


_PLACES = {"data": "data", "artifacts": "models"}


def _write_settings(project: Project, target: Target, backup: Backup, folder: Path) -> None:
    """The settings file as it was, for reference, and one that works here: without the places of the old
    project, so that nothing that is done with the copy touches the original."""
    text = ""
    if backup.settings:
        text = "".join(str(line["text"]) for line in target.read_part(backup.settings))
        project.write_file(folder / "everloop-as-saved.yaml", text.encode())
    own = standalone(text, project.tenant, project.settings.root)
    project.write_file(folder / "everloop.yaml", own.encode())


# -- in place ------------------------------------------------------------------------------------------------


def _restore_in_place(
    project: Project,
    target: Target,
    backup: Backup,
    at: datetime | None,
    over: bool,
    keep_going: bool,
    progress: Progress,
) -> Restored:
    begun = project.clock.monotonic()
    there = sum(counts(project.store).values())
    if there and not over:
        raise Refused(
            f"There is a project in {project.settings.root} already.",
            remedy="Say --replace (what is there is backed up first), or --into a new folder.",
        )
    before = save(project, target, adopt=True, aside=True, progress=progress) if there else None
    folder = project.settings.state / f"restore-{token()}"
    _sweep(project)
    folder.mkdir(parents=True)
    try:
        stores = {"data": project.data, "artifacts": project.artifacts}
        damaged: list[str] | None = [] if keep_going else None
        brought = bring(target, backup, stores, progress, damaged)
        with staged(project, target, backup, at, folder, stores) as copy:
            checked = _proved(copy, backup, at, damaged, progress)
            _note(copy, backup, at, before)
            with copy.store.snapshot() as source, project.store.writing() as tx:
                _check_untouched(tx, before)
                changes.forget(tx)
                placed = refill(tx, source)
                if placed != changes.count_rows(tx) or placed != changes.count_rows(source):
                    raise Corrupt("The rows put in place are not those of the backup.", remedy="Report this.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = sum(placed.values())
    done = _summary(project, backup, at, str(project.settings.root), rows, checked, brought, begun)
    return replace(done, before=before.id if before else None)


def _check_untouched(tx: Tx, before: Backup | None) -> None:
    """Whoever registers data holds no lock that we could take."""
    now = changes.newest(tx, before.sequence) if before else sum(changes.count_rows(tx).values())
    if now != (before.sequence if before else 0):
        raise Conflict("Somebody wrote into the project meanwhile.", remedy="Nothing was changed. Try again.")


def _sweep(project: Project) -> None:
    """Folders of restores that were killed: we hold the lock, so nobody is at work in them."""
    for folder in project.settings.state.glob("restore-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _locks(project: Project, *, whole: bool) -> list[str]:
    """What nobody else may do while a restore is at work: in place also turns and deliveries."""
    if not whole:
        return ["backup"]
    with project.store.reading() as tx:
        models = {*project.settings.models, *tx.distinct(turns, "model")}
    return ["backup", "deliver", *sorted(f"model/{name}" for name in models)]


# -- both ----------------------------------------------------------------------------------------------------


def _history(target: Target, rows: Rows, at: datetime) -> Iterator[Change]:
    """All rows of the base, and what became of them until ``at``."""
    for part in rows.base:
        for line in target.read_part(part):
            yield Change(rows.schema, line["table"], "put", line["row"])
    until = to_text(at)
    for part in rows.changes:
        for line in target.read_part(part):
            if line["at"] > until:
                return
            yield Change(line["schema"], line["table_name"], line["op"], line["content"])


def _note(copy: Project, backup: Backup, at: datetime | None, before: Backup | None = None) -> None:
    """A line in the history of what is restored."""
    moment = _said(at or backup.at)
    details: dict[str, Any] = {"backup": backup.id, "at": moment, "before": before.id if before else None}
    with copy.store.writing() as tx:
        said = f"restored to {moment} UTC from {backup.id}"
        history.append(tx, "backup", "restored", said, at=copy.clock.now(), by=copy.user, details=details)


def differences(store: Store, backup: Backup) -> list[str]:
    """Tables that have not as many rows as when they were saved."""
    found = counts(store)
    return [
        f"{name}: {found.get(name, 0)} rows instead of {many}"
        for name, many in backup.counts.items()
        if found.get(name, 0) != many
    ]


def _proved(
    copy: Project, backup: Backup, at: datetime | None, damaged: list[str] | None, progress: Progress
) -> Checked:
    """What was looked at, with all that is wrong. Raises Corrupt for that unless ``damaged`` is a list."""
    checked = check(copy, progress)
    problems = [*checked.problems, *(differences(copy.store, backup) if at is None else ())]
    if problems and damaged is None:
        shown = "; ".join(problem.rstrip(".") for problem in problems[:5])
        raise Corrupt(
            f"{len(problems)} things in this backup are not what was saved: {shown}.",
            remedy="Nothing was changed. --keep-going restores all else; 'everloop backup drill ID' says "
            "whether another backup has them whole.",
        )
    return replace(checked, problems=(*(damaged or ()), *problems))


def _summary(
    project: Project,
    backup: Backup,
    at: datetime | None,
    place: str,
    rows: int,
    checked: Checked,
    brought: list[Object],
    begun: float,
) -> Restored:
    return Restored(
        backup_id=backup.id,
        at=at or backup.at,
        place=place,
        rows=rows,
        versions=checked.versions,
        runs=checked.runs,
        objects=len(brought),
        bytes=sum(found.size for found in brought),
        seconds=project.clock.monotonic() - begun,
        problems=checked.problems,
    )


def counts(store: Store) -> dict[str, int]:
    with store.reading() as tx:
        return changes.count_rows(tx)


def _precise(moment: datetime) -> str:
    return to_text(moment)[:26].replace("T", " ") if moment.microsecond else _said(moment)


def _said(moment: datetime) -> str:
    return to_text(moment)[:19].replace("T", " ")
