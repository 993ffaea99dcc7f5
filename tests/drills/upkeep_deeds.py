"""What the children of the zygote do with the upkeep of a store."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from everloop import wiring
from everloop.core.errors import Busy, Refused
from everloop.data import identity
from everloop.flows import data, upkeep
from everloop.settings import load_settings
from tests.drills import deeds

NOW = timedelta(0)


def table(number: int, rows: int = 2000) -> pa.Table:
    """Tables that have columns in common."""
    columns = {"id": np.arange(rows)}
    for n in range(6):
        columns[f"c{n}"] = np.random.default_rng(n if n >= number else 100 + number).random(rows)
    return pa.table(columns)


def begin(folder: str, url: str | None = None) -> dict[str, Any]:
    """A store with something to do for a collection: a version removed, a pack that is mostly dead, and what
    a registration that was killed has left."""
    here = deeds.project(folder, url)
    versions = [data.register(here, table(number), "d").version for number in range(6)]
    for version in versions[:5]:
        upkeep.remove(here, version.version_id)
    orphan = data.register(here, table(9), "e").version
    key = f"default/versions/{orphan.version_id}.manifest"
    manifest = here.data.get(key)
    upkeep.remove(here, f"e@{orphan.version_id}", force=True)
    here.data.put(key, manifest)
    return look(folder, url)


def look(folder: str, url: str | None = None) -> dict[str, Any]:
    """What is loaded right, and what is wrong."""
    here = deeds.project(folder, url)
    found = upkeep.verify(here, full=True)
    right = []
    for version in data.list_versions(here):
        loaded = data.load(here, version)
        if identity.version_id(loaded, version.hash_algorithm) == version.version_id:
            right.append(f"{version.dataset}@{version.version_id}")
    objects = [e.key for e in here.data.entries("default/") if "/damaged/" not in e.key]
    damages = [f"{damage.key}: {damage.what}" for damage in found.damages]
    return {"right": sorted(right), "damages": damages, "objects": sorted(objects)}


def register_file(
    folder: str, more: int = 0, memory: int = 10**9, die_at: int | None = None
) -> dict[str, Any]:
    """A file of 5,000 rows and ``more``, held in memory or, where its table is larger, in batches."""
    flags = [f"data_versioning.memory={memory}"]
    here = wiring.connect(load_settings(folder=folder, flags=flags, variables={}))
    path = Path(folder, f"{more}.parquet")
    pq.write_table(table(more, 5000 + more), path)
    counted = deeds.count_operations(die_at)
    version = data.register(here, path, "d").version
    return {"operations": counted["operations"], "name": f"d@{version.version_id}"}


def collect(folder: str, die_at: int | None = None, url: str | None = None) -> dict[str, Any]:
    here = deeds.project(folder, url)
    counted = deeds.count_operations(die_at)
    done = upkeep.collect(here, grace=NOW, dry_run=False, wait=1)
    return {"operations": counted["operations"], "items": len(done.items), "blocked": done.blocked}


def remove(folder: str, die_at: int | None = None) -> dict[str, Any]:
    here = deeds.project(folder)
    counted = deeds.count_operations(die_at)
    upkeep.remove(here, "d@latest", force=True)
    return {"operations": counted["operations"]}


def harm(folder: str) -> dict[str, Any]:
    """Keep a copy of the store, and damage some of each kind."""
    here = deeds.project(folder)
    place = Path(here.settings.data_place)
    shutil.copytree(place, Path(folder, "copy"), dirs_exist_ok=True)
    files = sorted(path for path in place.rglob("*") if path.suffix in (".pack", ".manifest"))
    for path in files[::2]:
        path.write_bytes(path.read_bytes()[:-1])
    return {"harmed": len(files[::2])}


def repair(folder: str, die_at: int | None = None) -> dict[str, Any]:
    here = deeds.project(folder)
    counted = deeds.count_operations(die_at)
    done = upkeep.repair(here, source=str(Path(folder, "copy")))
    return {"operations": counted["operations"], "lost": len(done.lost)}


def register_many(folder: str, name: str, many: int, seed: int, url: str | None = None) -> dict[str, Any]:
    """Contents that others register and remove too; returns what was registered and not removed since."""
    here = deeds.project(folder, url)
    chance = random.Random(seed)
    alive: set[str] = set()
    for _ in range(many):
        version = data.register(here, table(chance.randrange(5)), name).version
        alive.add(version.version_id)
        if chance.random() < 0.6:
            gone = chance.choice(sorted(alive))
            try:
                upkeep.remove(here, f"{name}@{gone}", force=True)
            except Busy:
                continue
            alive.remove(gone)
    return {"alive": sorted(f"{name}@{version_id}" for version_id in alive)}


def collect_many(folder: str, many: int, url: str | None = None, wait: float = 60) -> dict[str, Any]:
    """``many`` collections that got their turn."""
    here = deeds.project(folder, url)
    done, gone, blocked = 0, 0, 0
    while done < many:
        try:
            found = upkeep.collect(here, grace=NOW, dry_run=False, wait=wait)
        except (Busy, Refused):  # refused while the database has no version yet
            here.clock.sleep(0.02)
            continue
        done += 1
        gone += len([item for item in found.items if item.key.endswith(".pack")])
        blocked += bool(found.blocked)
    return {"gone": gone, "blocked": blocked}


def churn_until_killed(folder: str, seed: int, after: float) -> dict[str, Any]:
    """Register, remove and collect, until the end comes wherever it comes."""
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
    number = 0
    while True:
        register_many(folder, f"churn{seed}", 3, seed * 1000 + number)
        collect_many(folder, 1, wait=0.1)
        number += 1
