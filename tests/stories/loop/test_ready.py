"""Shortly before enough labels are there, the process that will consider them is started."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import yaml
from tests.stories.loop.town import MODEL, Town

from everloop.api.office.starting import Starter
from everloop.flows.loop import asking, gathering, lookout

JOBS = "everloop.worker.jobs"
PATIENCE = 60.0  # seconds, until a test gives up
LONG = timedelta(days=10)  # all labels are complete

ALONE = """
import asyncio, os, sys
from everloop.api.office.starting import Starter
from everloop.wiring import open_project

async def main():
    await Starter("everloop.worker.jobs", open_project(sys.argv[1])).keep_ready(True)
    print(os.getpid(), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def waiting(parent: int) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.Error):  # a child of another test, that ends in this moment
            while not (command := child.cmdline()):  # for a moment of its start it has none
                time.sleep(0.001)
            if JOBS in command:
                found.append(child)
    return found


def new_rows(town: Town) -> int:
    return gathering.new(town.project, MODEL, gathering.until(town.project, MODEL))


def test_it_is_ready_while_labels_come_and_few_are_missing(tmp_path: Path) -> None:
    town = Town(tmp_path, new_labels=500)
    for _ in range(5):
        town.day_of()
    town.clock.at += LONG
    rows = new_rows(town)
    assert rows == gathering.count(town.project, MODEL, gathering.until(town.project, MODEL)).new
    town.close()

    for wanted, near in ((rows + 1, True), (rows + rows // 5, False)):
        town = Town(tmp_path, known=True, on=["labels"], new_labels=wanted)
        town.clock.at += LONG
        look = lookout.Lookout()
        assert not look(town.project)
        assert look.near is near
        town.clock.at += timedelta(seconds=lookout.READY + 1)
        assert not look(town.project)
        assert not look.near  # no label has come for a while
        town.close()


def test_one_that_is_ready_does_the_work_and_one_that_is_not_needed_ends(tmp_path: Path) -> None:
    town = Town(tmp_path, on=())
    asking.ask(town.project, MODEL)

    async def day() -> None:
        starter = Starter(JOBS, town.project)
        await starter.keep_ready(True)
        await starter.keep_ready(True)
        (ready,) = waiting(psutil.Process().pid)
        process = await starter.start(once=True)
        assert process.pid == ready.pid
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
        await starter.keep_ready(True)
        assert waiting(psutil.Process().pid)
        await starter.keep_ready(False)
        assert not waiting(psutil.Process().pid)

    asyncio.run(day())
    assert [one.code for one in town.decisions()] == ["nothing_new"]
    town.close()


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    Town(tmp_path, on=()).close()
    (tmp_path / "everloop.yaml").write_text(yaml.safe_dump(Town.tree()))
    command = [sys.executable, "-c", ALONE, str(tmp_path / "everloop.yaml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as office:
        assert office.stdout is not None
        office.stdout.readline()
        (ready,) = waiting(office.pid)
        office.kill()
    ready.wait(PATIENCE)
