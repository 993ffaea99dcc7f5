"""What lies between two listings of files."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from everloop.core.files import File, FilesDiff, Renamed

from .listing import FOLDER, Listed, rows


def files(listing: pa.Table) -> list[File]:
    """The rows of a listing for people and programs."""
    return [_file(row) for row in rows(listing)]


def compare(before: pa.Table, after: pa.Table, names: tuple[str, str]) -> FilesDiff:
    """``names``: the ids of the two versions. A file counts as renamed where one that is gone had its content
    and kind; of several, the first by path is taken."""
    old, new = ({row.path: row for row in rows(listing)} for listing in (before, after))
    gone = [row for path, row in old.items() if path not in new]
    come = [row for path, row in new.items() if path not in old]
    both = [(row, new[path]) for path, row in old.items() if path in new]
    changed = [now for then, now in both if (then.kind, then.digest) != (now.kind, now.digest)]
    renamed = _renamed(gone, come)
    left, there = {each.before for each in renamed}, {each.after for each in renamed}
    return FilesDiff(
        before=names[0],
        after=names[1],
        added=tuple(_file(row) for row in come if row.path not in there),
        removed=tuple(_file(row) for row in gone if row.path not in left),
        changed=tuple(_file(row) for row in changed),
        renamed=renamed,
        kept=len(both) - len(changed),
        bytes_before=sum(row.size for row in old.values()),
        bytes_after=sum(row.size for row in new.values()),
    )


def _renamed(gone: Iterable[Listed], come: Iterable[Listed]) -> tuple[Renamed, ...]:
    waiting: dict[tuple[str, bytes], list[str]] = {}
    for row in come:
        if row.size and row.kind != FOLDER:
            waiting.setdefault((row.kind, row.digest), []).append(row.path)
    found = []
    for row in gone:
        places = waiting.get((row.kind, row.digest))
        if places:
            found.append(Renamed(row.path, places.pop(0)))
    return tuple(found)


def _file(row: Listed) -> File:
    return File(row.path, row.kind, row.size, row.digest.hex())
