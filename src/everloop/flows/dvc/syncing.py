"""Push, pull, check out and look: DVC's own verbs, with every object hashed, which DVC does not do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from everloop.core.dvc import DvcFile, Pointer, Repository, Selection, State, Tracked
from everloop.core.errors import Invalid, MLOpsError, Unreadable
from everloop.flows.project import Project
from everloop.store import dvc as dvc_files

from .places import folder_of, within

_WORST: tuple[State, ...] = ("damaged", "missing", "whole")


def push(project: Project, targets: Sequence[str | Path] = (), remote: str | None = None) -> str:
    """``dvc push``, after hashing what would go: a damaged object never reaches the remote. What DVC said.
    Raises Corrupt, and once the rest is pushed NotFound for objects that are nowhere, and Unreadable."""
    repository, chosen = _open(project, targets)
    with _unreadable_told(chosen, "pushed"):
        repository.require_whole(chosen.pointers)
        return "" if chosen.empty else repository.push(chosen, remote)


def pull(
    project: Project, targets: Sequence[str | Path] = (), remote: str | None = None, *, force: bool = False
) -> list[Path]:
    """``dvc pull``, hashed before it reaches the work tree and after; damaged objects in the cache are
    replaced by the remote's. The files that are in place. Raises Corrupt, and once the others are in place
    NotFound for objects that are nowhere, and Unreadable."""
    repository, chosen = _open(project, targets)
    with _unreadable_told(chosen, "in place"):
        if not chosen.empty:
            repository.pull(chosen, remote, force=force)
        return repository.require_same(chosen.pointers)


def checkout(
    project: Project, targets: Sequence[str | Path] = (), *, rev: str | None = None, force: bool = False
) -> list[Path]:
    """Give files the content that their ``.dvc`` files name, or named at a git revision. What the cache lacks
    comes from the remote; the files are hashed before and after. Raises Corrupt, NotFound, Refused, and once
    the others are in place Unreadable."""
    if rev is None:
        repository, chosen = _open(project, targets)
        with _unreadable_told(chosen, "in place"):
            repository.require_whole(chosen.pointers, missing=True)
            if not chosen.empty:
                repository.checkout(chosen.targets, force=force)
            return repository.require_same(chosen.pointers)
    if not targets:
        raise Invalid("A revision is given, but no file.", remedy="Name a .dvc file.")
    repository = project.open_dvc().open_here(folder_of(project, targets))
    files = [
        target if target.endswith(".dvc") else f"{target}.dvc"
        for target in within(project, repository, targets)
    ]
    for file in files:
        repository.require_whole(repository.read(file, rev), missing=True)
        with repository.turned_back(file, rev, force=force):
            repository.checkout([file], force=force)
    return repository.require_same(repository.select(files).pointers)


def status(project: Project, targets: Sequence[str | Path] = ()) -> list[Tracked]:
    """What is under DVC in the work tree, its objects hashed, and which version each file is; at the end the
    pointer files that cannot be read."""
    repository, chosen = _open(project, targets)
    changes = {} if chosen.empty else repository.status(chosen)
    with project.store.reading() as tx:
        known = {file.md5: file for file in dvc_files.files(tx)}
    return [
        *(_tracked(repository, p, changes.get(p.path, ""), known.get(p.md5)) for p in chosen.pointers),
        *(
            Tracked(path=file, file=file, md5="", changed="", cache="unreadable", message=str(error))
            for file, error in chosen.unreadable.items()
        ),
    ]


def _tracked(repository: Repository, pointer: Pointer, changed: str, known: DvcFile | None) -> Tracked:
    states = repository.states(pointer).values()
    return Tracked(
        path=pointer.path,
        file=pointer.file,
        md5=pointer.md5,
        changed=changed,
        cache=next(state for state in _WORST if state in states),
        dataset=known.dataset if known else None,
        version_id=known.version_id if known else None,
    )


def _open(project: Project, targets: Sequence[str | Path]) -> tuple[Repository, Selection]:
    repository = project.open_dvc().open_here(folder_of(project, targets))
    return repository, repository.select(within(project, repository, targets))


@contextmanager
def _unreadable_told(chosen: Selection, done: str) -> Iterator[None]:
    """Raise Unreadable for pointer files once the others are done, or say it with what else went wrong."""
    said = " ".join(error.message for error in chosen.unreadable.values())
    try:
        yield
    except MLOpsError as error:
        error.message = f"{error.message} {said}".rstrip()
        raise
    if said:
        remedy = next(iter(chosen.unreadable.values())).remedy
        raise Unreadable(f"{said} The others are {done}." if chosen.pointers else said, remedy=remedy)
