"""The process of originals, started before a worker knows what it is to serve."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import psutil
from tests.stories.serving.releasing import NEW, two_versions
from tests.stories.serving.server import BODY, running
from tests.stories.serving.test_damaged import damage, promote

from everloop.api.office.opening import Opened
from everloop.api.started import ORIGINALS, Started
from everloop.wiring import open_project

PATIENCE = 60.0  # seconds
NOTHING = {"models": [], "default": "", "salt": b"", "problems": {}, "data": {}}
TOLD = {
    "rotate": 1 << 20,
    "durability": "wal",
    "when_full": "refuse",
    "drain": 1.0,
    "version": "1",
    "rates": None,
    "traces": False,
    "log_every": 1.0,
    "limits": {"body": 1000, "rows": 10, "waiting": 10, "deadline": 5.0, "read": 5.0, "keep_alive": 5.0},
}


def originals(process: psutil.Process) -> list[psutil.Process]:
    return [one for one in process.children(recursive=True) if ORIGINALS in one.cmdline()]


def test_it_is_there_before_the_plan_and_goes_where_that_needs_none(tmp_path: Path) -> None:
    (tmp_path / "hint").touch()

    async def begun(opened: Opened) -> None:
        async with asyncio.timeout(PATIENCE):
            started = await opened.worker()
            worker = psutil.Process(started.process.pid)
            while not (waiting := originals(worker)):
                await asyncio.sleep(0.01)
            started.channel.send("start", slot=0, folder=str(tmp_path), **TOLD)
            started.channel.send("plan", number=1, **NOTHING)
            said = [(await anext(aiter(started.channel)))["kind"] for _ in range(2)]
            assert sorted(said) == ["planned", "ready"]
            while any(one.is_running() for one in waiting):
                await asyncio.sleep(0.01)
            assert started.process.returncode is None
            await started.end()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        asyncio.run(begun(Opened([listener], tmp_path / "hint")))


def test_one_that_nobody_takes_ends_with_its_worker(tmp_path: Path) -> None:
    (tmp_path / "hint").touch()

    async def left(opened: Opened) -> None:
        async with asyncio.timeout(PATIENCE):
            started: Started = await opened.begin()
            while not (waiting := originals(psutil.Process(started.process.pid))):
                await asyncio.sleep(0.01)
            await started.end()
            while any(one.is_running() for one in waiting):
                await asyncio.sleep(0.01)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        asyncio.run(left(Opened([listener], tmp_path / "hint")))


def test_a_server_remembers_whether_an_original_serves(tmp_path: Path) -> None:
    two_versions(tmp_path)
    hint = tmp_path / ".everloop" / "serving.original"
    with closing(open_project(folder=tmp_path)) as project:
        with running(tmp_path):
            assert not hint.exists()
        promote(project)
        damage(project, original=False)
        for _ in range(2):  # told to start it ahead, the second time
            with running(tmp_path) as server:
                assert server.predict(BODY).json["model_version"] == NEW
                assert hint.exists()
                assert len(originals(psutil.Process(server.process.pid))) == 1
