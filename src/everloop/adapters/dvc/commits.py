"""Git's history of pointer files: in which commits a pointer became another."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from everloop.core.dvc import Commit, History, Pointer, Sighting, Tip
from everloop.core.errors import Invalid, Unreadable

from . import library
from .command import git
from .pointers import is_pointer, read_pointers

_PATTERNS = (":(glob)**/*.dvc", ":(glob)**/dvc.lock", ":(glob)**/dvc.yaml")
_GONE = "0" * 40
_EVERYWHERE = ("--branches", "--tags", "--remotes", "HEAD")


@dataclass(frozen=True)
class _Step:
    """A commit with what it changed against its first parent: path -> blob, None where deleted."""

    commit: Commit
    parents: tuple[str, ...]
    changed: dict[str, str | None]


def read_history(root: Path, revisions: str | None = None) -> History:
    """All branches and tags, or the commits of a git revision or range (``main``, ``v1..v2``)."""
    steps = list(_steps(root, revisions))
    texts = _blobs(root, {blob for step in steps for blob in step.changed.values() if blob})
    files: dict[str, dict[str, str]] = {}  # commit -> pointer file -> blob
    last: dict[str, dict[str, Sighting]] = {}  # commit -> path of data -> its last sighting
    there: dict[str, dict[str, Pointer]] = {}  # commit -> path of data -> pointer
    found: list[Sighting] = []
    problems: list[str] = []
    for step in steps:
        name, first = step.commit.commit_id, step.parents[0] if step.parents else ""
        files[name] = _updated(files.get(first, {}), step.changed)
        before = last.get(first, {})
        brought = _brought(last, step.parents)
        if brought.keys() - before.keys():
            before = brought | before
        there[name], last[name] = there.get(first, {}), before
        if not step.changed:
            continue
        told: list[str] = []
        there[name] = _pointers(there[name], files[name], step, texts, told, root)
        problems += [f"{name[:10]}: {message}" for message in told]
        last[name] = dict(before)
        for path, pointer in there[name].items():
            alike = next((p for p in step.parents if _same(there.get(p, {}).get(path), pointer)), None)
            if alike is not None:
                if alike != first and path in last[alike]:
                    last[name][path] = last[alike][path]  # a merge that took the other side's
                continue
            last[name][path] = Sighting(pointer, step.commit, before.get(path))
            found.append(last[name][path])
    in_git = _kept_by_git(root, found)
    seen, tips = tuple(s for s in found if s not in in_git), tuple(_tips(root, there, last))
    shallow = git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
    return History(seen, tips, tuple(problems), shallow)


def _brought(last: dict[str, dict[str, Sighting]], parents: tuple[str, ...]) -> dict[str, Sighting]:
    """What a merge knows of paths from all but its first parent."""
    return {path: seen for parent in parents[1:] for path, seen in last.get(parent, {}).items()}


def _same(before: Pointer | None, now: Pointer) -> bool:
    return before is not None and before.md5 == now.md5


def _updated(files: dict[str, str], changed: dict[str, str | None]) -> dict[str, str]:
    if not changed:
        return files
    now = {**files, **{path: blob for path, blob in changed.items() if blob}}
    return {path: blob for path, blob in now.items() if changed.get(path, blob) is not None}


def _pointers(
    known: dict[str, Pointer],
    files: dict[str, str],
    step: _Step,
    texts: dict[str, str],
    told: list[str],
    root: Path,
) -> dict[str, Pointer]:
    """The pointers after a commit, by the path of their data; only what it changed is read.
    What cannot be read is ``told``."""
    renewed = {path for path in step.changed if is_pointer(path)}
    for path in step.changed:
        if posixpath.basename(path) == "dvc.yaml":
            renewed.add(posixpath.join(posixpath.dirname(path), "dvc.lock"))
    now = {path: pointer for path, pointer in known.items() if pointer.file not in renewed}
    for file in sorted(renewed & files.keys()):
        beside = posixpath.join(posixpath.dirname(file), "dvc.yaml")
        pipeline = texts.get(files[beside]) if beside in files else None
        at = step.commit.commit_id
        resolve = partial(_folders, root, beside, at)
        try:
            read = read_pointers(file, texts[files[file]], pipeline, resolve)
        except Unreadable as error:
            told.append(error.message)
            continue
        now |= {pointer.path: pointer for pointer in read}
    return now


def _folders(root: Path, file: str, commit: str) -> dict[str, str]:
    with library.open_repo(root) as repo:
        return library.folders(repo, file, commit)


def _steps(root: Path, revisions: str | None) -> Iterator[_Step]:
    """The commits that touch a pointer file, and all merges, parents first."""
    if revisions is not None and revisions.startswith("-"):
        raise Invalid(f"'{revisions}' is no git revision.", remedy="Give a branch, a tag, a commit or A..B.")
    chosen = [revisions] if revisions is not None else [r for r in _EVERYWHERE if r != "HEAD" or _born(root)]
    told = git(
        root,
        *("log", "--date-order", "--reverse", "--full-history", "--parents", "--diff-merges=first-parent"),
        *("--raw", "-z", "--no-abbrev", "--no-renames", "--root", "--relative", "--decorate=full"),
        "--format=%x01%H%x02%P%x02%an <%ae>%x02%aI%x02%D",
        *chosen,
        "--",
        *_PATTERNS,
    ).decode("utf-8", errors="surrogateescape")
    for part in told.split("\x01")[1:]:
        head, *changes = part.split("\0")
        name, parents, author, date, refs = head.strip("\n").split("\x02")
        commit = Commit(name, author, date, tuple(dict.fromkeys(_refs(refs))))
        fields = [field.strip("\n") for field in changes if field.strip("\n")]
        yield _Step(commit, tuple(parents.split()), dict(_changes(fields)))


def _changes(fields: list[str]) -> Iterator[tuple[str, str | None]]:
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, blob, _ = meta.removeprefix(":").split(" ")
        if is_pointer(path) or posixpath.basename(path) == "dvc.yaml":
            yield path, blob if mode.startswith("100") and blob != _GONE else None


def _refs(decoration: str) -> Iterator[str]:
    for part in decoration.split(", "):
        name = part.removeprefix("HEAD -> ").removeprefix("tag: ")
        kind = next((k for k in ("refs/heads/", "refs/tags/", "refs/remotes/origin/") if k in name), None)
        if kind and not name.endswith("/HEAD"):
            yield name.removeprefix(kind)


def _tips(
    root: Path, there: dict[str, dict[str, Pointer]], last: dict[str, dict[str, Sighting]]
) -> Iterator[Tip]:
    """Of a branch or tag the pointers are those of the nearest commit before it that was read."""
    listed = git(
        root, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes/origin", "refs/tags"
    )
    names = [name for name in listed.decode().split() if not name.endswith("/HEAD")]
    branches: dict[str, str] = {}
    for above in ("refs/remotes/origin/", "refs/heads/"):  # a branch here is newer than what is known of afar
        branches |= {name.removeprefix(above): name for name in names if name.startswith(above)}
    if "main" not in branches and _born(root):
        here = git(root, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
        branches = {"main": "HEAD", **{name: ref for name, ref in branches.items() if name != here}}
    tags = {name.removeprefix("refs/tags/"): name for name in names if name.startswith("refs/tags/")}
    for kind, refs in (("branch", branches), ("tag", tags)):
        for name, ref in refs.items():
            asked = ("log", "-1", "--full-history", "--parents", "--format=%H", ref, "--", *_PATTERNS)
            nearest = git(root, *asked).decode().strip()
            if nearest in there:
                md5s = {path: pointer.md5 for path, pointer in there[nearest].items()}
                yield Tip(name, "branch" if kind == "branch" else "tag", md5s, last[nearest])


def _born(root: Path) -> bool:
    try:
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except Invalid:
        return False
    return True


def _blobs(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Texts of blobs, all by one process."""
    wanted = sorted(names)
    told = git(root, "cat-file", "--batch", given="\n".join(wanted).encode() + b"\n") if wanted else b""
    texts, at = {}, 0
    for name in wanted:
        end = told.index(b"\n", at)
        size = int(told[at:end].split()[2])
        texts[name] = told[end + 1 : end + 1 + size].decode("utf-8", errors="replace")
        at = end + size + 2
    return texts


def _kept_by_git(root: Path, found: list[Sighting]) -> set[Sighting]:
    """Outputs of stages that git itself has at that commit (``cache: false``), so that DVC has none."""
    asked = [s for s in found if s.pointer.file.endswith("dvc.lock")]
    if not asked:
        return set()
    names = [f"{s.commit.commit_id}:./{s.pointer.path}" for s in asked]
    told = git(root, "cat-file", "--batch-check=%(objecttype)", given="\n".join(names).encode() + b"\n")
    return {s for s, line in zip(asked, told.decode().splitlines(), strict=True) if line in ("blob", "tree")}
