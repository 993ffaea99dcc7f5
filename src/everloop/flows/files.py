"""Versions of files: listed, opened, restored, compared, proved."""

from __future__ import annotations

import io
from collections.abc import Sequence

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt, FileMissing, Invalid, NotFound, nearest
from everloop.core.files import File, FilesDiff
from everloop.data import filediff, listing
from everloop.data.listing import FOLDER, LINK
from everloop.flows.project import Project

from .content import tables
from .content.files import open_listing, read_listing
from .content.files import register_files as register_files
from .content.reader import FileStream, Reader, prove
from .content.restoring import restore as restore

_BUFFER = 256 << 10


def list_files(project: Project, version: DatasetVersion, paths: Sequence[str] = ()) -> list[File]:
    """The files of a version by path, all or those that ``paths`` (patterns) name. Raises Invalid for a
    version of a table, Corrupt."""
    found = open_listing(project, version)
    return filediff.files(listing.matching(found, paths) if paths else found)


def open_file(project: Project, version: DatasetVersion, path: str) -> io.BufferedReader:
    """A file of a version, to be read from any place without restoring it: only the chunks that are asked for
    are fetched, and each is checked. Raises FileMissing, Invalid for a link or folder, Corrupt."""
    found, manifest = read_listing(project, version)
    names = found["path"].to_pylist()
    try:
        row = listing.rows(found.slice(names.index(path), 1))[0]
    except ValueError:
        raise FileMissing(
            f"{version.dataset}@{version.short} has no file '{path}'.", remedy=nearest(path, names)
        ) from None
    if row.kind in (LINK, FOLDER):
        raise Invalid(f"'{path}' is a {row.kind}, not a file.", remedy="Name a file.")
    reader = Reader(tables.objects(project), manifest)
    return io.BufferedReader(FileStream(row, reader.read), _BUFFER)


def compare(project: Project, before: DatasetVersion, after: DatasetVersion) -> FilesDiff:
    """Which files were added, removed, changed and renamed between two versions of files.

    Raises Invalid where the versions have different hash algorithms.
    """
    if before.hash_algorithm != after.hash_algorithm:
        raise Invalid(
            f"{before.short} has {before.hash_algorithm} hashes, {after.short} {after.hash_algorithm} ones.",
            remedy="Register one of them again with the other's data_versioning.hash_algorithm.",
        )
    listings = [open_listing(project, version) for version in (before, after)]
    return filediff.compare(listings[0], listings[1], (before.version_id, after.version_id))


def fault(project: Project, version: DatasetVersion) -> str | None:
    """What is wrong with a version of files, after reading all of it; None where every file is what was
    registered."""
    there = tables.objects(project)
    try:
        prove(there, there.manifest(version.version_id))
    except (Corrupt, NotFound) as error:
        return error.message
    return None
