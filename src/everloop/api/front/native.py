"""Models that could not be compiled, in a process of their own: what they do there never holds up the loop.

While the process works on a batch, requests gather; the next batch takes all of them. So a lone request never
waits, and the more come, the larger the batches.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import numpy as np

from everloop.api.channel import Channel, Message
from everloop.core.documents import dump
from everloop.core.errors import TimedOut, Unavailable
from everloop.serving.desk import Scores, Served

from .loading import Native

MODULE = "everloop.worker.native"
MOST = 1_024  # rows in one batch
_Waiting = tuple[list[Any], asyncio.Future[Scores]]


class NativeProcess:
    """The process and what waits for it. It is started again when it dies or hangs."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._models: dict[str, Native] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._busy: set[str] = set()
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._number = 0
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, natives: list[Native]) -> dict[str, str]:
        """Load models; returns what failed, by ``model@version``, and why."""
        failed: dict[str, str] = {}
        for native in natives:
            self._models[native[0]] = native
            try:
                await self._load(native)
            except (Unavailable, TimedOut) as error:
                failed[native[0]] = error.message
                self._models.pop(native[0], None)
        return failed

    def keep(self, wanted: set[str]) -> None:
        """Let go of the versions that are not served any more."""
        for key in [key for key in self._models if key not in wanted]:
            del self._models[key]
            if self._channel is not None:
                self._channel.send("drop", number=0, key=key)

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Scores:
        """The scores of raw rows. Raises Unavailable when the model fails, TimedOut."""
        key = f"{model.name}@{model.version}"
        done: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((rows, done))
        if key not in self._busy:
            self._busy.add(key)
            self._spawn(self._work(key, timeout))
        return await done

    async def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(0.5):  # all that was asked is answered: nothing is lost
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def _work(self, key: str, timeout: float) -> None:
        """Batch after batch, until nothing waits."""
        try:
            while waiting := self._waiting.get(key):
                taken: list[_Waiting] = []
                rows: list[Any] = []
                while waiting and len(rows) < MOST:
                    one = waiting.pop(0)
                    if one[1].done():
                        continue  # its client went, or its deadline passed
                    taken.append(one)
                    rows += one[0]
                if not taken:
                    continue
                try:
                    scores = await self._ask(key, rows, timeout)
                except (Unavailable, TimedOut) as error:
                    for _, done in taken:
                        if not done.done():
                            done.set_exception(error)
                    continue
                start = 0
                for some, done in taken:
                    if not done.done():
                        done.set_result(scores[start : start + len(some)])
                    start += len(some)
        finally:
            self._busy.discard(key)

    async def _ask(self, key: str, rows: list[Any], timeout: float) -> Scores:
        await self._ensure()
        answer = await self._exchange("run", timeout, key=key, rows=rows)
        found = np.frombuffer(answer["scores"], dtype="<f8")
        return found.reshape(answer["shape"])

    async def _exchange(self, kind: str, timeout: float, **given: Any) -> Message:
        if self._channel is None:
            raise Unavailable("The process of models that are not compiled does not run.")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._channel.send(kind, number=number, **given)
        try:
            async with asyncio.timeout(timeout):
                found = await answer
        except TimeoutError:
            self._end()  # a model that hangs would hold up all others
            raise TimedOut(f"The model gave no answer within {timeout:g} s.") from None
        finally:
            self._answers.pop(number, None)
        if found["kind"] == "failed":
            raise Unavailable(found["message"], remedy="Look at the model and its inputs.")
        return found

    async def _load(self, native: Native) -> None:
        await self._ensure()
        key, kind, content, form = native
        await self._exchange("load", 120.0, key=key, format=kind, content=content, form=dump(form))

    async def _ensure(self) -> None:
        """The process runs and has its models."""
        async with self._starting:
            if self._channel is not None:
                return
            ours, theirs = socket.socketpair()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, str(theirs.fileno()), pass_fds=[theirs.fileno()]
            )
            theirs.close()
            self._channel = await Channel.open(ours)
            self._spawn(self._listen(self._channel, self._process))
            for key, kind, content, form in list(self._models.values()):
                await self._exchange("load", 120.0, key=key, format=kind, content=content, form=dump(form))

    async def _listen(self, channel: Channel, process: asyncio.subprocess.Process) -> None:
        async for message in channel:
            waiting = self._answers.get(message["number"])
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        if self._channel is channel:
            self._channel = None
        channel.close()
        for waiting in list(self._answers.values()):
            if not waiting.done():
                waiting.set_exception(Unavailable("The model's process died.", remedy="It is started again."))
        await process.wait()

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._channel = None

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
