"""The history of a DVC project, as versions: each commit in which a pointer changed, parents first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from everloop.core.dvc import History, Import, Imported, Outcome, Pointer, Repository, Sighting
from everloop.core.errors import Corrupt, Invalid, NotFound, nearest
from everloop.flows import data
from everloop.flows.project import Project
from everloop.store import dvc as dvc_files
from everloop.store import refs

from . import content
from .adding import record
from .following import follow
from .lineage import newest_imported, put_in_order
from .places import dataset_of, repository_name

Tell = Callable[[int, int, str], None]
"""Told how many are done, of how many, and what comes next."""


def import_history(
    project: Project,
    source: str | Path | None = None,
    *,
    dataset: str | None = None,
    paths: Sequence[str] = (),
    revisions: str | None = None,
    encoding: str | None = None,
    tell: Tell | None = None,
) -> Import:
    """Register what the ``.dvc`` files and ``dvc.lock`` of a DVC project have pointed to, in git's order.

    ``source`` is a folder or git URL [the project's own]. ``paths`` are data files, folders or pointer files,
    ``revisions`` a git revision or range [all branches and tags]. ``dataset`` takes one file's history; else
    each file has its own dataset, called like its path. What is missing or damaged is told in the answer and
    does not stop the rest. Done again, it takes up what is new.
    """
    place: str | Path = project.settings.root
    if source is not None:
        near = project.settings.root / Path(str(source)).expanduser()
        place = near if near.exists() else str(source)
    scratch = project.settings.state / "dvc" / "import"
    with (
        project.locks.hold("dvc/import"),
        project.open_dvc().open_for_reading(place, scratch) as repository,
    ):
        history = repository.history(revisions)
        chosen = _chosen(history, paths)
        if dataset and len({s.pointer.path for s in chosen}) > 1:
            shown = ", ".join(sorted({f"'{s.pointer.path}'" for s in chosen})[:5])
            raise Invalid(
                f"The histories of several files cannot be one dataset: {shown}.", remedy="Say --path FILE."
            )
        name = repository_name(project, repository)
        work = _Work(project, repository, name, dataset, encoding)
        work.remember()
        files = []
        for number, sighting in enumerate(chosen):
            if tell:
                tell(number, len(chosen), f"{sighting.pointer.path} {sighting.commit.commit_id[:10]}")
            files.append(work.take(sighting))
            repository.release()
        if revisions is None:
            put_in_order(project, name, work.taken, work.by_md5)
        follow(project, name, work.datasets, history.tips, work.by_md5, work.heads)
        if tell:
            tell(len(chosen), len(chosen), "")
        return Import(name or str(repository.root), tuple(files), history.problems, history.shallow)


def _chosen(history: History, paths: Sequence[str]) -> list[Sighting]:
    wanted = [path.rstrip("/").removeprefix("./") for path in paths]
    for path in wanted:
        if not any(_meant(path, s.pointer) for s in history.sightings):
            known = {s.pointer.path for s in history.sightings}
            raise NotFound(f"'{path}' was never under DVC there.", remedy=nearest(path, known))
    return [s for s in history.sightings if not wanted or any(_meant(p, s.pointer) for p in wanted)]


def _meant(path: str, pointer: Pointer) -> bool:
    return path in (pointer.path, pointer.file) or pointer.path.startswith(f"{path}/")


@dataclass
class _Work:
    """One import: what it has found out so far."""

    project: Project
    repository: Repository
    name: str
    dataset: str | None
    encoding: str | None
    done: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    by_md5: dict[tuple[str, str], str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)
    """Path of data -> dataset."""
    heads: dict[str, str | None] = field(default_factory=dict)
    """Dataset -> where its ``main`` stood before."""
    taken: list[tuple[str, Sighting]] = field(default_factory=list)
    """Dataset and sighting, in git's order."""

    def remember(self) -> None:
        """What earlier imports and additions have recorded: nothing of it is read again."""
        with self.project.store.reading() as tx:
            known = dvc_files.files(tx)
        for file in known:
            self.by_md5[file.dataset, file.md5] = file.version_id
            if file.repository == self.name:
                self.done[file.dataset, file.path, file.commit, file.md5] = file.version_id

    def take(self, sighting: Sighting) -> Imported:
        pointer, commit = sighting.pointer, sighting.commit.commit_id
        dataset, encoding = dataset_of(self.project, self.repository.root, pointer.path)
        dataset, encoding = self.dataset or dataset, self.encoding or encoding
        self.datasets[pointer.path] = dataset
        if dataset not in self.heads:
            with self.project.store.reading() as tx:
                self.heads[dataset] = refs.head(tx, dataset)
        self.taken.append((dataset, sighting))

        def become(outcome: Outcome, version_id: str | None = None, message: str = "") -> Imported:
            return Imported(outcome, dataset, pointer.path, commit, pointer.md5, version_id, message)

        done = self.done.get((dataset, pointer.path, commit, pointer.md5))
        if done:
            return become("done", done)
        known = self.by_md5.get((dataset, pointer.md5))
        if known:
            version, new = data.find(self.project, known, dataset), False
        else:
            try:
                version, new = content.register(
                    self.project,
                    self.repository,
                    pointer,
                    dataset,
                    encoding=encoding,
                    origin=self._origin(sighting),
                    parent=newest_imported(sighting.before, dataset, self.by_md5),
                )
            except Corrupt as error:
                return become("corrupt", message=str(error))
            except NotFound as error:
                return become("missing", message=str(error))
            except Invalid as error:
                return become("unreadable", message=str(error))
        record(self.project, version, pointer, "imported", repository=self.name, commit=commit)
        self.by_md5[dataset, pointer.md5] = version.version_id
        return become("new" if new else "known", version.version_id)

    def _origin(self, sighting: Sighting) -> dict[str, str]:
        commit = sighting.commit
        return content.origin_of(
            sighting.pointer,
            commit=commit.commit_id,
            author=commit.author,
            date=commit.date,
            rev=", ".join(commit.refs),
            repository=self.name,
        )
