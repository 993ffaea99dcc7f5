"""Models that could not be compiled, in a process of their own: what they do there never holds up the loop.

While the process works on a batch, requests gather; the next batch takes all of them. So a lone request never
waits, and the more come, the larger the batches.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from everloop.api.channel import Channel, Message
from everloop.core.documents import dump
from everloop.core.errors import TimedOut, Unavailable
from everloop.serving.desk import Scores, Served

from .loading import Native

MODULE = "everloop.worker.native"
MOST = 1_024  # rows in one batch
LOAD_WITHIN = 120.0  # seconds
T = TypeVar("T")
_Waiting = tuple[list[Any], asyncio.Future[Scores]]


class _Died(Unavailable):
    """The process ended before it answered."""


class _Running:
    """One process: the models that it has, and what it was asked and has not answered. ``over``: it answers
    nothing any more."""

    def __init__(self, channel: Channel, process: asyncio.subprocess.Process) -> None:
        self.channel = channel
        self.process = process
        self.over = False
        self.models: set[str] = set()
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._number = 0

    @classmethod
    async def start(cls) -> _Running:
        """Raises Unavailable."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, str(theirs.fileno()), pass_fds=[theirs.fileno()]
            )
        except OSError as error:
            ours.close()
            raise Unavailable(f"The process of models cannot be started: {error.strerror}.") from error
        finally:
            theirs.close()
        return cls(await Channel.open(ours), process)

    async def ask(self, kind: str, timeout: float, **given: Any) -> Message:
        """Raises _Died, TimedOut, and Unavailable for what the model raised."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self.channel.send(kind, number=number, **given)
            async with asyncio.timeout(timeout):
                found = await answer
        except TimeoutError:
            self.end()  # a model that hangs would hold up all others
            raise TimedOut(f"The model gave no answer within {timeout:g} s.") from None
        finally:
            self._answers.pop(number, None)
        if found["kind"] == "failed":
            raise Unavailable(found["message"], remedy="Look at the model and its inputs.")
        return found

    async def listen(self) -> None:
        """Until the process is gone."""
        async for message in self.channel:
            waiting = self._answers.get(message["number"])
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        self.channel.close()
        self.end()
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(_Died("The model's process died.", remedy="It is started again."))
        await self.process.wait()

    def end(self) -> None:
        self.over = True
        if self.process.returncode is None:
            self.process.kill()


async def _twice(work: Callable[[], Awaitable[T]]) -> T:
    """What died of something else, another model or somebody's kill, is tried once more."""
    try:
        return await work()
    except _Died:
        return await work()


class NativeProcess:
    """The process and what waits for it. It is started again when it dies or hangs."""

    def __init__(self) -> None:
        self._running: _Running | None = None
        self._models: dict[str, Native] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._busy: set[str] = set()
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, natives: list[Native]) -> dict[str, str]:
        """Load models; returns what failed, by ``model@version``, and why."""
        failed: dict[str, str] = {}
        for native in natives:
            key = native[0]
            self._models[key] = native
            if self._running is not None:
                self._running.models.discard(key)  # it may have another of that name
            try:
                await _twice(partial(self._with, key))
            except (Unavailable, TimedOut) as error:
                failed[key] = error.message
                self._models.pop(key, None)
        return failed

    def keep(self, wanted: set[str]) -> None:
        """Let go of the versions that are not served any more."""
        for key in [key for key in self._models if key not in wanted]:
            del self._models[key]
            if self._running is not None:
                self._running.models.discard(key)
                self._running.channel.send("drop", number=0, key=key)

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Scores:
        """The scores of raw rows. A model that takes longer than ``timeout`` counts as hanging: its process
        is killed. Raises Unavailable when the model fails, TimedOut."""
        key = f"{model.name}@{model.version}"
        done: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((rows, done))
        if key not in self._busy:
            self._busy.add(key)
            self._spawn(self._work(key, timeout))
        return await done

    async def close(self) -> None:
        running = self._running
        if running is not None:
            running.channel.close()
            try:
                async with asyncio.timeout(0.5):  # all that was asked is answered: nothing is lost
                    await running.process.wait()
            except TimeoutError:
                running.end()
                await running.process.wait()

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
                except Exception as error:  # noqa: BLE001 (whatever it was, it is what the requests get)
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
        async def asked() -> Message:
            running = await self._with(key)
            return await running.ask("run", timeout, key=key, rows=rows)

        answer = await _twice(asked)
        found = np.frombuffer(answer["scores"], dtype="<f8")
        return found.reshape(answer["shape"])

    async def _with(self, key: str) -> _Running:
        """A running process that has a model."""
        async with self._starting:
            if self._running is None or self._running.over:
                self._running = await _Running.start()
                self._spawn(self._running.listen())
            running = self._running
            if key not in running.models:
                if key not in self._models:
                    raise Unavailable(f"{key} is not loaded.", remedy="Ask for a version that is served.")
                _, kind, content, form = self._models[key]
                await running.ask("load", LOAD_WITHIN, key=key, format=kind, content=content, form=dump(form))
                running.models.add(key)
            return running

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
