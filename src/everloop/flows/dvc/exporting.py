"""A version as a file that DVC tracks: the bytes that DVC has of it where it has them, else written anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from everloop.core.data import DatasetVersion
from everloop.core.dvc import DvcFile, Exported, Pointer, Repository, Selection
from everloop.core.errors import Corrupt, Invalid, NotFound, Refused, Unavailable
from everloop.data.listing import FILE
from everloop.flows import data, files
from everloop.flows.project import Project
from everloop.store import dvc as dvc_files

from .adding import record
from .places import folder_of, repository_name, within

_SHOWN = 10


def export(
    project: Project, version: DatasetVersion, to: str | Path, *, force: bool = False, commit: bool = False
) -> Exported:
    """Write a version to a file or folder and put that under DVC, so that plain ``dvc push`` and ``dvc pull``
    work.

    The md5 of a file written anew depends on the library that wrote it, so the first is remembered, and the
    object that DVC keeps of it (or of the original that was imported) is taken first. Raises Refused where
    ``to`` holds something that DVC does not keep, unless ``force``; of a folder, anything in it.
    """
    target = project.settings.root / Path(to).expanduser()
    repository = project.open_dvc().open_here(folder_of(project, [to]))
    [path] = within(project, repository, [to])
    if target.is_dir() and version.kind == "table":
        raise Invalid(f"{target} is a folder.", remedy="Name a file.")
    if target.exists() and not force:
        _require_kept(repository, target, path)
    known = _known(project, version, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    taken = any(_take(project, repository, file, target) for file in known)
    if not taken:
        _write(project, version, target)
    pointer = repository.add(path)
    if commit:
        repository.commit(pointer, f"Track {path} with DVC")
    if taken or _is_kept_whole(project, version):
        record(project, version, pointer, "exported", repository=repository_name(project, repository))
    first = next((file.md5 for file in known), None)
    other = first if first != pointer.md5 and not taken else None
    source = repository.root / pointer.file
    return Exported(
        version.version_id,
        target,
        source,
        pointer.md5,
        "dvc" if taken else "written",
        other,
        repository.left_out(pointer),
    )


def _known(project: Project, version: DatasetVersion, target: Path) -> list[DvcFile]:
    """Files that were this version, oldest first; of a table those that end as the target does."""
    with project.store.reading() as tx:
        files = dvc_files.files(tx, version_id=version.version_id)
    ending = _ending(target.name)
    return [file for file in files if version.kind != "table" or _ending(file.path) == ending]


def _ending(name: str) -> str:
    """``.csv.gz`` is one ending."""
    suffixes = Path(name.lower()).suffixes
    return "".join(suffixes[-2:] if suffixes[-1:] in ([".gz"], [".zip"]) else suffixes[-1:])


def _take(project: Project, repository: Repository, file: DvcFile, target: Path) -> bool:
    """Write the object that DVC keeps, if it is still to be had somewhere, whole."""
    try:
        if not file.repository:
            repository.restore(file.pointer, target)
            return True
        scratch = project.settings.state / "dvc" / "export"
        with (
            project.locks.hold("dvc/export"),
            project.open_dvc().open_for_reading(file.repository, scratch) as other,
        ):
            other.restore(file.pointer, target)
    except (NotFound, Corrupt, Invalid, Unavailable):
        return False
    return True


def _write(project: Project, version: DatasetVersion, target: Path) -> None:
    if version.kind == "table":
        data.export(project, version, target, force=True)
        return
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        files.restore(project, version, draft)
        if target.is_dir():
            shutil.rmtree(target)
        _content_of(version, draft).replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _content_of(version: DatasetVersion, folder: Path) -> Path:
    """The folder that a version was written to, or the one file in it where it was registered as a file."""
    alone = folder / Path(version.source).name
    return alone if alone.is_file() and list(folder.iterdir()) == [alone] else folder


def _is_kept_whole(project: Project, version: DatasetVersion) -> bool:
    """Whether the version can be had again of what DVC keeps: it has no links, no empty folders and no bit
    that says a file is a program."""
    return version.kind == "table" or all(file.kind == FILE for file in files.list_files(project, version))


def _require_kept(repository: Repository, target: Path, path: str) -> None:
    lost = _of_a_folder(repository, path) if target.is_dir() else _of_a_file(repository, target, path)
    if lost:
        raise Refused(
            f"{target} is there, and DVC does not keep {lost}.",
            remedy="Name another place, keep it with 'everloop dvc add', or say --force.",
        )


def _of_a_file(repository: Repository, target: Path, path: str) -> str:
    """What DVC does not keep of a file: empty, or all of it."""
    pointer = Pointer(f"{path}.dvc", path, repository.md5_of(target))
    return "" if repository.states(pointer)[path] == "whole" else "it"


def _of_a_folder(repository: Repository, path: str) -> str:
    """What DVC does not keep of a folder: empty where it is what its ``.dvc`` file says and no more."""
    if not (repository.root / f"{path}.dvc").is_file():
        return "it"
    pointers = tuple(pointer for pointer in repository.read(f"{path}.dvc") if pointer.path == path)
    states = {state for pointer in pointers for state in repository.states(pointer).values()}
    if states != {"whole"} or repository.status(Selection(pointers, (f"{path}.dvc",))):
        return "it as it is now"
    left_out = [name for pointer in pointers for name in repository.left_out(pointer)]
    shown = ", ".join(f"'{name}'" for name in left_out[:_SHOWN])
    return shown + (f" and {len(left_out) - _SHOWN:,} more" if len(left_out) > _SHOWN else "")
