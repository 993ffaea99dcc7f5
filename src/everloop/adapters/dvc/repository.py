"""A DVC project in a git repository, as the flows see it.

DVC's verbs run as its command line, which is what DVC documents and keeps stable; single objects, which no
command gives, come through its library (docs/decisions, "DVC by its own command line").
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import loads
from pathlib import Path

from everloop.core.dvc import History, Pointer, Selection, State
from everloop.core.errors import FileMissing, Invalid, NotFound, Refused, Unreadable

from . import library
from .command import dvc, dvc_warned, git
from .commits import read_history
from .objects import Objects, read_folder
from .pointers import read_pointers
from .selection import as_target, select, without

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:")
_USER = re.compile(r"(?<=://)[^/@]*@")
_SHOWN = 10


def initialise(folder: Path, ignored: Sequence[str] = ()) -> tuple[Path, bool]:
    """Make ``folder`` a DVC project in its git repository; returns DVC's root and whether it is new.

    DVC will not look into the folders ``ignored``. Raises Invalid outside of git.
    """
    library.require()
    top = _git_root(folder)
    known = _dvc_root(folder, top)
    if known is not None:
        return known, False
    again = (folder / ".dvc").is_dir() and not (folder / ".dvc" / "cache").exists()  # an init that was cut
    dvc(folder, "init", *(["--subdir"] if folder != top else []), *(["--force"] if again else []))
    if ignored:
        with (folder / ".dvcignore").open("a", encoding="utf-8") as file:
            file.writelines(f"/{name}\n" for name in ignored)
        git(folder, "add", "--", ".dvcignore")
    return folder, True


@contextmanager
def open_for_reading(source: str | Path, scratch: Path) -> Iterator[DvcRepository]:
    """The DVC project around a folder, or at a git URL, of which a copy lives while this is open.

    ``scratch`` is emptied before and after: what is fetched for reading only goes there. Raises NotFound.
    """
    library.require()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        folder, name = Path(source), str(source)
        if _URL.match(str(source)) or _is_bare(folder):
            folder, name = scratch / "clone", _USER.sub("", str(source))
            _clone(str(source), name, scratch)
        yield DvcRepository(_find_root(folder), name, scratch / "objects")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _clone(url: str, name: str, scratch: Path) -> None:
    try:
        git(scratch, "clone", "--quiet", "--", url, "clone")
    except Invalid as error:
        said = _USER.sub("", error.message.partition(f"{scratch}: ")[2])
        raise Invalid(
            f"{name} cannot be cloned: {said}",
            remedy=f"Check the URL and that you may read it; 'git ls-remote {name}' tries that.",
        ) from error


def open_here(folder: Path) -> DvcRepository:
    """The DVC project around a folder. Raises Invalid outside of git, NotFound outside of DVC."""
    return DvcRepository(_find_root(folder))


def _find_root(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileMissing(
            f"There is no folder {folder}.", remedy="Check the path, or give the URL of a git repository."
        )
    root = _dvc_root(folder.resolve(), _git_root(folder))
    if root is None:
        raise NotFound(f"{folder} is not in a DVC project.", remedy="'everloop dvc init' makes it one.")
    return root


class DvcRepository:
    """One DVC project. ``name`` is how people called it; paths given and returned are from ``root``."""

    def __init__(self, root: Path, name: str = "", downloads: Path | None = None) -> None:
        library.require()
        self.root = root
        self.name = name or str(root)
        self._objects = Objects(root, downloads)
        self._kept = Objects(root)

    # -- what is there ---------------------------------------------------------------------------------------

    def history(self, revisions: str | None = None) -> History:
        return read_history(self.root, revisions)

    def select(self, targets: Sequence[str] = ()) -> Selection:
        return select(self.root, self.read, targets)

    def read(self, file: str, revision: str | None = None) -> list[Pointer]:
        """What a pointer file says, in the work tree or at a revision of git. Of the work tree's it leaves
        out what git keeps (``cache: false``) and stages that only the ``dvc.lock`` still has. Raises
        Unreadable, also where only DVC cannot read it."""
        if revision is not None:
            return read_pointers(file, self._show(revision, file))
        told, text = as_target(file), _text(self.root / file, file)
        if not (self.root / told).is_file():
            return read_pointers(file, text)  # a dvc.lock without a dvc.yaml
        pipeline = _text(self.root / told, told) if told != file else None
        found = read_pointers(file, text, pipeline, lambda: library.folders(self._kept.repo, told))
        kept = library.kept(self._kept.repo, told)
        return [pointer for pointer in found if self.root / pointer.path in kept]

    def commit_of(self, file: str) -> str:
        """The newest commit that changed a pointer file; empty where it is not committed as it is."""
        if git(self.root, "status", "--porcelain", "--", file):
            return ""
        return git(self.root, "log", "-1", "--format=%H", "--", file).decode().strip()

    def author_of(self, commit: str) -> tuple[str, str]:
        """Who made a commit, and when."""
        author, _, date = (
            git(self.root, "log", "-1", "--format=%an <%ae>%x02%aI", commit).decode().partition("\x02")
        )
        return author, date.strip()

    def status(self, chosen: Selection) -> dict[str, str]:
        """What ``dvc status`` says of data: path -> ``modified``, ``deleted``, ``not in cache`` …
        Their objects stay as they are."""
        with self._kept.guarded(chosen.pointers):
            told = loads(dvc(self.root, "status", "--json", *_after(chosen.targets)) or "{}")
        changes = [change for stage in told.values() for change in stage if isinstance(change, dict)]
        return {path: str(said) for c in changes for path, said in c.get("changed outs", {}).items()}

    # -- objects ---------------------------------------------------------------------------------------------

    def md5_of(self, path: Path) -> str:
        return library.md5_of(path)

    def obtain(self, pointer: Pointer) -> Path:
        """A file's content, whole, from the cache or else the remote. Raises NotFound and Corrupt."""
        what = f"{pointer.path} ({pointer.file})"
        return self._objects.obtain(pointer.md5, legacy=pointer.legacy, remote=pointer.remote, what=what)

    def restore(self, pointer: Pointer, target: Path) -> None:
        """Write the content of a file or folder, whole, to ``target``, in one move."""
        draft = target.with_name(f".{target.name}.draft")
        _clear(draft)
        try:
            if not pointer.is_folder:
                shutil.copyfile(self.obtain(pointer), draft)
            for path, kept in (self.obtain_folder(pointer) if pointer.is_folder else {}).items():
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(kept, draft / path)
            if target.is_dir():
                shutil.rmtree(target)
            draft.replace(target)
        finally:
            _clear(draft)

    def obtain_folder(self, pointer: Pointer) -> dict[str, Path]:
        """The files of a folder by their path in it, each whole."""
        found = {}
        for path, md5 in read_folder(self.obtain(pointer)):
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise Invalid(
                    f"{pointer.file} names '{path}', which lies outside of {pointer.path}.",
                    remedy="DVC does not write such lists: ask whoever made it.",
                )
            what = f"{pointer.path}/{path}"
            found[path] = self._objects.obtain(md5, legacy=pointer.legacy, remote=pointer.remote, what=what)
        return found

    def release(self) -> None:
        """Let go of what was fetched for reading."""
        self._objects.release()

    def states(self, pointer: Pointer) -> dict[str, State]:
        """Of each object that a pointer needs in the cache, by the path of its data."""
        return {path: state for path, _, state in self._kept.examine(pointer)}

    def require_whole(self, pointers: Sequence[Pointer], *, missing: bool = False) -> None:
        """Raises Corrupt where the cache has damaged objects; brings ``missing`` ones from the remote."""
        for pointer in pointers:
            if missing:
                self._bring(pointer, replace=False)
            for path, md5, state in self._kept.examine(pointer):
                if state == "damaged":
                    raise self._kept.damaged(md5, legacy=pointer.legacy, what=f"{path} ({pointer.file})")

    def require_same(self, pointers: Sequence[Pointer]) -> list[Path]:
        """The files in the work tree, each hashed and compared with its md5. Raises Corrupt."""
        files = []
        for pointer in pointers:
            for path, md5 in self._parts(pointer):
                if not md5.endswith(".dir"):
                    files.append(self.root / path)
                    if library.md5_of(files[-1], legacy=pointer.legacy) != md5:
                        raise self._kept.damaged(md5, legacy=pointer.legacy, what=f"{files[-1]}")
        return files

    def _parts(self, pointer: Pointer) -> Iterator[tuple[str, str]]:
        yield pointer.path, pointer.md5
        if pointer.is_folder:
            place = self._kept.place(pointer.md5, legacy=pointer.legacy)
            for path, md5 in read_folder(place):
                yield f"{pointer.path}/{path}", md5

    def left_out(self, pointer: Pointer) -> tuple[str, ...]:
        """What lies in a folder of the work tree and is not in DVC's list of it: empty folders, links to
        folders, what ``.dvcignore`` names."""
        if not pointer.is_folder:
            return ()
        listed = {path for path, _ in self._parts(pointer)}
        found = []
        for place, folders, files in os.walk(self.root / pointer.path):
            above = Path(place).relative_to(self.root)
            ends = [*files, *(name for name in folders if (Path(place) / name).is_symlink())]
            found += [(above / name).as_posix() for name in ends]
            found += [] if folders or files else [above.as_posix()]
        return tuple(sorted(path for path in found if path not in listed))

    def _bring(self, pointer: Pointer, *, replace: bool) -> None:
        """Have the objects of a pointer in the cache, whole; damaged ones stay unless ``replace``."""

        def bring(md5: str, what: str) -> None:
            if replace or self._kept.state(md5, legacy=pointer.legacy) == "missing":
                self._kept.obtain(md5, legacy=pointer.legacy, remote=pointer.remote, what=what)

        bring(pointer.md5, f"{pointer.path} ({pointer.file})")
        if pointer.is_folder and self._kept.state(pointer.md5, legacy=pointer.legacy) == "whole":
            for path, md5 in self._parts(pointer):
                bring(md5, f"{path} ({pointer.file})")

    # -- DVC's verbs -----------------------------------------------------------------------------------------

    def add(self, path: str) -> Pointer:
        """``dvc add``. A damaged object of the same md5 in the cache goes first: DVC would keep it."""
        place = self.root / path
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file():
                md5 = library.md5_of(file)
                if self._kept.state(md5, legacy=False) == "damaged":
                    self._kept.place(md5, legacy=False).unlink()
        dvc(self.root, "add", *_after([path]))
        [pointer] = [p for p in self.read(f"{path}.dvc") if p.path == path]
        return pointer

    def commit(self, pointer: Pointer, message: str) -> None:
        """Commit a pointer file and the ``.gitignore`` beside it, and nothing else; no change, no commit."""
        beside = str(Path(pointer.file).with_name(".gitignore"))
        paths = [path for path in (pointer.file, beside) if (self.root / path).is_file()]
        git(self.root, "add", "--", *paths)
        if git(self.root, "status", "--porcelain", "--", *paths):
            git(self.root, "commit", "--quiet", "--message", message, "--", *paths)

    def push(self, chosen: Selection, remote: str | None) -> str:
        """``dvc push``. Raises NotFound, once the rest is pushed, for objects that DVC only warns of."""
        told, warned = dvc_warned(self.root, "push", *_remote(remote), *_after(chosen.targets))
        lacking = [
            path
            for pointer in chosen.pointers
            for path, md5, state in self._kept.examine(pointer)
            if state == "missing" and md5 in warned
        ]
        if lacking:
            shown = ", ".join(f"'{path}'" for path in lacking[:_SHOWN])
            more = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
            raise NotFound(
                f"{told.strip().rstrip('.')}, but neither DVC's cache nor the remote has {shown}{more}: "
                "nobody can pull that.",
                remedy="Say 'everloop dvc add' of the original again, or push from where it was added.",
            )
        return told.strip()

    def pull(self, chosen: Selection, remote: str | None, *, force: bool) -> str:
        """Damaged objects in the cache are replaced by the remote's, missing ones brought by ``dvc fetch``,
        all hashed, and only then ``dvc checkout`` runs, which deletes a clean file or folder whose object is
        missing: it is not told of those. Raises NotFound for them once the others are in place."""
        for pointer in chosen.pointers:
            if "damaged" in self.states(pointer).values():
                self._bring(pointer, replace=True)
        told = dvc(self.root, "fetch", *_remote(remote), *_after(chosen.targets)).strip()
        self.require_whole(chosen.pointers)
        lacking = [pointer for pointer in chosen.pointers if "missing" in self.states(pointer).values()]
        if not lacking:
            self.checkout(chosen.targets, force=force)
            return told
        others = without(chosen, lacking)
        if others.targets:
            self.checkout(others.targets, force=force)
        lacking = [pointer for pointer in chosen.pointers if pointer not in others.pointers]
        named = ", ".join(f"'{pointer.path}'" for pointer in lacking)
        stays = "It stays as it is" if len(lacking) == 1 else "These stay as they are"
        raise NotFound(
            f"Neither DVC's cache nor the remote has all of {named}. {stays}"
            f"{'; the others are in place' if others.targets else ''}.",
            remedy="Run 'dvc push' where they were added, then 'everloop dvc pull' here.",
        )

    def checkout(self, targets: Sequence[str], *, force: bool) -> None:
        dvc(self.root, "checkout", *(["--force"] if force else []), *_after(targets))

    @contextmanager
    def turned_back(self, file: str, revision: str, *, force: bool) -> Iterator[None]:
        """Give a ``.dvc`` file in the work tree the content that it had at a revision; it gets back what it
        has now if what is done meanwhile fails. Raises Refused where git does not know its changes."""
        if not force and git(self.root, "status", "--porcelain", "--", file):
            raise Refused(
                f"{file} has changes that are not committed.", remedy="Commit it with git, or say --force."
            )
        path = self.root / file
        before = path.read_bytes() if path.is_file() else None
        self._write(path, self._show(revision, file).encode())
        try:
            yield
        except BaseException:
            path.unlink() if before is None else self._write(path, before)
            raise

    def _write(self, path: Path, text: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.draft")
        draft.write_bytes(text)
        draft.replace(path)

    def _show(self, revision: str, file: str) -> str:
        if revision.startswith("-"):
            raise Invalid(f"'{revision}' is no git revision.", remedy="Give a branch, a tag or a commit.")
        try:
            return git(self.root, "show", f"{revision}:./{file}").decode("utf-8", errors="replace")
        except Invalid as error:
            raise NotFound(
                f"There is no {file} at '{revision}' in git.",
                remedy=f"'git log --all -- {file}' lists the commits that have it.",
            ) from error


def _clear(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _after(targets: Sequence[str]) -> list[str]:
    return ["--", *targets] if targets else []


def _remote(name: str | None) -> list[str]:
    return [f"--remote={name}"] if name else []


def _text(path: Path, file: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise library.unreadable(f"{file} is not UTF-8.") from error
    except PermissionError as error:
        raise Unreadable(f"{file} may not be read.", remedy="Check its owner and permissions.") from error


def _git_root(folder: Path) -> Path:
    try:
        return Path(os.fsdecode(git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n"))).resolve()
    except Invalid as error:
        raise Invalid(
            f"{folder} is not in a git repository, and DVC needs one.", remedy="Run 'git init' first."
        ) from error


def _dvc_root(folder: Path, top: Path) -> Path | None:
    around = [place for place in (folder, *folder.parents) if place.is_relative_to(top)]
    return next((place for place in around if (place / ".dvc" / "config").is_file()), None)


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()
