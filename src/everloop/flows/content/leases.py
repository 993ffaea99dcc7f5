"""What says that a registration is at work, so that a collection leaves alone what it is about to need.

A lease is a small object that exists while a registration runs. A collection writes down which packs it is
about to remove, waits for the leases that are there then, and looks at the versions again. So a registration
is either waited for, or its lease came later: then it finds what the collection wrote, lets it end, and
writes again what it took (``outlast``). Leases of killed processes count as gone after an hour without a sign
of life.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from everloop.core.clock import Clock
from everloop.core.errors import NotFound
from everloop.core.ids import token
from everloop.core.ports import Blobs, Entry
from everloop.data.packs import Pack
from everloop.flows.project import Project

from .objects import Objects

LIFE = timedelta(hours=1)
COLLECTION = "collection"
"""The lock of those who remove versions, collect, or repair."""


class Lease:
    """A sign that somebody is at work. ``renew`` says so again, ``end`` that nobody need wait any more."""

    def __init__(self, blobs: Blobs, key: str, clock: Clock) -> None:
        self._blobs, self._key, self._clock = blobs, key, clock

    def renew(self) -> None:
        self._blobs.replace(
            self._key, json.dumps({"format": 1, "at": self._clock.now().isoformat()}).encode()
        )

    def end(self) -> None:
        self._blobs.remove(self._key)


@contextmanager
def leased(blobs: Blobs, tenant: str, clock: Clock) -> Iterator[Lease]:
    """Hold a lease while something is registered."""
    key = f"{tenant}/leases/{token()}.json"
    lease = Lease(blobs, key, clock)
    lease.renew()
    try:
        yield lease
    finally:
        lease.end()


def alive(blobs: Blobs, tenant: str, now: datetime) -> list[Entry]:
    """The leases of those who are, as far as one can tell, still at work."""
    return [entry for entry in blobs.entries(f"{tenant}/leases/") if entry.modified > now - LIFE]


@contextmanager
def condemned(blobs: Blobs, tenant: str, packs: Iterable[str]) -> Iterator[None]:
    """Write down which packs a collection is about to remove, while it does."""
    key = f"{tenant}/collecting/{token()}.json"
    blobs.replace(key, json.dumps({"format": 1, "packs": sorted(packs)}).encode())
    try:
        yield
    finally:
        blobs.remove(key)


def outlast(project: Project, there: Objects, lease: Lease, packs: Iterable[tuple[Pack, bytes]]) -> None:
    """For a registration that has written its manifest: if a collection is about to remove one of its packs
    (an old copy of it, that nobody needed until now), let it end; then write what is gone once more."""
    held = {pack.id: data for pack, data in packs}
    await_collection(project, lease, held)
    for name, data in held.items():
        if not there.blobs.exists(there.pack_key(name)):  # also of one that took this process for dead
            there.blobs.replace(there.pack_key(name), data)


def await_collection(project: Project, lease: Lease, packs: Iterable[str]) -> None:
    """If a collection is about to remove one of these packs, let it end."""
    if _condemned(project.data, project.tenant).isdisjoint(packs):
        return
    lease.end()  # it may wait for us: our manifest is there for it to see
    with project.locks.hold(COLLECTION, wait=LIFE.total_seconds()):
        lease.renew()


def _condemned(blobs: Blobs, tenant: str) -> set[str]:
    named: set[str] = set()
    for entry in blobs.entries(f"{tenant}/collecting/"):
        with suppress(NotFound):
            named.update(json.loads(blobs.get(entry.key))["packs"])
    return named
