"""Worker processes, seen from the office."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from everloop.api.channel import Channel, Message
from everloop.serving.counts import Counts

MODULE = "everloop.api.front.worker"
Answer = Callable[[Message], Awaitable[dict[str, Any]]]


class WorkerProcess:
    """One worker on one socket. ``sent`` are the models it was given; ``counts`` what it has done."""

    def __init__(
        self, slot: int, process: asyncio.subprocess.Process, channel: Channel, answer: Answer
    ) -> None:
        self.slot = slot
        self.process = process
        self.sent: set[str] = set()
        self.plan = 0
        self.failed: dict[str, str] = {}
        self.counts: dict[str, Any] = Counts().document()
        self.now: dict[str, Any] = {}
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self._planned = asyncio.Event()
        self._channel = channel
        self._answer = answer
        self._number = 0
        self._counted: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._listen())

    @classmethod
    async def start(
        cls, slot: int, listener: socket.socket, told: dict[str, Any], answer: Answer
    ) -> WorkerProcess:
        """Start one; it is ready when it has loaded the first plan."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULE, str(theirs.fileno()), str(listener.fileno())),
                pass_fds=[theirs.fileno(), listener.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the office, which then stops its workers
            )
        finally:
            theirs.close()
        worker = cls(slot, process, await Channel.open(ours), answer)
        worker._channel.send("start", **told)
        return worker

    def send(self, kind: str, **given: Any) -> None:
        self._channel.send(kind, **given)

    async def planned(self, number: int) -> None:
        """Return when the plan with this number, or a later one, is loaded, or the worker is gone."""
        while self.plan < number and not self.gone.is_set():
            self._planned.clear()
            await self._planned.wait()

    async def count(self, patience: float) -> None:
        """Bring ``counts`` up to date, if the worker answers in time."""
        self._number += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._counted[self._number] = done
        self.send("count", number=self._number)
        try:
            async with asyncio.timeout(patience):
                await done
        except TimeoutError:
            pass
        finally:
            self._counted.pop(self._number, None)

    async def stop(self, patience: float) -> None:
        """Let it answer what is under way and end; kill it when it does not."""
        self.send("stop")
        try:
            async with asyncio.timeout(patience):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self.gone.wait()

    async def _listen(self) -> None:
        async for message in self._channel:
            kind = message["kind"]
            if kind == "request":
                self._spawn(self._reply(message))
            elif kind == "counts":
                self.counts = message["document"]
                self.now = message.get("now", {})
                waiting = self._counted.pop(message["number"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            elif kind == "planned":
                self.plan, self.failed = message["number"], message["failed"]
                self._planned.set()
            elif kind == "ready":
                self.ready.set()
        await self.process.wait()
        self._channel.close()
        self.gone.set()
        self._planned.set()

    async def _reply(self, message: Message) -> None:
        self._channel.send("answer", number=message["number"], **await self._answer(message))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
