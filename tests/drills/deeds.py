"""What the children of the zygote do."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import Any

from everloop import wiring
from everloop.adapters.blobs import folders
from everloop.adapters.blobs.local import LocalBlobs
from everloop.core.errors import Busy
from everloop.data.examples.customers import customers
from everloop.flows import data, history, models, runs, status, turn
from everloop.settings import load_settings
from everloop.store import database, outbox
from everloop.store import engine as engines
from everloop.store.history import append

MODEL = "default"


def project(folder: str, url: str | None = None, tenant: str = "default") -> Any:
    flags = [f"tenant={tenant}", "training.max_iter=200", *([f"store.url={url}"] if url else [])]
    return wiring.connect(load_settings(folder=folder, flags=flags, variables={}))


def take_turn(
    folder: str, url: str | None = None, die_at: int | None = None, rows: int = 300
) -> dict[str, Any]:
    """One turn; killed at the ``die_at``-th moment before or after a commit or a stored blob."""
    counted = count_operations(die_at)
    here = project(folder, url)
    summary = turn.run(here, MODEL, source=None, force=False)
    return {"operations": counted["operations"], "resumed": summary.resumed, "promoted": summary.promoted}


def count_operations(die_at: int | None) -> dict[str, int]:
    """Count the moments before and after each write, removal, move and commit, and die at the chosen one."""
    seen = {"operations": 0}
    lock = threading.Lock()

    def moment() -> None:
        with lock:
            seen["operations"] += 1
            if seen["operations"] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    def around(work: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            moment()
            done = work(*given, **named)
            moment()
            return done

        return counted

    for name in ("put", "replace", "remove"):
        setattr(LocalBlobs, name, around(getattr(LocalBlobs, name)))
    folders.Path.rename = around(folders.Path.rename)
    transaction = engines.transaction

    @contextmanager
    def counted_transaction(engine: Any, *, reading: bool = False) -> Any:
        with transaction(engine, reading=reading) as connection:
            yield connection
            if not reading:
                moment()
        if not reading:
            moment()

    database.transaction = counted_transaction
    return seen


def state(folder: str, url: str | None = None) -> dict[str, Any]:
    """What must be the same whether or not somebody died: everything but ids and times."""
    here = project(folder, url)
    versions = models.list_models(here)
    with here.store.reading() as tx:
        waiting = [entry["kind"] for entry in outbox.waiting(tx)]
    return {
        "data": [v.version_id for v in data.list_versions(here)],
        "runs": [[r.metrics["accuracy"], r.predictions_hash] for r in runs.list_runs(here)],
        "models": [[m.version.version, m.version.parent, list(m.aliases)] for m in versions],
        "events": [event.kind for event in history.events(here)],
        "metrics": [[m["name"], m["value"], m["model_version"]] for m in history.metrics(here, MODEL)],
        "outbox": waiting,
        "turns": [t.status for t in status.recent(here)],
        "steps": [[s.name, s.status] for t in status.recent(here) for s in t.steps],
    }


def write_events(folder: str, name: str, many: int, url: str | None = None) -> dict[str, Any]:
    """``many`` transactions, each a line of history and a metric."""
    here = project(folder, url)
    for number in range(many):
        with here.store.writing() as tx:
            append(tx, name, "noted", f"{number}", at=here.clock.now(), by="drill")
    return {"wrote": many}


def count_events(folder: str, url: str | None = None) -> dict[str, int]:
    here = project(folder, url)
    counts: dict[str, int] = {}
    for event in history.events(here):
        counts[event.model] = counts.get(event.model, 0) + 1
    return counts


def register_rows(folder: str, seed: int, url: str | None = None) -> dict[str, Any]:
    here = project(folder, url)
    found = data.register(here, customers(rows=50, seed=seed), "shared")
    return {"version": found.version.version_id, "sequence": found.version.sequence}


def race_turn(folder: str, url: str | None = None) -> dict[str, Any]:
    """A turn that takes seconds, so that it meets another one: says whether it was refused."""
    here = project(folder, url)
    put = LocalBlobs.put

    def slowly(*given: Any) -> None:
        time.sleep(0.4)
        put(*given)

    setattr(LocalBlobs, "put", slowly)  # noqa: B010 (mypy refuses an assignment to a method)
    try:
        turn.run(here, MODEL)
    except Busy as error:
        return {"busy": error.message}
    return {"busy": None}


def die_while_running(folder: str, after: float, url: str | None = None) -> dict[str, Any]:
    """A turn that kills itself after some seconds, wherever it is then."""
    import threading

    def kill() -> None:
        time.sleep(after)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    return take_turn(folder, url)
