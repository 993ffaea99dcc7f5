"""A small town whose retraining real processes do, on a PostgreSQL with a gate in it: whoever comes to a
place is held there, in the middle of a transaction, to be killed."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml

from everloop import wiring
from everloop.adapters.courier import describe
from everloop.core.errors import Unavailable
from everloop.flows import history, models, runs, status
from everloop.flows.content import verifying
from everloop.flows.loop import advancing, showing
from everloop.flows.project import Project
from everloop.flows.serving import jobs, labels
from everloop.settings import load_settings
from everloop.store import alerts
from everloop.worker import jobs as at_work
from tests.stories.loop.town import MODEL, Town, turned
from tests.stories.up.keeper import Kept, gone, kept, until

ROWS = 300  # a day
HOLD = 2.0  # seconds until the job of a dead worker is free
RULES = {"on": ["performance"], "approve": ["release"], "try_data": False, "retry": "1s"}
_IMPORTED = (*at_work.LATE, "sklearn.linear_model", "everloop.adapters.onnx.graph")
_LOCK = 7_707
_GATE = f"""
CREATE TABLE shut (place text);
CREATE FUNCTION come_to_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  this jsonb := to_jsonb(NEW);
BEGIN
  IF concat_ws('/', TG_TABLE_NAME, this->>'name', coalesce(this->>'stage', this->>'status'))
      IN (SELECT place FROM shut) THEN
    PERFORM pg_advisory_xact_lock({_LOCK});
  END IF;
  RETURN NEW;
END $$;
"""
_AT = "CREATE TRIGGER gate BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION come_to_the_gate()"
_GATED = ("triggers", "jobs", "decisions", "turns", "steps", "releases")
_HELD = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {_LOCK} AND NOT granted"


class SmallTown(Town):
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=8)

    @classmethod
    def tree(cls, **retraining: Any) -> dict[str, Any]:
        tree = super().tree(**RULES | retraining) | {"worker": {"hold": HOLD}}
        model = tree["models"][MODEL]
        model["data"]["example"]["rows"] = 1_500
        model["training"] = {"model_type": "logistic", "cross_validation": 0}
        model["monitoring"] |= {"min_rows": 200}
        return tree

    def change(self) -> None:
        """Its world changes. An alert says that its model got worse; the loop has not run yet."""
        self.day_of(rows=ROWS)
        for _ in range(2):
            self.day_of(turned, rows=ROWS)
        labels.add(self.project, self._due)
        self.clock.at = datetime.now(UTC)
        self.look()
        assert len(self.alerts()) == 1


def make(folder: Path, url: str | None = None) -> None:
    town = SmallTown(folder, url)
    try:
        town.change()
    finally:
        town.close()


@dataclass
class Scene:
    """A folder of a changed town, and its database."""

    folder: Path
    url: str | None
    project: Project

    def worker(self, number: int = 1) -> contextlib.AbstractContextManager[Kept]:
        return kept(self.folder, "worker", name=f"../worker{number}")

    def see_through(self, *workers: Kept) -> None:
        """Wait until the retraining has ended; somebody approves its release."""
        until(self._is_over, lambda: said(workers))

    def _is_over(self) -> bool:
        with contextlib.suppress(Unavailable):
            self.approve()
            (record,) = showing.decisions(self.project, MODEL) or (None,)
            waiting = {job.status for job in jobs.list_jobs(self.project)} & {"queued", "running"}
            return record is not None and not record.is_open and not waiting
        return False

    def approve(self) -> None:
        for record in showing.decisions(self.project, MODEL):
            if record.stage == "release_approval":
                advancing.approve(self.project, record.decision_id)

    def outcome(self) -> dict[str, Any]:
        """What there is at the end, without names and times, however often it was tried."""
        (record,) = showing.decisions(self.project, MODEL)
        told = [each.kind for each in history.events(self.project, MODEL)]
        once = ("considered", "registered", "promoted", "concluded", "approved")
        with self.project.store.reading() as tx:
            raised = alerts.list_alerts(tx, MODEL)
        turns = [one.status for one in status.recent(self.project, MODEL, 100)]
        return {
            "models": [one.version.version for one in models.list_models(self.project, MODEL)],
            "champion": models.find(self.project, f"{MODEL}@champion").version.version,
            "decision": (record.action, record.code, record.stage, record.outcome, record.version),
            "alerts": len(raised),
            "told": {kind: told.count(kind) for kind in once},
            "done": ([job.status for job in jobs.list_jobs(self.project)].count("done"), turns.count("done")),
            "under way": turns.count("running"),
            "left": sorted(
                path.name for path in (self.folder / ".everloop" / "retraining").rglob("*.parquet*")
            ),
            "damages": verifying.verify(self.project, full=True).damages,
        }

    def tries(self) -> dict[str, int]:
        """How often it was tried."""
        return {
            "jobs": len(jobs.list_jobs(self.project)),
            "turns": len(status.recent(self.project, MODEL, 100)),
            "runs": len(runs.list_runs(self.project, MODEL)),
        }


@contextlib.contextmanager
def scene(folder: Path, url: str | None, **sections: Any) -> Iterator[Scene]:
    tree = SmallTown.tree() | ({"store": {"url": url}} if url else {}) | sections
    (folder / "everloop.yaml").write_text(yaml.safe_dump(tree))
    project = wiring.connect(load_settings(folder / "everloop.yaml", folder=folder))
    try:
        yield Scene(folder, url, project)
    finally:
        project.close()


# -- the gate ----------------------------------------------------------------------------------------------


def build_gate(url: str) -> None:
    with _connected(url) as connection:
        connection.execute(_GATE)
        for table in _GATED:
            connection.execute(_AT.format(table))


@contextlib.contextmanager
def shut(url: str | None, place: str) -> Iterator[psycopg.Connection[Any]]:
    """Whoever comes to a place waits there until the end. It is a table and, where there are such, the name
    of the row and its state: ``steps/train/done``."""
    with _connected(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute("INSERT INTO shut VALUES (%s)", [place])
        try:
            yield connection
        finally:
            with contextlib.suppress(psycopg.OperationalError):  # the server was stopped: all gates are open
                connection.execute("DELETE FROM shut")


def said(workers: Sequence[Kept]) -> str:
    return "\n".join(each.lines for each in workers)


def held(connection: psycopg.Connection[Any], *workers: Kept) -> None:
    """Wait until somebody is at the gate."""
    until(
        lambda: connection.execute(_HELD).fetchone() != (0,), lambda: "\n".join(one.lines for one in workers)
    )


def _connected(url: str | None) -> psycopg.Connection[Any]:
    assert url is not None
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


# -- who works, and dies -----------------------------------------------------------------------------------


def born() -> Any:
    """Where processes come from that have all imported already: many deaths in seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.drills.loop_deeds", *_IMPORTED, "tests.drills.warmed"])
    return context


@contextlib.contextmanager
def working(context: Any, folder: Path) -> Iterator[Any]:
    """A process that does again and again what ``everloop worker`` lets a process do; killed at the end."""
    process = context.Process(target=_work, args=(str(folder),))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _work(folder: str) -> None:
    settings = load_settings(Path(folder) / "everloop.yaml", folder=Path(folder))
    while True:
        at_work.main(io.BytesIO(json.dumps(describe(settings) | {"stays": True}).encode()))
        time.sleep(0.1)


def kill(worker: Kept) -> None:
    """SIGKILL to the command and to all that it has started: nobody is left to clean up."""
    everybody = [psutil.Process(worker.process.pid), *worker.everybody()]
    for one in everybody:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    worker.process.wait()
    until(lambda: gone(everybody))
