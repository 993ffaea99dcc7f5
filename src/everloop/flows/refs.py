"""Tags and branches of data: put them, move them, take them away, and see a dataset's history by them.

Each movement by hand is an event in the history, under the dataset's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heapify, heappop, heappush

from everloop.core.data import DataMove, DataRef, DatasetVersion
from everloop.core.errors import Conflict, Invalid, Refused, UnknownVersion, nearest
from everloop.data import names
from everloop.store import datasets, history, refs
from everloop.store.database import Tx

from .project import Project


@dataclass(frozen=True)
class Listed:
    """A version, without its statistics, and the tags and branches that stand at it."""

    version: DatasetVersion
    refs: tuple[DataRef, ...]


@dataclass(frozen=True)
class Overview:
    """A dataset at a glance. ``bytes`` is what its versions added to the store, ``head`` is main's."""

    dataset: str
    versions: int
    head: str
    newest: str
    newest_at: datetime
    rows: int
    bytes: int
    refs: int


@dataclass(frozen=True)
class Moved:
    """A name, where it stands now, and where it stood before."""

    ref: DataRef
    before: str | None


def tag(project: Project, version: str, name: str, *, move: bool = False) -> Moved:
    """Call a version ``name`` for good. A tag that stands elsewhere is moved only when asked.

    Raises UnknownVersion, Conflict, and Invalid for a name that could be taken for something else.
    """
    names.check(name)
    with project.store.writing() as tx:
        found = datasets.find_version(tx, version, statistics=False)
        tx.lock(f"dataset/{found.dataset}")
        return _put(tx, project, "tag", name, found, move=move)


def branch(
    project: Project, name: str, *, start: str | None = None, dataset: str | None = None, move: bool = False
) -> Moved:
    """Begin a branch at ``start`` [the head of main], or with ``move`` put one there.

    ``name`` may be ``DATASET@NAME``; without a dataset it is ``start``'s, or the only one there is.
    """
    with project.store.writing() as tx:
        of, name = _placed(tx, name, dataset, start)
        found = datasets.find_version(tx, start or names.LATEST, of, statistics=False)
        if found.dataset != of:
            raise Invalid(
                f"{start} is a version of {found.dataset}, not of {of}.",
                remedy="Name one of the same dataset.",
            )
        if name != names.MAIN:
            names.check(name)
        tx.lock(f"dataset/{of}")
        return _put(tx, project, "branch", name, found, move=move)


def rollback(
    project: Project, dataset: str, version: str, *, branch: str = names.MAIN, reason: str = ""
) -> Moved:
    """Let a branch stand at another version of its dataset; no content is touched and none goes away."""
    with project.store.writing() as tx:
        tx.lock(f"dataset/{dataset}")
        _known(tx, dataset)
        found = datasets.find_version(tx, version, dataset, statistics=False)
        if found.dataset != dataset:
            raise Invalid(
                f"{version} is a version of {found.dataset}, not of {dataset}.",
                remedy=f"'everloop data log {dataset}' shows its versions.",
            )
        there = _find(tx, dataset, branch, "branch")
        if there.version_id == found.version_id:
            return Moved(there, there.version_id)
        return _move(tx, project, replace(there, version_id=found.version_id), there, "rolled back", reason)


def remove(project: Project, kind: str, name: str, *, dataset: str | None = None) -> DataRef:
    """Take a tag or branch away; the versions stay. ``main`` stays too."""
    with project.store.writing() as tx:
        of, name = _placed(tx, name, dataset, None)
        tx.lock(f"dataset/{of}")
        there = _find(tx, of, name, kind)
        if name == names.MAIN:
            raise Refused(f"main is the branch that {of} always has.", remedy="It can be rolled back.")
        now = project.clock.now()
        refs.remove(tx, there, at=now, by=project.user, reason="removed")
        summary = f"data {kind} '{name}' removed; it stood at {there.version_id[:12]}"
        _tell(tx, project, replace(there, updated_at=now), "unnamed", summary, there.version_id)
        return there


def list_refs(project: Project, dataset: str | None = None, kind: str | None = None) -> list[DataRef]:
    """Raises UnknownVersion for a dataset that is not there."""
    with project.store.reading() as tx:
        if dataset is not None:
            _known(tx, dataset)
        return refs.list_refs(tx, dataset, kind)


def list_moves(project: Project, dataset: str) -> list[DataMove]:
    """Where the names of a dataset stood, oldest first."""
    with project.store.reading() as tx:
        _known(tx, dataset)
        return refs.list_moves(tx, dataset)


def list_versions(project: Project, dataset: str | None = None, branch: str | None = None) -> list[Listed]:
    """Versions with their names, oldest first; with ``branch`` those that it stands on. Raises UnknownVersion
    for a dataset or branch that is not there."""
    with project.store.reading() as tx:
        if dataset is not None:
            _known(tx, dataset)
        found = datasets.versions(tx, dataset, statistics=False)
        named = refs.list_refs(tx, dataset)
    if branch is not None:
        heads = {ref.dataset: ref.version_id for ref in named if (ref.name, ref.kind) == (branch, "branch")}
        if not heads:
            raise _no_name("branch", branch, dataset, named)
        found = [v for of, head in heads.items() for v in _below(found, of, head)]
    standing: dict[tuple[str, str], list[DataRef]] = {}
    for ref in named:
        standing.setdefault((ref.dataset, ref.version_id), []).append(ref)
    return [Listed(v, tuple(standing.get((v.dataset, v.version_id), ()))) for v in found]


def newest_first(listed: Sequence[Listed]) -> list[Listed]:
    """Versions of one dataset, those registered last first, but none before all that follow on it: an import
    may bring an earlier one later."""
    by_id = {each.version.version_id: each for each in listed}
    following = Counter(each.version.parent for each in listed)
    free = [(-each.version.sequence, key) for key, each in by_id.items() if not following[key]]
    heapify(free)
    found = []
    while free:
        found.append(by_id[heappop(free)[1]])
        above = found[-1].version.parent
        following[above] -= 1
        if above in by_id and not following[above]:
            heappush(free, (-by_id[above].version.sequence, above))
    return found


def overview(project: Project) -> list[Overview]:
    """Each dataset: how many versions, the newest, how much it takes."""
    found: dict[str, list[Listed]] = {}
    for listed in list_versions(project):
        found.setdefault(listed.version.dataset, []).append(listed)
    return [_summed(dataset, found[dataset]) for dataset in sorted(found)]


def _summed(dataset: str, listed: Sequence[Listed]) -> Overview:
    newest = max((each.version for each in listed), key=lambda v: v.sequence)
    every = [ref for each in listed for ref in each.refs]
    heads = [ref.version_id for ref in every if ref.name == names.MAIN]
    return Overview(
        dataset=dataset,
        versions=len(listed),
        head=heads[0] if heads else newest.version_id,
        newest=newest.version_id,
        newest_at=newest.created_at,
        rows=newest.rows,
        bytes=sum(each.version.bytes for each in listed),
        refs=len([ref for ref in every if ref.name != names.MAIN]),
    )


def _below(versions: Sequence[DatasetVersion], dataset: str, head: str) -> list[DatasetVersion]:
    """The version ``head`` and those before it, oldest first."""
    known = {v.version_id: v for v in versions if v.dataset == dataset}
    chain: dict[str, DatasetVersion] = {}
    here = known.get(head)
    while here is not None and here.version_id not in chain:
        chain[here.version_id] = here
        here = known.get(here.parent) if here.parent else None
    return list(reversed(chain.values()))


def _placed(tx: Tx, name: str, dataset: str | None, start: str | None) -> tuple[str, str]:
    """The dataset that a name is of, and the name alone."""
    before, sign, alone = name.rpartition("@")
    of = before if sign else dataset
    if of is None and start is not None and names.parse(start).what != names.LATEST:
        of = datasets.find_version(tx, start, statistics=False).dataset
    elif of is None and start is not None:
        of = names.parse(start).dataset
    there = datasets.datasets(tx)
    if of is None and len(there) == 1:
        of = there[0]
    if of is None:
        raise Invalid(
            f"It is not clear of which dataset '{alone}' is.",
            remedy=f"Write DATASET@{alone}. {nearest('', there)}",
        )
    _known(tx, of)
    return of, alone


def _known(tx: Tx, dataset: str) -> None:
    if refs.head(tx, dataset) is None:
        there = datasets.datasets(tx)
        if dataset not in there:
            raise UnknownVersion(f"There is no dataset '{dataset}'.", remedy=nearest(dataset, there))


def _find(tx: Tx, dataset: str, name: str, kind: str) -> DataRef:
    found = refs.find_ref(tx, dataset, name)
    if found is None or found.kind != kind:
        raise _no_name(kind, name, dataset, refs.list_refs(tx, dataset, kind))
    return found


def _no_name(kind: str, name: str, dataset: str | None, known: Sequence[DataRef]) -> UnknownVersion:
    of = f" of {dataset}" if dataset else ""
    there = [ref.name for ref in known if ref.kind == kind]
    which = "tags" if kind == "tag" else "branches"
    return UnknownVersion(
        f"There is no {kind} '{name}'{of}.",
        remedy=nearest(name, there) if there else f"'everloop data {which}' lists what is there.",
    )


def _put(tx: Tx, project: Project, kind: str, name: str, version: DatasetVersion, *, move: bool) -> Moved:
    there = refs.find_ref(tx, version.dataset, name)
    if there is not None and there.kind != kind:
        raise Conflict(
            f"'{name}' is a {there.kind} of {version.dataset} already.", remedy="Take another name."
        )
    same = there is not None and there.version_id == version.version_id
    if there is not None and same and there.updated_by:  # else a main without a row, which gets one
        return Moved(there, there.version_id)
    if there is not None and not same and not move:
        raise Conflict(
            f"The {kind} '{name}' of {version.dataset} stands at {there.version_id[:12]}.",
            remedy=f"--move lets it stand at {version.short}; the history remembers where it stood.",
        )
    ref = DataRef(version.dataset, name, kind, version.version_id, project.clock.now(), project.user)
    done = "moved" if there else "tagged" if kind == "tag" else "branched"
    return _move(tx, project, ref, there, done, "")


def _move(tx: Tx, project: Project, ref: DataRef, before: DataRef | None, kind: str, reason: str) -> Moved:
    ref = replace(ref, updated_at=project.clock.now(), updated_by=project.user)
    refs.move(tx, ref, reason or kind)
    came = f"{kind} from {before.version_id[:12]} to" if before else "put at"
    summary = f"data {ref.kind} '{ref.name}' {came} {ref.version_id[:12]}"
    stood = before.version_id if before else None
    _tell(tx, project, ref, kind, summary + (f": {reason}" if reason else ""), stood)
    return Moved(ref, stood)


def _tell(tx: Tx, project: Project, ref: DataRef, kind: str, summary: str, before: str | None) -> None:
    details = {
        "dataset": ref.dataset,
        "name": ref.name,
        "ref": ref.kind,
        "before": before,
        "after": None if kind == "unnamed" else ref.version_id,
    }
    history.append(tx, ref.dataset, kind, summary, at=ref.updated_at, by=project.user, details=details)
