"""DVC for Python: check out files, take histories in, give versions to DVC."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from everloop.core.dvc import Exported, Import, Tracked
from everloop.flows import data, dvc

from .places import absolute, close_with, open_place

Files = str | PathLike[str] | Sequence[str | PathLike[str]]


class DVCManager:
    """The DVC project around the working folder. Paths are from the working folder.

    Args:
        folder: of data versions, as for ``DataVersioner`` [the project's in the working folder].

    Raises MissingExtra where DVC is not installed, NotFound outside of a DVC project, Invalid outside of git.
    A ``.dvc`` file, ``dvc.yaml`` or ``dvc.lock`` that cannot be read raises Unreadable once ``push``,
    ``pull`` or ``checkout`` has done the others; ``status`` lists it.
    """

    def __init__(self, folder: str | Path | None = None, *, tenant_id: str | None = None) -> None:
        self._project = open_place(folder, "data_versions", tenant_id)
        close_with(self, self._project)

    def init(self) -> Path:
        """Make the project's folder a DVC project, if it is in none; DVC's root."""
        return dvc.initialise(self._project)[0]

    def add(self, file: str | PathLike[str], dataset: str | None = None, *, commit: bool = False) -> str:
        """Put a file under DVC and register it; the version's id. ``commit`` commits the .dvc file."""
        return dvc.add(self._project, _place(file), dataset, commit=commit).version.version_id

    def import_history(
        self,
        source: str | PathLike[str] | None = None,
        *,
        dataset: str | None = None,
        paths: Sequence[str] = (),
        revisions: str | None = None,
    ) -> Import:
        """Register what a DVC project's pointer files pointed to, commit by commit; what became of each.

        ``source`` is a folder or a git URL [this project]. What is missing or damaged does not stop the rest.
        """
        given = source
        if source is not None and _place(source).exists():
            given = _place(source)
        return dvc.import_history(
            self._project,
            str(given) if given is not None else None,
            dataset=dataset,
            paths=paths,
            revisions=revisions,
        )

    def export(
        self, version_id: str, to: str | PathLike[str], *, commit: bool = False, force: bool = False
    ) -> Exported:
        """Write a version to a file or folder that DVC tracks. Raises Refused over what DVC does not keep."""
        version = data.find(self._project, version_id)
        return dvc.export(self._project, version, _place(to), commit=commit, force=force)

    def push(self, targets: Files = (), *, remote: str | None = None) -> str:
        """Bring objects to the remote; what DVC said. Raises Corrupt for a damaged one, which stays here, and
        NotFound, when the rest is pushed, for one that neither the cache nor the remote has."""
        return dvc.push(self._project, _places(targets), remote)

    def pull(self, targets: Files = (), *, remote: str | None = None, force: bool = False) -> list[Path]:
        """Get objects from the remote and put them in place, checked; the files. Raises Corrupt."""
        return dvc.pull(self._project, _places(targets), remote, force=force)

    def checkout(self, targets: Files = (), *, rev: str | None = None, force: bool = False) -> list[Path]:
        """Give files the content that their .dvc files name, here or at the git revision ``rev``; the files.

        What the cache lacks comes from the remote. Raises Corrupt instead of giving damaged content, NotFound
        for what nobody has, and Refused, unless ``force``, where changes would be lost.
        """
        return dvc.checkout(self._project, _places(targets), rev=rev, force=force)

    def status(self, targets: Files = ()) -> list[Tracked]:
        """What is under DVC: changes, the state of its objects, and the version that each file is."""
        return dvc.status(self._project, _places(targets))

    def close(self) -> None:
        self._project.close()


def _place(file: str | PathLike[str]) -> Path:
    return Path(str(absolute(Path(file))))


def _places(files: Files) -> list[Path]:
    if isinstance(files, (str, PathLike)):
        return [_place(files)]
    return [_place(file) for file in files]
