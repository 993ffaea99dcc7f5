"""The bytes that DVC keeps under an md5, registered as a version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from everloop.core.dvc import Pointer, Repository
from everloop.core.errors import Unreadable
from everloop.flows import data
from everloop.flows.data import Registered
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
) -> Registered:
    """The version of what a pointer points to, each object hashed before it is read.

    Raises NotFound and Corrupt for objects, Invalid for content that is no table.
    """
    if pointer.is_folder:
        raise Unreadable(
            f"{pointer.path} is a folder, and only tables can be registered so far.",
            remedy="Track its tables one by one: dvc add FOLDER/FILE.csv.",
        )
    kept = repository.obtain(pointer)
    with TemporaryDirectory() as folder:  # objects have no endings, and those say what a file is
        named = Path(folder) / Path(pointer.path).name
        named.symlink_to(kept)
        return data.register(
            project,
            named,
            dataset,
            encoding_name=encoding,
            described_as=pointer.path,
            origin=origin,
            parent=parent,
            tags=tags,
        )


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
