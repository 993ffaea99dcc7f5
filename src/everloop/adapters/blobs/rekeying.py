"""Bring stored objects to the newest key, one by one: killed at any moment, what is done is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from everloop.core.errors import Corrupt, NotFound

from .encrypted import EncryptedBlobs
from .keys import PLAIN

Tell = Callable[[int, int, str], None]
_AT_ONCE = 8  # requests; a store far away answers each after a while


@dataclass(frozen=True)
class Rekeyed:
    """How many objects were encrypted anew, how many had the newest key, and what could not be read."""

    resealed: int
    kept: int
    damaged: tuple[Corrupt, ...]


def rekey(stores: Sequence[EncryptedBlobs], prefix: str, tell: Tell) -> Rekeyed:
    """Encrypt with the newest key what is below ``prefix`` and needs another one or none. Damaged objects
    stay as they are. Raises InvalidSettings where a key is not in the ring."""
    damaged: list[Corrupt] = []
    older: list[tuple[EncryptedBlobs, str]] = []
    kept = resealed = 0
    for blobs, name, key_id in _keys_of(stores, prefix, damaged):
        if key_id == blobs.ring.newest.id:
            kept += 1
        else:
            older.append((blobs, name))
    for done, (blobs, name) in enumerate(older):
        tell(done, len(older), name)
        try:
            blobs.reseal(name)
            resealed += 1
        except NotFound:  # collected meanwhile
            continue
        except Corrupt as error:
            damaged.append(error)
    tell(len(older), len(older), "")
    return Rekeyed(resealed, kept, tuple(damaged))


def needed(stores: Sequence[EncryptedBlobs]) -> Counter[str]:
    """How many objects need which key, ``plain`` for those that are not encrypted. Raises Corrupt where an
    object does not tell."""
    return Counter(key_id for _, key_id in _told(stores))


def needing(stores: Sequence[EncryptedBlobs], key_id: str) -> Counter[str]:
    """How many objects of which tenants need a key. Raises Corrupt where an object does not tell."""
    return Counter(name.partition("/")[0] for name, needs in _told(stores) if needs == key_id)


def lost(stores: Sequence[EncryptedBlobs]) -> Counter[str]:
    """How many objects need which keys that are not in the ring; damaged ones do not tell."""
    counted = Counter(key_id for blobs, _, key_id in _keys_of(stores, "", []) if not blobs.ring.find(key_id))
    del counted[PLAIN]
    return counted


def beside(stores: Sequence[EncryptedBlobs], tenant: str) -> list[str]:
    """What else than the tenant's objects is there: other tenants, or folders that are none."""
    names = {entry.key.partition("/")[0] for blobs in stores for entry in blobs.inner.entries()}
    return sorted(names - {tenant})


def _told(stores: Sequence[EncryptedBlobs]) -> list[tuple[str, str]]:
    """Every object and the key that it needs. Raises Corrupt where one does not tell."""
    damaged: list[Corrupt] = []
    told = [(name, key_id) for _, name, key_id in _keys_of(stores, "", damaged)]
    if damaged:
        raise damaged[0]
    return told


def _keys_of(
    stores: Sequence[EncryptedBlobs], prefix: str, damaged: list[Corrupt]
) -> Iterator[tuple[EncryptedBlobs, str, str]]:
    """Each object below ``prefix`` and the key that it needs."""

    def ask(one: tuple[EncryptedBlobs, str]) -> tuple[EncryptedBlobs, str, str] | None:
        blobs, name = one
        try:
            return blobs, name, blobs.key_of(name)
        except NotFound:
            return None
        except Corrupt as error:
            damaged.append(error)
            return None

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        names = ((blobs, entry.key) for blobs in stores for entry in blobs.inner.entries(prefix))
        yield from filter(None, pool.map(ask, names))
    finally:
        pool.shutdown(cancel_futures=True)
