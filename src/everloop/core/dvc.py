"""Nouns of DVC: what its pointer files say, where in git's history they say it, and which version that is.
At the end the port through which the flows reach a DVC project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from .errors import Unreadable

State = Literal["whole", "damaged", "missing"]
How = Literal["added", "imported", "exported"]
Outcome = Literal["new", "known", "done", "missing", "corrupt", "unreadable"]


@dataclass(frozen=True)
class Pointer:
    """What a ``.dvc`` file or ``dvc.lock`` says of one file or folder. Paths are from DVC's root, with ``/``.

    ``md5`` ends in ``.dir`` for a folder. ``legacy`` is of DVC 2, which hashed text with Unix line ends.
    ``remote`` is the one that this file alone belongs to.
    """

    file: str
    path: str
    md5: str
    legacy: bool = False
    remote: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(".dir")


@dataclass(frozen=True)
class Selection:
    """What some targets, or none for all, mean in the work tree: ``pointers``, and why pointer files among
    them are ``unreadable``. ``targets`` is what DVC is told: those that were given; where it cannot read a
    file of the project, ``by_file``, the files that it can."""

    pointers: tuple[Pointer, ...]
    targets: tuple[str, ...] = ()
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    by_file: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing that DVC could be told of."""
        return self.by_file and not self.targets


@dataclass(frozen=True)
class Commit:
    """``date`` is the author's, ISO 8601; ``refs`` are the branches and tags that stand on it."""

    commit_id: str
    author: str
    date: str
    refs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sighting:
    """A commit in which a pointer is other than in each of its parents. ``before`` is the last sighting of
    the same path on the way along first parents, also where the pointer was deleted in between; of a path
    that these never had, the last one that a merge brought along."""

    pointer: Pointer
    commit: Commit
    before: Sighting | None = field(default=None, repr=False, compare=False)

    def back(self) -> Iterator[Sighting]:
        """This one, and those before it, newest first."""
        here: Sighting | None = self
        while here is not None:
            yield here
            here = here.before


@dataclass(frozen=True)
class Tip:
    """Where a branch or tag of git stands: the md5 that each path of data has there, and the last sighting of
    each path up to there, also of those that are gone by then."""

    name: str
    kind: Literal["branch", "tag"]
    md5s: Mapping[str, str]
    last: Mapping[str, Sighting]


@dataclass(frozen=True)
class History:
    """Sightings in the order of the commits, branches and tags, and pointer files of old commits that cannot
    be read. git's default branch is called ``main`` here, whatever its name. ``shallow``: git does not have
    the older commits."""

    sightings: tuple[Sighting, ...]
    tips: tuple[Tip, ...] = ()
    problems: tuple[str, ...] = ()
    shallow: bool = False


@dataclass(frozen=True)
class DvcFile:
    """A file under DVC whose content is a version of ours, byte by byte as ``md5`` says.

    ``path`` is the data's and ``file`` the pointer's, from DVC's root. ``commit`` is empty where git did not
    have the pointer yet; ``repository`` is empty for the project's own, else a path or URL.
    """

    dataset: str
    version_id: str
    path: str
    file: str
    md5: str
    how: How
    at: datetime
    commit: str = ""
    repository: str = ""
    legacy: bool = False
    remote: str | None = None

    @property
    def pointer(self) -> Pointer:
        return Pointer(self.file, self.path, self.md5, self.legacy, self.remote)


@dataclass(frozen=True)
class Imported:
    """What became of one sighting: ``new``, ``known`` (the content was there), ``done`` (imported earlier),
    ``missing`` (neither cache nor remote has it), ``corrupt`` (not what its md5 says), ``unreadable``."""

    outcome: Outcome
    dataset: str
    path: str
    commit: str
    md5: str
    version_id: str | None = None
    message: str = ""


@dataclass(frozen=True)
class Import:
    """An import as a whole. ``problems`` are pointer files that could not be read. ``shallow``: git does not
    have the older commits, which were not imported so."""

    repository: str
    files: tuple[Imported, ...]
    problems: tuple[str, ...] = ()
    shallow: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        outcomes: tuple[Outcome, ...] = ("new", "known", "done", "missing", "corrupt", "unreadable")
        return {outcome: sum(f.outcome == outcome for f in self.files) for outcome in outcomes}


@dataclass(frozen=True)
class Exported:
    """``source`` is "dvc" where the bytes are those that DVC keeps, "written" where they were written anew;
    ``first_md5`` is then of the first export or the original, where it is another. ``left_out`` is what of a
    folder DVC does not keep: empty folders, links to folders."""

    version_id: str
    file: Path
    pointer: Path
    md5: str
    source: Literal["dvc", "written"]
    first_md5: str | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tracked:
    """A file under DVC in the work tree: what ``dvc status`` says of it (empty: nothing), how its objects in
    the cache are (the worst of a folder's), and the version that it is. Of a pointer file that is
    ``unreadable`` both paths are its own, and ``message`` says why."""

    path: str
    file: str
    md5: str
    changed: str
    cache: State | Literal["unreadable"]
    dataset: str | None = None
    version_id: str | None = None
    message: str = ""


class Repository(Protocol):
    """A DVC project in git. Paths are from its ``root``; ``name`` is how people called it."""

    @property
    def root(self) -> Path: ...

    @property
    def name(self) -> str: ...

    def history(self, revisions: str | None = None) -> History: ...

    def select(self, targets: Sequence[str] = ()) -> Selection: ...

    def read(self, file: str, revision: str | None = None) -> list[Pointer]: ...

    def commit_of(self, file: str) -> str: ...

    def author_of(self, commit: str) -> tuple[str, str]: ...

    def status(self, chosen: Selection) -> dict[str, str]: ...

    def md5_of(self, path: Path) -> str: ...

    def obtain(self, pointer: Pointer) -> Path: ...

    def restore(self, pointer: Pointer, target: Path) -> None: ...

    def obtain_folder(self, pointer: Pointer) -> dict[str, Path]: ...

    def release(self) -> None: ...

    def states(self, pointer: Pointer) -> dict[str, State]: ...

    def require_whole(self, pointers: Sequence[Pointer], *, missing: bool = False) -> None: ...

    def left_out(self, pointer: Pointer) -> tuple[str, ...]: ...

    def require_same(self, pointers: Sequence[Pointer]) -> list[Path]: ...

    def add(self, path: str) -> Pointer: ...

    def commit(self, pointer: Pointer, message: str) -> None: ...

    def push(self, chosen: Selection, remote: str | None) -> str: ...

    def pull(self, chosen: Selection, remote: str | None, *, force: bool) -> str: ...

    def checkout(self, targets: Sequence[str], *, force: bool) -> None: ...

    def turned_back(self, file: str, revision: str, *, force: bool) -> AbstractContextManager[None]: ...


class Dvc(Protocol):
    """Where DVC projects come from."""

    def initialise(self, folder: Path, ignored: Sequence[str] = ()) -> tuple[Path, bool]: ...

    def open_here(self, folder: Path) -> Repository: ...

    def open_for_reading(self, source: str | Path, scratch: Path) -> AbstractContextManager[Repository]: ...
