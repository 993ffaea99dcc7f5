"""What no version needs any more, found by reachability and removed: packs, manifests and what was left over.

Needed is every version in the database, and every pack that a manifest in the store names. A manifest without
a version in the database is of a registration that was killed, or of a version that was removed. How
collections and registrations at the same time keep out of each other's way is told in ``leases``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.core.errors import Corrupt, NotFound, Refused
from everloop.core.ports import Blobs, Entry
from everloop.data import manifest as manifests
from everloop.flows.project import Project
from everloop.store import needs

from . import inventory, leases
from .inventory import Inventory
from .objects import Objects
from .removing import drop_manifest
from .repacking import Sparse, repack, sparse
from .verifying import Progress, document_of, quiet, versions_of

GRACE = timedelta(days=1)
_DRAFTS = timedelta(hours=1)  # the least age of a draft: a write that goes on has a younger one
_PAUSE = 0.2


@dataclass(frozen=True)
class Item:
    """An object and why it goes (or stays)."""

    key: str
    size: int
    why: str


@dataclass(frozen=True)
class Collection:
    """What went, or with ``dry_run`` would go. ``freed`` is bytes, less what was written anew; ``young`` are
    objects that no version needs but that are younger than the grace; ``drafts`` counts the leavings of
    killed writes; ``blocked`` says why packs were left alone, if they were."""

    dry_run: bool
    items: tuple[Item, ...]
    rewritten: tuple[Item, ...]
    freed: int
    young: tuple[Item, ...]
    drafts: int
    blocked: str


@dataclass(frozen=True)
class _Plan:
    manifests: dict[str, Item]  # by version id
    packs: dict[str, Item]  # by pack id
    leavings: list[tuple[Blobs, Item]]
    poor: list[Sparse]
    young: list[Item]
    users: dict[str, set[str]]  # packs by version
    blocked: str


def collect(
    project: Project,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = True,
    wait: float = 60.0,
    progress: Progress = quiet,
) -> Collection:
    """Remove what no version needs and what is older than ``grace``; with ``dry_run`` only say it.

    Registrations that are at work are waited for, ``wait`` seconds at most; then packs stay until another
    time. Raises Busy when a collection, a repair, a backup or a restore is at work, and Refused when the
    database knows none of the versions that are stored.
    """
    if dry_run:
        return _told(project, _plan(project, grace), dry_run=True, written=0, drafts=0)
    with project.locks.hold("backup"), project.locks.hold(leases.COLLECTION):
        return _collect(project, grace, wait, progress)


def _collect(project: Project, grace: timedelta, wait: float, progress: Progress) -> Collection:
    there = Objects(project.data, project.tenant)
    plan = _plan(project, grace)
    written = repack(there, plan.poor, plan.users)
    dropped = {name: item for name, item in plan.manifests.items() if drop_manifest(project, name)}
    again = _plan(project, grace)
    gone: dict[str, Item] = {}
    blocked = again.blocked
    if again.packs:
        with leases.condemned(project.data, project.tenant, again.packs):
            blocked = _wait(project, wait) or blocked
            final = {} if blocked else _plan(project, grace).packs
            gone = {name: item for name, item in again.packs.items() if name in final}
            for done, (name, item) in enumerate(gone.items(), 1):
                project.data.remove(item.key)
                project.data.remove(f"{project.tenant}/rewritten/{name}")
                progress(done, len(gone), item.why)
    for blobs, item in again.leavings:
        blobs.remove(item.key)
    older = project.clock.now() - max(grace, _DRAFTS)
    drafts = sum(blobs.sweep_drafts(older) for blobs in (project.data, project.artifacts))
    done_plan = _Plan(dropped, gone, again.leavings, plan.poor, again.young, {}, blocked)
    return _told(project, done_plan, dry_run=False, written=written, drafts=drafts)


def _plan(project: Project, grace: timedelta) -> _Plan:
    there = Objects(project.data, project.tenant)
    known = versions_of(project)
    stock = inventory.take(project.data, project.tenant)
    now = project.clock.now()
    young: list[Item] = []
    orphans: dict[str, Item] = {}
    for name, entry in stock.manifests.items():
        if name not in known:
            item = Item(entry.key, entry.size, "no version of this id: removed, or never finished")
            if entry.modified <= now - grace:
                orphans[name] = item
            else:
                young.append(item)
    if orphans and known.keys().isdisjoint(stock.manifests):
        _check_owner(project, orphans)
    users, lost = _users(there, [n for n in {**known, **stock.manifests} if n not in orphans])
    blocked = ""
    packs: dict[str, Item] = {}
    poor: list[Sparse] = []
    if lost:
        names = ", ".join(name[:12] for name in lost[:5])
        blocked = f"the manifests of {names} are damaged, and what they need is not known: repair them first"
    else:
        named = {pack for packs_of in users.values() for pack in packs_of}
        for name, entry in stock.packs.items():
            if name not in named:
                since = stock.rewritten.get(name)
                why = "its living segments are elsewhere now" if since else "no version needs it"
                item = Item(entry.key, entry.size, why)
                if max(e.modified for e in (entry, since) if e) <= now - grace:
                    packs[name] = item
                else:
                    young.append(item)
        try:
            poor = sparse(there, users)
        except (Corrupt, NotFound) as error:
            blocked = f"{error.message} Repair it first"
    leavings = _leavings(project, stock, packs, now, grace)
    return _Plan(orphans, {} if blocked else packs, leavings, poor, young, users, blocked)


def _check_owner(project: Project, orphans: Mapping[str, Item]) -> None:
    """A database that knows nothing of what is stored here can only speak of what it has removed itself."""
    with project.store.reading() as tx:
        strange = orphans.keys() - needs.removed(tx)
    if strange:
        raise Refused(
            f"The database knows none of the versions that are stored in {project.settings.data_place}, nor "
            f"has it removed {len(strange):,} of them.",
            remedy="Is this another project's store, or was the database lost? 'everloop backup restore' "
            "brings it back. Nothing was removed.",
        )


def _users(there: Objects, names: list[str]) -> tuple[dict[str, set[str]], list[str]]:
    """The packs that each version names, and the versions whose manifests are missing or damaged."""
    users: dict[str, set[str]] = {}
    lost = []
    for name in names:
        try:
            users[name] = {pack.id for pack in manifests.packs_in(document_of(there, name))}
        except (NotFound, Corrupt):
            lost.append(name)
    return users, lost


def _leavings(
    project: Project, stock: Inventory, going: Mapping[str, Item], now: datetime, grace: timedelta
) -> list[tuple[Blobs, Item]]:
    """What killed processes and repairs have left."""
    blobs, tenant = project.data, project.tenant
    aside = project.artifacts.entries(f"{tenant}/{inventory.DAMAGED}/")
    found: list[tuple[Blobs, Entry, str]] = [
        *((blobs, e, "a lease of a killed process") for e in stock.leases if e.modified <= now - leases.LIFE),
        *((blobs, e, "a note of a killed collection") for e in stock.collecting),
        *((blobs, e, "set aside by a repair") for e in stock.damaged if e.modified <= now - grace),
        *((project.artifacts, e, "set aside by a repair") for e in aside if e.modified <= now - grace),
        *(
            (blobs, e, "a mark that nothing needs any more")
            for name, e in stock.rewritten.items()
            if name not in stock.packs and name not in going
        ),
    ]
    each = {(id(store), entry.key): (store, Item(entry.key, entry.size, why)) for store, entry, why in found}
    return list(each.values())


def _wait(project: Project, seconds: float) -> str:
    """Wait until those who are at work now have ended; says who has not."""
    blobs, tenant, clock = project.data, project.tenant, project.clock
    until = clock.monotonic() + seconds
    waiting = {entry.key for entry in leases.alive(blobs, tenant, clock.now())}
    while waiting:
        waiting &= {entry.key for entry in leases.alive(blobs, tenant, clock.now())}
        if waiting and clock.monotonic() >= until:
            some = "1 registration or backup is" if len(waiting) == 1 else f"{len(waiting)} are"
            return f"{some} at work still; try again later"
        if waiting:
            clock.sleep(_PAUSE)
    return ""


def _told(project: Project, plan: _Plan, *, dry_run: bool, written: int, drafts: int) -> Collection:
    items = (*plan.manifests.values(), *plan.packs.values(), *(item for _, item in plan.leavings))
    anew = tuple(
        Item(
            f"{project.tenant}/packs/{each.pack.id}.pack",
            each.pack.size,
            f"{each.bytes / each.pack.index[0]:.0%} of it is needed: that was written anew"
            if not dry_run
            else f"{each.bytes / each.pack.index[0]:.0%} of it is needed: that would be written anew",
        )
        for each in plan.poor
    )
    freed = sum(item.size for item in items) - written
    return Collection(dry_run, items, anew, freed, tuple(plan.young), drafts, plan.blocked)
