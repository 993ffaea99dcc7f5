"""A version that workers cannot load never answers, and one that comes to them one by one stops there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
from tests.stories.serving.releasing import (
    DIRECT,
    NEW,
    OLD,
    break_content,
    canary,
    direct,
    register,
    two_versions,
)
from tests.stories.serving.server import BODY, COLD, HOT, V2_BODY, V2_HOT, running

from everloop.api.office import sockets
from everloop.api.office.office import Office
from everloop.api.office.opening import Opened
from everloop.api.office.plans import Plans
from everloop.core.releases import BUCKETS, Arm, Range, Release
from everloop.flows.project import Project
from everloop.store import failures, releases
from everloop.store.times import to_text
from everloop.wiring import open_project

ALL_NEW = (Arm("new", NEW, (Range(0, BUCKETS),)),)
PATIENCE = 60.0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    two_versions(tmp_path, serving={"workers": 3, "port": 0, "retrain": False})
    with closing(open_project(folder=tmp_path)) as project:
        yield project


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = sockets.listen("127.0.0.1", 0, 3)
    yield Opened(made, tmp_path / "hint")
    sockets.close(made)


async def until(condition: object, *, task: asyncio.Task[None]) -> None:
    assert callable(condition)
    async with asyncio.timeout(PATIENCE):
        while not condition():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)


def test_what_no_worker_can_load_the_champion_answers_for(tmp_path: Path, project: Project) -> None:
    break_content(project)
    direct(project, canary(5_000), unit="entity")
    with running(tmp_path, "--workers", "1") as server:
        for number in range(40):
            for path, body in ((HOT, BODY), (COLD, BODY), (V2_HOT, V2_BODY)):
                answer = server.predict(body, path, X_Entity_ID=f"user {number}").json
                said = answer.get("parameters") or answer
                version = answer.get("model_version")
                assert (version, said["variant"] in ("control", "champion")) == (OLD, True)
        assert f"iris@{NEW}" in server.ask("GET", "/health").json["last_problem"]


def test_versions_that_are_not_there_and_shadows(project: Project) -> None:
    for number in range(5):
        register(project, 1.5 + number, version=f"3.0.{number}")
    direct(project, canary(100), shadows=("3.0.0",), warm=("3.0.1",))
    plans = Plans(project)
    plans.look()
    told = plans.message["models"][0]
    assert told["default"] == OLD
    assert [one["version"] for one in told["versions"]] == [OLD, NEW, "3.0.1", "3.0.2", "3.0.3", "3.0.4"]
    assert plans.unloadable == {}
    for key in {one["key"] for one in told["versions"] if one["version"] == NEW}:
        Path(project.artifacts.where(key)).unlink()
    again = Plans(project)
    again.look()
    assert list(again.problems) == [f"iris@{NEW}"]
    assert again.unloadable == again.problems
    Path(project.artifacts.where(told["versions"][0]["key"])).unlink()
    without_champion = Plans(project)
    without_champion.look()
    assert list(without_champion.problems) == [f"iris@{OLD}", f"iris@{NEW}"]
    assert list(without_champion.unloadable) == [f"iris@{NEW}"]  # no release brings the champion
    direct(project, DIRECT)
    again.look()
    assert again.unloadable == {}


def test_other_environments_have_their_own_champion(tmp_path: Path, project: Project) -> None:
    with closing(open_project(folder=tmp_path, flags=["serving.environment=staging"])) as staging:
        plans = Plans(staging)
        plans.look()
        assert plans.message["models"][0]["default"] == ""
        assert plans.message["models"][0]["traffic"] is None
    plans = Plans(project)
    plans.look()
    assert plans.message["models"][0]["default"] == OLD


def test_a_version_comes_to_one_worker_after_the_other(project: Project, opened: Opened) -> None:
    told: list[str] = []
    office = Office(project, opened, told.append)
    steps: set[tuple[bool, ...]] = set()

    async def roll() -> None:
        task = asyncio.create_task(office.run(told.append))
        try:
            await until(lambda: len(told) > 0 and all(w.plan for w in office.workers.values()), task=task)
            await until(lambda: len(office.workers) == 3, task=task)
            before = office.plans.number
            direct(project, ALL_NEW, "rel_roll", one_by_one=True, warm=(OLD,))

            def done() -> bool:
                workers = [office.workers[slot] for slot in range(3)]
                for one, after in pairwise(workers):
                    assert after.told <= before or one.plan > before  # not before the last one has it
                steps.add(tuple(worker.plan > before for worker in workers))
                return "rel_roll" in office.plans.rolled

            await until(done, task=task)
            assert [worker.failed for worker in office.workers.values()] == [{}, {}, {}]
        finally:
            office._stopping.set()
            await task

    asyncio.run(roll())
    assert (True, True, True) in steps
    assert len(steps) > 2


def test_a_worker_that_answers_within_a_tick_of_the_clock_has_answered(
    project: Project, opened: Opened
) -> None:
    told: list[str] = []
    office = Office(project, opened, told.append)

    async def ask() -> None:
        task = asyncio.create_task(office.run(told.append))
        try:
            await until(lambda: len(told) > 0 and office.workers[0].ready.is_set(), task=task)
            worker = office.workers[0]
            assert [await worker.count(PATIENCE) for _ in range(200)] == [True] * 200
            os.kill(worker.process.pid, signal.SIGSTOP)
            assert not await worker.count(0.5)
            os.kill(worker.process.pid, signal.SIGCONT)
            assert await worker.count(PATIENCE)
        finally:
            office._stopping.set()
            await task

    uvloop.run(ask())  # whose clock ticks in milliseconds


def test_where_the_first_worker_cannot_take_it_the_others_keep_what_they_have(
    project: Project, opened: Opened
) -> None:
    break_content(project)
    told: list[str] = []
    office = Office(project, opened, told.append)

    async def roll() -> None:
        task = asyncio.create_task(office.run(told.append))
        try:
            await until(lambda: len(told) > 0 and len(office.workers) == 3, task=task)
            await until(lambda: all(worker.plan for worker in office.workers.values()), task=task)
            direct(project, ALL_NEW, "rel_roll", one_by_one=True, warm=(OLD,))
            await until(office.plans.rolling, task=task)
            before = office.plans.number - 1  # of a plan without the release: it goes to all
            await until(lambda: office.plans.unloadable, task=task)
            assert list(office.plans.unloadable) == [f"iris@{NEW}"]
            await until(lambda: office.plans.number > before + 1, task=task)  # it is tried again
            assert [office.workers[slot].told > before for slot in range(3)] == [True, False, False]
            assert office.plans.rolled == set()
            os.kill(office.workers[2].process.pid, signal.SIGKILL)
            await until(lambda: office.restarts == 1, task=task)
        finally:
            office._stopping.set()
            await task

    asyncio.run(roll())


def test_a_worker_that_dies_is_written_down_for_the_release_that_runs(
    project: Project, opened: Opened
) -> None:
    now = project.clock.now()
    release = Release("rel_runs", "iris", "prod", "canary", NEW, "running", now, "me", against=OLD)
    with project.store.writing() as tx:
        releases.put(tx, release)
    direct(project, canary(1_000), "rel_runs")
    told: list[str] = []
    office = Office(project, opened, told.append)

    def crashes() -> list[tuple[str, str]]:
        with project.store.reading() as tx:
            return [(str(row["kind"]), str(row["at"])) for row in failures.list_failures(tx, "rel_runs")]

    async def die() -> None:
        task = asyncio.create_task(office.run(told.append))
        try:
            await until(lambda: len(told) > 0 and len(office.workers) == 3, task=task)
            await until(lambda: all(worker.plan for worker in office.workers.values()), task=task)
            asked = office.workers[1]
            os.kill(asked.process.pid, signal.SIGTERM)  # no crash: another takes its place
            await until(asked.gone.is_set, task=task)
            os.kill(office.workers[0].process.pid, signal.SIGKILL)
            await until(crashes, task=task)
        finally:
            office._stopping.set()
            await task

    asyncio.run(die())
    ((kind, at),) = crashes()
    assert kind == "crash"
    assert to_text(now) < at < to_text(project.clock.now())
