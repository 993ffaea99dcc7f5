"""Push, pull, check out and look: DVC's own verbs, with every object hashed, which DVC does not do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from everloop.core.dvc import DvcFile, Pointer, Repository, State, Tracked
from everloop.core.errors import Invalid
from everloop.flows.project import Project
from everloop.store import dvc as dvc_files

from .places import folder_of, within

_WORST: tuple[State, ...] = ("damaged", "missing", "whole")


def push(project: Project, targets: Sequence[str | Path] = (), remote: str | None = None) -> str:
    """``dvc push``, after hashing what would go: a damaged object never reaches the remote. What DVC said.
    Raises Corrupt, and NotFound, once the rest is pushed, for objects that are nowhere."""
    repository, chosen = _open(project, targets)
    pointers = repository.pointers(chosen)
    repository.require_whole(pointers)
    return repository.push(pointers, chosen, remote)


def pull(
    project: Project, targets: Sequence[str | Path] = (), remote: str | None = None, *, force: bool = False
) -> list[Path]:
    """``dvc pull``, hashed before it reaches the work tree and after; damaged objects in the cache are
    replaced by the remote's. The files that are in place."""
    repository, chosen = _open(project, targets)
    repository.pull(chosen, remote, force=force)
    return repository.require_same(repository.pointers(chosen))


def checkout(
    project: Project, targets: Sequence[str | Path] = (), *, rev: str | None = None, force: bool = False
) -> list[Path]:
    """Give files the content that their ``.dvc`` files name, or named at a git revision. What the cache lacks
    comes from the remote; the files are hashed before and after. Raises Corrupt, NotFound, Refused."""
    repository, chosen = _open(project, targets)
    if rev is None:
        repository.require_whole(repository.pointers(chosen), missing=True)
        repository.checkout(chosen, force=force)
        return repository.require_same(repository.pointers(chosen))
    if not chosen:
        raise Invalid("A revision is given, but no file.", remedy="Name a .dvc file.")
    for target in chosen:
        file = target if target.endswith(".dvc") else f"{target}.dvc"
        repository.require_whole(repository.read(file, rev), missing=True)
        with repository.turned_back(file, rev, force=force):
            repository.checkout([file], force=force)
    files = [target if target.endswith(".dvc") else f"{target}.dvc" for target in chosen]
    return repository.require_same(repository.pointers(files))


def status(project: Project, targets: Sequence[str | Path] = ()) -> list[Tracked]:
    """What is under DVC in the work tree, its objects hashed, and which version each file is."""
    repository, chosen = _open(project, targets)
    pointers = repository.pointers(chosen)
    changes = repository.status(pointers, chosen)
    with project.store.reading() as tx:
        known = {file.md5: file for file in dvc_files.files(tx)}
    return [_tracked(repository, p, changes.get(p.path, ""), known.get(p.md5)) for p in pointers]


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


def _open(project: Project, targets: Sequence[str | Path]) -> tuple[Repository, list[str]]:
    repository = project.open_dvc().open_here(folder_of(project, targets))
    return repository, within(project, repository, targets)
