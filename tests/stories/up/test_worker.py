"""Workers: several share one PostgreSQL, do nothing twice, and one that ends leaves its work to others."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.stories.serving.server import write_project
from tests.stories.up.keeper import PATIENCE, Kept, gone, kept, until

from everloop import wiring
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows import status, turn
from everloop.flows.loop import asking
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.settings import load_settings
from everloop.store.tables import jobs as table

SLOW = """
import pathlib, time
from sklearn.linear_model import LogisticRegression

def make():
    here = pathlib.Path({folder!r})
    while (here / "wait").exists():
        (here / "begun").touch()
        time.sleep(0.02)
    return LogisticRegression(max_iter=300)
"""


def make(folder: Path, url: str | None, *models: str, **sections: Any) -> None:
    """A project whose trainings wait while there is a file ``wait``; each model has a champion."""
    (folder / "iris.csv").write_bytes(writing.to_bytes(iris(), ".csv"))
    (folder / "slow.py").write_text(SLOW.format(folder=str(folder)))
    about = {
        "data": {"path": "iris.csv"}, "target": "species", "training": {"model_type": "slow.py:make"},
    }  # fmt: skip
    project = write_project(folder, models=dict.fromkeys(models, about), store={"url": url}, **sections)
    try:
        for model in models:
            assert turn.run(project, model).model_version == "1.0.0"
    finally:
        project.close()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Project]:
    project = wiring.connect(load_settings(folder / "everloop.yaml", folder=folder))
    try:
        yield project
    finally:
        project.close()


def ask(folder: Path, *models: str) -> None:
    with opened(folder) as project:
        for model in models:
            asking.ask(project, model, force=True, reason="a test")


def states(folder: Path) -> list[str]:
    with opened(folder) as project:
        return sorted(job.status for job in jobs.list_jobs(project))


def turns(folder: Path, model: str) -> int:
    with opened(folder) as project:
        return len(status.recent(project, model, 100))


def worker(folder: Path, number: int = 1) -> contextlib.AbstractContextManager[Kept]:
    return kept(folder, "worker", name=f"worker{number}")


def begun(folder: Path) -> None:
    until(lambda: (folder / "begun").exists())


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """One model whose retraining has been asked for, and will wait in the middle of it."""
    make(tmp_path, None, "iris", worker={"finish": 1.0})
    (tmp_path / "wait").touch()
    ask(tmp_path, "iris")
    return tmp_path


def test_what_is_due_is_done_once(tmp_path: Path) -> None:
    make(tmp_path, None, "iris")
    assert once(tmp_path) == {"done": {}}
    ask(tmp_path, "iris")
    assert once(tmp_path) == {"done": {"jobs": True}}
    assert states(tmp_path) == ["done"]
    assert turns(tmp_path, "iris") == 2
    assert once(tmp_path) == {"done": {}}


def test_a_job_that_cannot_be_done_is_told(tmp_path: Path) -> None:
    make(tmp_path, None, "iris")
    ask(tmp_path, "iris")
    with opened(tmp_path) as project, project.store.writing() as tx:
        tx.change(table, table.c.status == "queued", request={"force": "maybe"})
    assert once(tmp_path, code=5) == {"done": {"jobs": False}}
    assert states(tmp_path) == ["done", "failed"]  # what called for it is considered by another one
    assert once(tmp_path) == {"done": {}}


def test_two_workers_do_no_job_twice(tmp_path: Path, postgres_database: str) -> None:
    models = [f"iris{number}" for number in range(6)]
    make(tmp_path, postgres_database, *models)
    with worker(tmp_path, 1) as one, worker(tmp_path, 2) as other:
        for each in (one, other):
            until(lambda each=each: "Working" in each.stdout.read_text())
        ask(tmp_path, *models)
        until(lambda: states(tmp_path) == ["done"] * len(models), lambda: one.lines + other.lines)
        assert one.stop() == 0
        assert other.stop() == 0
    with opened(tmp_path) as project:
        assert {job.attempts for job in jobs.list_jobs(project)} == {1}
    assert [turns(tmp_path, model) for model in models] == [2] * len(models)
    assert "status running" in one.lines
    assert "status running" in other.lines


def test_what_one_worker_has_begun_that_is_killed_the_other_takes_over(
    tmp_path: Path, postgres_database: str
) -> None:
    make(tmp_path, postgres_database, "iris")
    (tmp_path / "wait").touch()
    with worker(tmp_path, 1) as one:
        ask(tmp_path, "iris")
        begun(tmp_path)
        left = one.everybody()
        one.process.kill()
        until(lambda: gone(left))
    (tmp_path / "wait").unlink()
    with worker(tmp_path, 2) as other:
        until(lambda: states(tmp_path) == ["done"], lambda: other.lines)
    assert turns(tmp_path, "iris") == 2


def test_a_job_that_ends_in_time_is_seen_through(slow: Path) -> None:
    with kept(slow, "worker", "--set", "worker.finish=60") as one:
        begun(slow)
        one.process.send_signal(signal.SIGTERM)
        one.said("what is under way has 60 s to end")
        (slow / "wait").unlink()
        assert one.process.wait(PATIENCE) == 0
    assert states(slow) == ["done"]


def test_a_job_that_does_not_end_in_time_is_given_back(slow: Path) -> None:
    with worker(slow) as one:
        begun(slow)
        left = one.everybody()
        assert one.stop() == 0
        assert "given back" in one.lines
        assert gone(left)
    assert states(slow) == ["queued"]
    (slow / "wait").unlink()
    with worker(slow) as other:
        until(lambda: states(slow) == ["done"], lambda: other.lines)
    assert turns(slow, "iris") == 2


def test_a_process_that_fails_is_tried_again_ever_later(slow: Path) -> None:
    with worker(slow) as one:
        for number in range(2):
            begun(slow)
            child = until(lambda: working(one))
            (slow / "begun").unlink()
            child.kill()
            one.said(f"jobs: its process was killed (signal 9). It is tried again in {2 ** (number + 1)} s.")
            with opened(slow) as project:  # as if its hold had run out
                (job,) = jobs.list_jobs(project, status="running")
                with project.store.writing() as tx:
                    row = jobs.jobs.find(tx, job.job_id)
                    assert row is not None
                    jobs.jobs.change(tx, job.job_id, row["owner"], lease_until=None)


def working(one: Kept) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        for child in one.everybody():
            if "everloop.worker.jobs" in child.cmdline():
                return child
    return None


def test_an_api_that_does_no_work_leaves_jobs_to_workers(tmp_path: Path) -> None:
    make(tmp_path, None, "iris")
    ask(tmp_path, "iris")
    with kept(tmp_path, "serve", "--port", "0", "--no-work", name="serve") as api:
        until(lambda: "http" in api.stdout.read_text())
        assert once(tmp_path) == {"done": {"jobs": True}}  # nobody has done it before
        assert api.stop() == 0


def once(folder: Path, code: int = 0) -> Any:
    words = [sys.executable, "-m", "everloop", "worker", "--once", "--json"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)
