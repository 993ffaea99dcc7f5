"""The drill: restore a backup to where nobody works, and compare every version with its hash."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta

from everloop.core.ids import token
from everloop.flows import data
from everloop.flows.project import Project
from everloop.flows.saved import open_target
from everloop.store import history

from .checking import check
from .restoring import bring, choose, differences, overlooked, staged
from .saving import Progress, quiet

_COMMITTED = timedelta(minutes=10)  # after which a version that was dated is surely recorded as well


@dataclass(frozen=True)
class Drilled:
    """What a drill found. ``problems`` is empty when all could be restored as it was."""

    backup_id: str
    versions: int
    runs: int
    rows: int
    objects: int
    bytes: int
    seconds: float
    problems: tuple[str, ...]


def drill(
    project: Project,
    backup_id: str | None = None,
    *,
    source: str | None = None,
    progress: Progress = quiet,
) -> Drilled:
    """Restore a backup [the newest] into a folder that is removed afterwards: read every object, build the
    metadata, compute the id of every data version anew, read every file of every run, and look whether a
    version that the project has had since before the backup is not in it. The history keeps the outcome.
    """
    target = open_target(project, source)
    begun = project.clock.monotonic()
    with project.locks.hold("backup"):
        backup = choose(target, backup_id, None)
        unread = overlooked(target, backup) if backup_id is None else ()
        for left in project.settings.state.glob("drill-*"):  # of drills that were killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        folder = project.settings.state / f"drill-{token()}"
        folder.mkdir(parents=True)
        try:
            stores = {name: project.open_blobs(str(folder / name)) for name in ("data", "artifacts")}
            brought = bring(target, backup, stores, progress)
            with staged(project, target, backup, None, folder, stores) as copy:
                checked = check(copy, progress)
                problems = [*unread, *checked.problems, *differences(copy.store, backup)]
                there = {version.version_id for version in data.list_versions(copy)}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    problems += [
        f"{version.dataset}@{version.short} is not in the backup"
        for version in data.list_versions(project)
        if version.created_at < backup.at - _COMMITTED and version.version_id not in there
    ]
    problems += [f"{name} was damaged when it was saved" for name in backup.damaged]
    done = Drilled(
        backup_id=backup.id,
        versions=checked.versions,
        runs=checked.runs,
        rows=checked.rows,
        objects=len(brought),
        bytes=sum(found.size for found in brought),
        seconds=project.clock.monotonic() - begun,
        problems=tuple(problems),
    )
    _note(project, done)
    return done


def _note(project: Project, done: Drilled) -> None:
    outcome = f"{len(done.problems)} problems" if done.problems else "all as it was"
    said = f"{done.backup_id} restored for a drill: {done.versions} versions, {done.runs} runs, {outcome}"
    details = {"seconds": round(done.seconds, 3), "problems": list(done.problems[:20])}
    with project.store.writing() as tx:
        history.append(
            tx, "backup", "drilled", said, at=project.clock.now(), by=project.user, details=details
        )
