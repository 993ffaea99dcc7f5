"""Where a file of DVC belongs in a project: which dataset it is, and which repository it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from everloop.core.dvc import Repository
from everloop.core.errors import Invalid
from everloop.flows.project import Project


def dataset_of(project: Project, root: Path, path: str) -> tuple[str, str]:
    """Dataset and encoding of a data file: of the model that reads it, else the path itself is the name.

    A name that depends on nothing but the path stays the same when other files come and go.
    """
    for model in project.settings.models.values():
        if model.data.path and (project.settings.root / model.data.path).resolve() == root / path:
            return model.dataset, model.data.encoding
    return path, "utf-8"


def repository_name(project: Project, repository: Repository) -> str:
    """Empty for the DVC project that this project is in, else how people called it."""
    here, there = project.settings.root.resolve(), repository.root
    return "" if here.is_relative_to(there) or there.is_relative_to(here) else repository.name


def within(project: Project, repository: Repository, files: Sequence[str | Path]) -> list[str]:
    """Paths given from the project's folder, as DVC's root has them. Raises Invalid for one outside."""
    found = []
    for file in files:
        path = project.settings.root / Path(file).expanduser()
        path = path.parent.resolve() / path.name  # a data file may be a link into DVC's cache
        if not path.is_relative_to(repository.root):
            raise Invalid(
                f"{path} is outside of the DVC project {repository.root}.",
                remedy="Copy it into the project first.",
            )
        found.append(path.relative_to(repository.root).as_posix())
    return found


def folder_of(project: Project, files: Sequence[str | Path]) -> Path:
    """The nearest folder that exists around the first file, or the project's."""
    if not files:
        return project.settings.root
    path = project.settings.root / Path(files[0]).expanduser()
    return next((place for place in (path.parent, *path.parents) if place.is_dir()), project.settings.root)
