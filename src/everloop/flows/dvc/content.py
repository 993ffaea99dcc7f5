"""The bytes that DVC keeps under an md5, registered as a version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from everloop.core.data import DatasetVersion
from everloop.core.dvc import Pointer, Repository
from everloop.data.files import is_table
from everloop.flows import data
from everloop.flows.content.files import register_files
from everloop.flows.project import Project


def register(
    project: Project,
    repository: Repository,
    pointer: Pointer,
    dataset: str,
    *,
    encoding: str,
    origin: Mapping[str, str],
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> tuple[DatasetVersion, bool]:
    """The version of what a pointer points to, and whether it is new. A file whose name is of a table
    becomes one; others, and folders, are versioned as they are. Each object is hashed before it is read.

    Raises NotFound and Corrupt for objects, Invalid for content that cannot be registered.
    """
    name = Path(pointer.path).name
    if pointer.is_folder or not is_table(Path(name)):
        kept = repository.obtain_folder(pointer) if pointer.is_folder else {name: repository.obtain(pointer)}
        found = register_files(
            project,
            kept,
            dataset,
            described_as=pointer.path,
            origin=origin,
            parent=parent,
            tags=tags,
        )
        return found.version, found.new
    with TemporaryDirectory() as folder:  # objects have no endings, and those say what a file is
        named = Path(folder) / name
        named.symlink_to(repository.obtain(pointer))
        read = data.register(
            project,
            named,
            dataset,
            encoding_name=encoding,
            described_as=pointer.path,
            origin=origin,
            parent=parent,
            tags=tags,
        )
        return read.version, read.new


def origin_of(
    pointer: Pointer,
    *,
    commit: str = "",
    author: str = "",
    date: str = "",
    rev: str = "",
    repository: str = "",
) -> dict[str, str]:
    """What a version remembers of where it came from; what is not known is left out."""
    said = {
        "dvc": pointer.file,
        "path": pointer.path,
        "md5": pointer.md5,
        "commit": commit,
        "author": author,
        "date": date,
        "rev": rev,
        "repository": repository,
    }
    return {name: value for name, value in said.items() if value}
