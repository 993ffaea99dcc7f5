"""What targets mean in a work tree, and what DVC is told of them where a file of its cannot be read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from everloop.core.dvc import Pointer, Selection
from everloop.core.errors import NotFound, Unreadable, nearest

from .command import git
from .pointers import is_pointer


def select(root: Path, read: Callable[[str], list[Pointer]], targets: Sequence[str]) -> Selection:
    """A target is a ``.dvc`` file, a ``dvc.lock`` or its ``dvc.yaml``, a data file or a folder; none is all.
    DVC fails on any file of the project that it cannot read, unless each that it shall look at is named."""
    listed = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    there = set(listed.decode("utf-8", errors="surrogateescape").split("\0"))
    pointers: dict[str, list[Pointer]] = {}
    unreadable: dict[str, Unreadable] = {}
    for file in sorted(there):
        if not (is_pointer(file) or _is_never_run(file, there)) or not (root / file).is_file():
            continue
        try:
            pointers[file] = read(file)
        except Unreadable as error:
            unreadable[file] = error
    found = [pointer for each in pointers.values() for pointer in each]
    lost = [Pointer(file, file.removesuffix(".dvc"), "") for file in unreadable]
    for target in targets:
        if not any(_meant(target, pointer) for pointer in (*found, *lost)):
            raise _unknown(target, found, lost)
    chosen = tuple(p for p in found if not targets or any(_meant(target, p) for target in targets))
    if not unreadable:
        return Selection(chosen, tuple(map(as_target, targets)))
    files = sorted({p.file for p in chosen} if targets else pointers)
    return Selection(
        chosen,
        tuple(as_target(file) for file in files if (root / as_target(file)).is_file()),
        {p.file: unreadable[p.file] for p in lost if not targets or any(_meant(t, p) for t in targets)},
        by_file=True,
    )


def without(selection: Selection, lacking: Sequence[Pointer]) -> Selection:
    """What else than some pointers was chosen; by file, than all that stand in the files of these."""
    files = {pointer.file for pointer in lacking}
    if not selection.by_file:
        others = tuple(pointer for pointer in selection.pointers if pointer not in lacking)
        return Selection(others, tuple(pointer.path for pointer in others))
    others = tuple(pointer for pointer in selection.pointers if pointer.file not in files)
    targets = tuple(dict.fromkeys(as_target(pointer.file) for pointer in others))
    return Selection(others, targets, by_file=True)


def _is_never_run(file: str, there: Iterable[str]) -> bool:
    """Whether a file is a ``dvc.yaml`` that has no ``dvc.lock`` yet."""
    folder, name = posixpath.split(file)
    return name == "dvc.yaml" and posixpath.join(folder, "dvc.lock") not in there


def as_target(file: str) -> str:
    """What DVC calls a pointer file: a ``dvc.lock`` by the ``dvc.yaml`` beside it."""
    folder, name = posixpath.split(file)
    return posixpath.join(folder, "dvc.yaml") if name == "dvc.lock" else file


def _meant(target: str, pointer: Pointer) -> bool:
    inside = pointer.path.startswith(f"{target.rstrip('/')}/") or pointer.file.startswith(f"{target}/")
    return inside or target in (pointer.file, as_target(pointer.file), pointer.path, ".")


def _unknown(target: str, found: Sequence[Pointer], lost: Sequence[Pointer]) -> NotFound:
    known = [*(p.file for p in found), *(p.path for p in found)]
    also = f" It cannot read {', '.join(p.file for p in lost)}." if lost else ""
    return NotFound(f"DVC does not know '{target}'.{also}", remedy=nearest(target, known))
