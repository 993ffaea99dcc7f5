"""A file put under DVC and registered as a version in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everloop.core.data import DatasetVersion
from everloop.core.dvc import DvcFile, How, Pointer
from everloop.core.errors import FileMissing, MLOpsError
from everloop.flows.project import Project
from everloop.store import dvc as dvc_files

from . import content
from .places import dataset_of, folder_of, repository_name, within


@dataclass(frozen=True)
class Added:
    """``commit`` is empty where git does not have the pointer file yet. ``left_out`` is what of a folder DVC
    does not keep: empty folders, links to folders, what ``.dvcignore`` names."""

    version: DatasetVersion
    new: bool
    pointer: Path
    md5: str
    commit: str
    left_out: tuple[str, ...] = ()


def initialise(project: Project) -> tuple[Path, bool]:
    """Make the project's folder a DVC project where it is in none; DVC's root, and whether it is new."""
    root, state = project.settings.root.resolve(), project.settings.state.resolve()
    ignored = [state.relative_to(root).as_posix()] if state.is_relative_to(root) else []
    return project.open_dvc().initialise(root, ignored)


def add(
    project: Project,
    file: str | Path,
    dataset: str | None = None,
    *,
    encoding: str | None = None,
    commit: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Added:
    """``dvc add`` a file, commit its pointer file if asked, and register exactly the bytes that DVC has now.

    Done again it goes on where it was cut. An error after DVC took the file says so.
    """
    place = project.settings.root / Path(file).expanduser()
    if not place.exists():
        raise FileMissing(f"There is no file {place}.", remedy="Check the path.")
    repository = project.open_dvc().open_here(folder_of(project, [file]))
    [path] = within(project, repository, [file])
    chosen, known_encoding = dataset_of(project, repository.root, path)
    pointer = repository.add(path)
    try:
        if commit:
            repository.commit(pointer, f"Track {path} with DVC")
        at_commit = repository.commit_of(pointer.file)
        author, date = repository.author_of(at_commit) if at_commit else ("", "")
        version, new = content.register(
            project,
            repository,
            pointer,
            dataset or chosen,
            encoding=encoding or known_encoding,
            origin=content.origin_of(pointer, commit=at_commit, author=author, date=date),
            tags=tags,
        )
    except MLOpsError as error:
        error.message = f"DVC has {path} now ({pointer.file}), but it is no version yet. {error.message}"
        raise
    name = repository_name(project, repository)
    record(project, version, pointer, "added", repository=name, commit=at_commit)
    left_out = repository.left_out(pointer)
    return Added(version, new, repository.root / pointer.file, pointer.md5, at_commit, left_out)


def record(
    project: Project,
    version: DatasetVersion,
    pointer: Pointer,
    how: How,
    *,
    repository: str,
    commit: str = "",
) -> None:
    """Remember which version a pointer's md5 is."""
    file = DvcFile(
        dataset=version.dataset,
        version_id=version.version_id,
        path=pointer.path,
        file=pointer.file,
        md5=pointer.md5,
        how=how,
        at=project.clock.now(),
        commit=commit,
        repository=repository,
        legacy=pointer.legacy,
        remote=pointer.remote,
    )
    with project.store.writing() as tx:
        dvc_files.add_file(tx, file)
