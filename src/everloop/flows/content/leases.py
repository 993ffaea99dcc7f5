"""What says that a registration is at work, so that a collection leaves alone what it is about to need.

A lease is a small object that exists while a registration runs. A collection that wants to remove what no
version needs waits for the leases that are older than its look at the versions; those of killed processes
count as gone after an hour without a sign of life.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from everloop.core.clock import Clock
from everloop.core.ids import token
from everloop.core.ports import Blobs, Entry

LIFE = timedelta(hours=1)


class Lease:
    """A sign that somebody is at work. ``renew`` says so again."""

    def __init__(self, blobs: Blobs, key: str, clock: Clock) -> None:
        self._blobs, self._key, self._clock = blobs, key, clock

    def renew(self) -> None:
        self._blobs.replace(
            self._key, json.dumps({"format": 1, "at": self._clock.now().isoformat()}).encode()
        )


@contextmanager
def leased(blobs: Blobs, tenant: str, clock: Clock) -> Iterator[Lease]:
    """Hold a lease while something is registered."""
    key = f"{tenant}/leases/{token()}.json"
    lease = Lease(blobs, key, clock)
    lease.renew()
    try:
        yield lease
    finally:
        blobs.remove(key)


def alive(blobs: Blobs, tenant: str, now: datetime) -> list[Entry]:
    """The leases of those who are, as far as one can tell, still at work."""
    return [entry for entry in blobs.entries(f"{tenant}/leases/") if entry.modified > now - LIFE]
