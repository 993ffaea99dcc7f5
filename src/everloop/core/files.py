"""Nouns of versions of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """One file of a version. ``kind`` is file, executable, link or folder (an empty one); ``size`` in bytes;
    ``digest`` is the hash of its bytes."""

    path: str
    kind: str
    size: int
    digest: str


@dataclass(frozen=True)
class Renamed:
    """A file that has the content of one that is gone."""

    before: str
    after: str


@dataclass(frozen=True)
class FilesDiff:
    """What lies between two versions of files. ``changed`` are those of another content or kind; ``bytes_*``
    are the sizes of all files of a version; ``kept`` counts the files that are the same."""

    before: str
    after: str
    added: tuple[File, ...]
    removed: tuple[File, ...]
    changed: tuple[File, ...]
    renamed: tuple[Renamed, ...]
    kept: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Restored:
    """What restoring a version of files did: ``written`` files and their bytes, ``kept`` those that were
    there already."""

    folder: Path
    written: int
    bytes: int
    kept: int
