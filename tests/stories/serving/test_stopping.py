"""The end of a server: it waits for requests that are under way, and for nothing else; nobody complains."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from everloop.api.channel import Channel, Message
from everloop.api.office.workers import WorkerProcess
from everloop.api.started import WORKER, Started
from everloop.core.documents import dump
from everloop.core.serving import Field, Form

PATIENCE = 60.0  # seconds


class Owner:
    """Hears of a worker, and has nothing to say."""

    async def answer(self, message: Message) -> dict[str, Any]:
        return {"failed": True}

    def loaded(self, worker: WorkerProcess, serving: dict[str, str]) -> None: ...
    def leaving(self, worker: WorkerProcess) -> None: ...
    def crashed(self, name: str, problem: str) -> None: ...
    def noted(self, worker: WorkerProcess, events: list[dict[str, Any]]) -> None: ...


def test_a_worker_that_only_starts_is_not_waited_for() -> None:
    async def run() -> int | None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            worker = WorkerProcess(0, await Started.begin(WORKER, [listener.fileno()]), {}, Owner())
            os.kill(worker.process.pid, signal.SIGSTOP)  # for good
            async with asyncio.timeout(PATIENCE):
                await worker.stop(1_000.0, last=True)
            return worker.process.returncode

    assert asyncio.run(run()) == -signal.SIGKILL


def slow() -> Any:
    class Slow:
        def __init__(self, mark: Path) -> None:
            self.mark = mark

        def predict(self, frame: Any) -> Any:
            import time

            self.mark.touch()
            time.sleep(1.0)
            return frame["a"].to_numpy()

    return Slow


def test_the_process_of_other_models_ends_without_a_word_when_its_worker_is_gone(tmp_path: Path) -> None:
    mark = tmp_path / "asked"
    form = dump(Form("native", "", "regression", (), (Field("a"),)))
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "everloop.worker.native", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
    theirs.close()

    async def ask() -> None:
        channel = await Channel.open(ours)
        content = cloudpickle.dumps(slow()(mark))
        channel.send("load", number=1, key="m@1", format="cloudpickle", content=content, form=form)
        for number in (2, 3):
            channel.send("run", number=number, key="m@1", rows=[[1.0]])
        async with asyncio.timeout(PATIENCE):
            while not mark.exists():
                await asyncio.sleep(0.01)
        channel.close()

    asyncio.run(ask())
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
