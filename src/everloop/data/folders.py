"""What is in a folder: its files, links and empty folders, without what is to be left out.

Links are never followed. Raises Unreadable for what cannot be versioned: sockets, pipes and devices, names
that are not UTF-8, links that lead out of the folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from everloop.core.errors import Conflict, FileMissing, Unreadable

from .listing import EXECUTABLE, FILE, FOLDER, LINK, is_inside, leads_inside
from .patterns import IGNORE_FILE, Ignored

ALWAYS = (".git/", ".everloop-get/")  # unless the ignore file takes it back
_SHOWN = 5


class Found(NamedTuple):
    """``path`` within the folder; ``place`` on disk; times in nanoseconds."""

    path: str
    place: str
    kind: str
    size: int
    modified: int
    changed: int
    inode: int


def scan(root: Path, leave_out: Collection[Path] = ()) -> list[Found]:
    """The content of a folder, or the one file that ``root`` is. ``leave_out``: folders that do not belong to
    it, as real paths."""
    if not root.exists():
        raise FileMissing(f"There is no file or folder '{root}'.", remedy="Check the path.")
    if not root.is_dir():
        _refuse_odd_names([root.name])
        return [found(root.name, str(root))]
    ignore_file = root / IGNORE_FILE
    lines = ignore_file.read_text(encoding="utf-8").splitlines() if ignore_file.is_file() else []
    inside = {str(path) for path in leave_out}
    try:
        return list(_walk(_entries(str(root.resolve())), "", Ignored([*ALWAYS, *lines]), inside))
    except FileNotFoundError as error:
        raise Conflict(
            f"'{error.filename}' went away while its folder was looked at.",
            remedy="Register the folder when nobody writes to it.",
        ) from error


def given(sources: Mapping[str, Path]) -> list[Found]:
    """Files that lie anywhere, by the paths that they are to have. Links are followed."""
    _refuse_odd_names(list(sources))
    for path in sources:
        if not is_inside(path):
            raise Unreadable(f"'{path}' is not a path within a folder.", remedy="Write it as 'sub/name'.")
    return [found(path, str(place)) for path, place in sources.items()]


def found(path: str, place: str) -> Found:
    """One regular file, through a link if it is one."""
    real = Path(place).resolve()
    try:
        known = real.stat()
    except FileNotFoundError as error:
        raise FileMissing(f"There is no file '{place}'.", remedy="Check the path.") from error
    if not stat.S_ISREG(known.st_mode):
        raise _odd(path)
    return _found(path, str(real), kind_of(known.st_mode), known)


def kind_of(mode: int) -> str:
    """Of a regular file."""
    return EXECUTABLE if mode & stat.S_IXUSR else FILE


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listed:
            return sorted(listed, key=lambda entry: entry.name)
    except PermissionError as error:
        raise Unreadable(f"The folder '{folder}' cannot be read.", remedy="Check its permissions.") from error


def _walk(
    entries: list[os.DirEntry[str]], above: str, ignored: Ignored, leave_out: Collection[str]
) -> Iterator[Found]:
    kept = []
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        left_out = ignored(above + entry.name, folder=is_folder) or (is_folder and entry.path in leave_out)
        kept += [] if left_out else [entry]
    _refuse_odd_names([above + entry.name for entry in kept])
    for entry in kept:
        path = above + entry.name
        known = entry.stat(follow_symlinks=False)
        is_folder = stat.S_ISDIR(known.st_mode)
        if is_folder:
            below = _entries(entry.path)
            yield from _walk(below, f"{path}/", ignored, leave_out)
            if not below:
                yield _found(path, entry.path, FOLDER, known)._replace(size=0)
        elif stat.S_ISLNK(known.st_mode):
            _refuse_leading_out(path, str(Path(entry.path).readlink()))
            yield _found(path, entry.path, LINK, known)
        elif stat.S_ISREG(known.st_mode):
            yield _found(path, entry.path, kind_of(known.st_mode), known)
        else:
            raise _odd(path)


def _found(path: str, place: str, kind: str, known: os.stat_result) -> Found:
    return Found(path, place, kind, known.st_size, known.st_mtime_ns, known.st_ctime_ns, known.st_ino)


def _refuse_odd_names(paths: list[str]) -> None:
    odd = [path for path in paths if not path.isascii() and not _is_utf8(path)]
    if odd:
        shown = ", ".join(ascii(path) for path in odd[:_SHOWN])
        raise Unreadable(
            f"Names that are not UTF-8 text cannot be versioned: {shown}"
            f"{f' and {len(odd) - _SHOWN} more' if len(odd) > _SHOWN else ''}.",
            remedy=f"Rename them (for example with convmv), or leave them out in {IGNORE_FILE}.",
        )


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_leading_out(path: str, target: str) -> None:
    if not _is_utf8(target) or not leads_inside(path, target):
        raise Unreadable(
            f"The link '{path}' leads out of the folder, to {target!a}: its content would not be part "
            "of the version.",
            remedy=f"Put a copy there, make it relative, or leave it out in {IGNORE_FILE}.",
        )


def _odd(path: str) -> Unreadable:
    return Unreadable(
        f"'{path}' is no file, folder or link.",
        remedy=f"Sockets, pipes and devices have no content to version: leave it out in {IGNORE_FILE}.",
    )
