"""Files of a version written into a folder: each whole and checked before it gets its name, none outside.

New content is written as drafts in a folder of its own beside the files, made durable many at a time, and
then renamed. So a restore that was killed leaves files that are whole, and goes on when it is run again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path

import pyarrow as pa

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt, FileMissing, Refused, nearest
from everloop.core.files import Restored
from everloop.data import folders, identity, listing
from everloop.data.listing import EXECUTABLE, FOLDER, LINK, Listed
from everloop.flows.project import Project

from . import tables
from .files import quiet, read_listing
from .intake import Tell
from .reader import Reader

DRAFTS = ".everloop-get"
_ONE_BY_ONE = 16  # files; more are made durable by one call for all
_BATCH_FILES, _BATCH_BYTES = 10_000, 256 << 20
_SHOWN = 5


def restore(
    project: Project,
    version: DatasetVersion,
    to: Path,
    *,
    paths: Sequence[str] = (),
    force: bool = False,
    tell: Tell = quiet,
) -> Restored:
    """Write the files of a version below ``to``, all or those that ``paths`` (patterns) name.

    Files that are there with the same content stay. Raises Refused where others are in the way, unless
    ``force``, and always where a link or file stands for a folder; Corrupt before a file that is not what was
    registered gets its name.
    """
    found, manifest = read_listing(project, version)
    chosen = _chosen(found, paths)
    root = to.resolve()
    if root.exists() and not root.is_dir():
        raise Refused(f"'{to}' is a file.", remedy="Name a folder.")
    with project.locks.hold(f"get/{sha256(str(root).encode()).hexdigest()[:16]}"):
        root.mkdir(parents=True, exist_ok=True)
        place = _Place(root, manifest.algorithm)
        missing = place.missing(chosen, force=force)
        done, total = 0, sum(row.size for row in missing)
        try:
            place.make_folders(chosen)
            reader = Reader(tables.objects(project), manifest)
            for row, pieces in reader.contents([row for row in missing if row.kind not in (LINK, FOLDER)]):
                tell(done, total, row.path)
                place.write(row, pieces)
                done += row.size
            place.name_drafts()
            for row, pieces in reader.contents([row for row in missing if row.kind == LINK]):
                place.link(row, b"".join(map(bytes, pieces)).decode())
            place.finish()
        finally:
            place.clear()
    tell(total, total, "")
    return Restored(root, len(missing), total, len(chosen) - len(missing))


def _chosen(found: pa.Table, paths: Sequence[str]) -> list[Listed]:
    chosen = listing.rows(listing.matching(found, paths) if paths else found)
    if not chosen:
        known = found["path"].to_pylist()
        shown = "', '".join(paths)
        raise FileMissing(f"The version has no file '{shown}'.", remedy=nearest(shown, known))
    return chosen


class _Place:
    """The folder that files are written to. Its path is real, without links."""

    def __init__(self, root: Path, algorithm: str) -> None:
        self._root, self._algorithm = root, algorithm
        self._drafts = root / DRAFTS
        self._waiting: list[tuple[Path, Path]] = []
        self._size = 0
        self._numbers = count()
        self._touched: set[Path] = set()
        self.clear()

    def missing(self, rows: Iterable[Listed], *, force: bool) -> list[Listed]:
        """The files that are not there as they should be. Raises Refused for what may not be replaced."""
        known: set[str] = set()
        missing, in_the_way = [], []
        for row in rows:
            self._check_above(row.path, known)
            target = self._root / row.path
            if not os.path.lexists(target):
                missing.append(row)
            elif target.is_dir() and not target.is_symlink():
                if row.kind != FOLDER:
                    raise Refused(f"'{target}' is a folder, and a file in the version.", remedy="Move it.")
            elif not self._is_like(row, target):
                missing.append(row)
                in_the_way.append(row.path)
        if in_the_way and not force:
            shown = ", ".join(f"'{path}'" for path in in_the_way[:_SHOWN])
            more = f" and {len(in_the_way) - _SHOWN:,} more" if len(in_the_way) > _SHOWN else ""
            raise Refused(
                f"{len(in_the_way):,} files in {self._root} are not as in the version: {shown}{more}.",
                remedy="Say --force to replace them, or write to another folder.",
            )
        return missing

    def make_folders(self, rows: Iterable[Listed]) -> None:
        above = {row.path if row.kind == FOLDER else row.path.rpartition("/")[0] for row in rows}
        for path in sorted(above - {""}):
            folder = self._root / path
            if folder.is_symlink() or folder.is_file():
                folder.unlink()  # force: it stands for an empty folder
            folder.mkdir(parents=True, exist_ok=True)
            self._check_real(folder)
        self._drafts.mkdir()

    def write(self, row: Listed, pieces: Iterator[pa.Buffer]) -> None:
        """Write a file's draft; named are drafts many at a time."""
        draft = self._draft()
        mode = 0o777 if row.kind == EXECUTABLE else 0o666
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            for piece in pieces:
                file.write(piece)
        self._waiting.append((draft, self._root / row.path))
        self._size += row.size
        if len(self._waiting) >= _BATCH_FILES or self._size >= _BATCH_BYTES:
            self.name_drafts()

    def name_drafts(self) -> None:
        """Make the drafts durable, and give them their names."""
        _sync([draft for draft, _ in self._waiting])
        for draft, target in self._waiting:
            self._check_real(target.parent)
            draft.replace(target)
            self._touched.add(target.parent)
        self._waiting, self._size = [], 0

    def link(self, row: Listed, target: str) -> None:
        if not listing.leads_inside(row.path, target):
            raise Corrupt(f"The link '{row.path}' leads out of the folder, to {target!a}.")
        draft, place = self._draft(), self._root / row.path
        self._check_real(place.parent)
        draft.symlink_to(target)
        draft.replace(place)
        self._touched.add(place.parent)

    def finish(self) -> None:
        """Make the names durable."""
        if os.name != "nt":  # Windows cannot open folders; its rename is durable by the journal
            _sync(sorted(self._touched))

    def clear(self) -> None:
        """Remove the drafts, also those of a restore that was killed."""
        if self._drafts.is_symlink():
            raise Refused(f"'{self._drafts}' is a link.", remedy="Remove it.")
        shutil.rmtree(self._drafts, ignore_errors=True)

    def _draft(self) -> Path:
        return self._drafts / str(next(self._numbers))

    def _check_above(self, path: str, known: set[str]) -> None:
        """Whether what is there of the folders above is folders, not links."""
        above = path.rpartition("/")[0]
        while above and above not in known:
            known.add(above)
            folder = self._root / above
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                what = "link" if folder.is_symlink() else "file"
                raise Refused(
                    f"'{folder}' is a {what}, and a folder in the version.", remedy="Move it or name another."
                )
            above = above.rpartition("/")[0]

    def _check_real(self, folder: Path) -> None:
        if folder.resolve() != folder:
            raise Refused(f"'{folder}' leads elsewhere, to {folder.resolve()}.", remedy="Remove the link.")

    def _is_like(self, row: Listed, target: Path) -> bool:
        if row.kind == LINK or target.is_symlink():
            if row.kind != LINK or not target.is_symlink():
                return False
            return self._digest([os.fsencode(target.readlink())]) == row.digest
        known = target.stat()
        if row.kind == FOLDER or known.st_size != row.size or folders.kind_of(known.st_mode) != row.kind:
            return False
        with target.open("rb") as file:
            return self._digest(iter(lambda: file.read(1 << 20), b"")) == row.digest

    def _digest(self, pieces: Iterable[bytes]) -> bytes:
        hasher = identity.new_hasher(self._algorithm)
        for piece in pieces:
            hasher.update(piece)
        return bytes.fromhex(hasher.hexdigest())


def _sync(paths: Sequence[Path]) -> None:
    """Make files or folders durable: one by one if they are few, else by one call for everything."""
    if len(paths) > _ONE_BY_ONE and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
