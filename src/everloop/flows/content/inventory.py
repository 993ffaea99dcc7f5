"""What lies in a tenant's part of the store, sorted by what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from everloop.core.ports import Blobs, Entry

LEASES, DAMAGED, REWRITTEN, COLLECTING = "leases", "damaged", "rewritten", "collecting"
_PACK = re.compile(r"packs/([0-9a-f]{64})\.pack")
_MANIFEST = re.compile(r"versions/([0-9a-f]{40,128})\.manifest")
_ARTIFACT = re.compile(r"[0-9a-f]{2}/([0-9a-f]{64})\.[^/]+")


@dataclass(frozen=True)
class Inventory:
    """Packs and manifests by id; ``damaged`` are bytes that a repair kept aside, ``rewritten`` the marks of
    packs that others have taken the place of, ``foreign`` what is none of ours."""

    packs: Mapping[str, Entry]
    manifests: Mapping[str, Entry]
    leases: tuple[Entry, ...]
    collecting: tuple[Entry, ...]
    damaged: tuple[Entry, ...]
    rewritten: Mapping[str, Entry]
    foreign: tuple[Entry, ...]


def take(blobs: Blobs, tenant: str) -> Inventory:
    """One look at everything that lies there."""
    packs: dict[str, Entry] = {}
    manifests: dict[str, Entry] = {}
    rewritten: dict[str, Entry] = {}
    plain: dict[str, list[Entry]] = {LEASES: [], COLLECTING: [], DAMAGED: []}
    foreign = []
    for entry in blobs.entries(f"{tenant}/"):
        name = entry.key.removeprefix(f"{tenant}/")
        room, _, rest = name.partition("/")
        if pack := _PACK.fullmatch(name):
            packs[pack[1]] = entry
        elif manifest := _MANIFEST.fullmatch(name):
            manifests[manifest[1]] = entry
        elif room in plain:
            plain[room].append(entry)
        elif room == REWRITTEN:
            rewritten[rest] = entry
        elif not _ARTIFACT.fullmatch(name):  # models may be kept in the same place
            foreign.append(entry)
    return Inventory(
        packs,
        manifests,
        tuple(plain[LEASES]),
        tuple(plain[COLLECTING]),
        tuple(plain[DAMAGED]),
        rewritten,
        tuple(foreign),
    )


def artifacts(blobs: Blobs, tenant: str) -> dict[str, Entry]:
    """Models and plots, by key."""
    entries = blobs.entries(f"{tenant}/")
    return {e.key: e for e in entries if _ARTIFACT.fullmatch(e.key.removeprefix(f"{tenant}/"))}
