"""What the children of the zygote do with backups. Each operation that lasts is a moment to die at."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from everloop.data.examples.customers import customers
from everloop.flows import artifacts, backup, data
from everloop.flows.backup import retention
from everloop.settings.schema import Keep
from everloop.store import models
from everloop.store.database import to_json
from everloop.store.tables import BACKED_UP
from tests.drills import deeds
from tests.drills.deeds import count_operations

NEWEST = Keep(last=1, daily=0, weekly=0, monthly=0)


def project(folder: str, url: str | None = None) -> Any:
    place = Path(folder)
    settings = place / "shop" / "everloop.yaml"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("backup: {to: ../backups}\ntracking: {enabled: false}\n")
    return deeds.project(str(place / "shop"), url)


def write(folder: str, seed: int, url: str | None = None) -> dict[str, Any]:
    """A data version, a file of a model, and an alias."""
    here = project(folder, url)
    found = data.register(here, customers(rows=20, seed=seed), "sales")
    artifacts.keep(here, b"%d" % seed, "png")
    with here.store.writing() as tx:
        models.set_alias(tx, "m", "champion", f"1.0.{seed}", "t")
    return {"version": found.version.version_id, **state(folder, url)}


def state(folder: str, url: str | None = None) -> dict[str, Any]:
    """All rows but the lines that backups write into the history; and whether each version can be loaded."""
    here = project(folder, url)
    with here.store.snapshot() as tx:
        rows = {t.name: [to_json(row) for row in tx.each(t)] for t in BACKED_UP if t.name != "events"}
    versions = data.list_versions(here)
    loaded = [v.version_id for v in versions if data.load(here, v).num_rows == v.rows]
    return {"rows": rows, "loaded": loaded}


def rows(folder: str, itself: bool = False) -> dict[str, list[str]]:
    """All rows but the history. ``itself``: of the project in this folder, not of the shop in it."""
    here = deeds.project(folder) if itself else project(folder)
    with here.store.snapshot() as tx:
        return {t.name: [to_json(row) for row in tx.each(t)] for t in BACKED_UP if t.name != "events"}


def create(
    folder: str, die_at: int | None = None, url: str | None = None, full: bool = False
) -> dict[str, Any]:
    here = project(folder, url)
    counted = count_operations(die_at)
    made = backup.create(here, full=full)
    return {"operations": counted["operations"], "backup": made.id}


def restore(
    folder: str,
    die_at: int | None = None,
    url: str | None = None,
    name: str | None = None,
    into: str | None = None,
) -> dict[str, Any]:
    here = project(folder, url)
    counted = count_operations(die_at)
    done = backup.restore(here, name, into=Path(into) if into else None, over=True)
    return {"operations": counted["operations"], "before": done.before}


def prune(folder: str, die_at: int | None = None, url: str | None = None) -> dict[str, Any]:
    retention.GRACE *= 0
    here = project(folder, url)
    counted = count_operations(die_at)
    return {"removed": backup.prune(here, keep=NEWEST).removed, "operations": counted["operations"]}


def look(folder: str, url: str | None = None) -> dict[str, Any]:
    """Whether every backup that is there is whole: all bytes, and the newest one restored for a drill."""
    here = project(folder, url)
    found = backup.open_target(here).found()
    problems = [f"{one.where}: {one.message}" for one in backup.verify(here).damage]
    if found.backups:
        problems += backup.drill(here).problems
    left = [path.name for path in Path(folder, "shop", ".everloop").glob("restore-*")]
    return {"backups": [b.id for b in found.backups], "problems": [*problems, *found.damaged], "left": left}


def missing(folder: str, name: str) -> dict[str, Any]:
    """Forget an object of the project, as a disk does."""
    here = project(folder)
    for entry in list(here.data.entries("default/")):
        if name in entry.key:
            here.data.remove(entry.key)
    return {}


def write_and_save_for(folder: str, seconds: float, seed: int, url: str | None = None) -> dict[str, Any]:
    """Backups one after the other while another thread writes; killed at the end of the time."""
    here = project(folder, url)
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def write_on() -> None:
        number = seed
        while True:
            data.register(here, customers(rows=20, seed=number), "sales")
            number += 1

    threading.Thread(target=write_on, daemon=True).start()
    while True:
        backup.create(here)
