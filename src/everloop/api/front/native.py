"""Models that could not be compiled, in a process of their own: what they do there never holds up the loop.

While the process works on a batch, requests gather; the next batch takes all of them (``waiting``). So a lone
request never waits, and the more come, the larger the batches.

A model that ends the process, as a fault in C code does, is never asked the same rows again. It rests, ever
longer, while it is started again in a process of its own: meanwhile its requests are refused at once, so that
a fallback can answer, and no other model dies with it any more. What others had asked is asked once more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from everloop.api.channel import Message
from everloop.api.started import ORIGINALS, Started
from everloop.core.documents import dump
from everloop.core.errors import MLOpsError, TimedOut, Unavailable
from everloop.serving.desk import Raised, Scores, Served

from .loading import Native
from .waiting import Request, Waiting

LOAD_WITHIN = 120.0  # seconds
ENDS_WITHIN = 1.0  # a process that says nothing any more
SHARED = ""  # where models are that have ended no process
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0  # seconds that a model rests; twice as long each time
FORGIVEN = 60.0  # seconds without a crash, and the next one counts as the first
T = TypeVar("T")


class _Died(Unavailable):
    """The process ended before it answered, by what somebody else had asked."""


class _Running:
    """One process: the models that it has, and what it was asked and has not answered. ``over``: it answers
    nothing any more."""

    def __init__(self, started: Started) -> None:
        self.channel = started.channel
        self.process = started.process
        self.over = False
        self.models: set[str] = set()
        self._asked: dict[int, tuple[str, asyncio.Future[Message]]] = {}  # of which model
        self._number = 0

    @classmethod
    async def start(cls) -> _Running:
        """Raises Unavailable."""
        try:
            return cls(await Started.begin(ORIGINALS))
        except OSError as error:
            raise Unavailable(f"The process of models cannot be started: {error.strerror}.") from error

    async def ask(self, kind: str, timeout: float, key: str, **given: Any) -> Message:
        """Raises _Died, TimedOut, Raised, and Unavailable where the model ended the process."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = key, answer
        try:
            self.channel.send(kind, number=number, key=key, **given)
            async with asyncio.timeout(timeout):
                found = await answer
        except TimeoutError:
            self.end()  # a model that hangs would hold up all others
            raise TimedOut(f"The model gave no answer within {timeout:g} s.") from None
        finally:
            self._asked.pop(number, None)
        if found["kind"] == "failed":
            raise Raised(found["error"], found["message"])
        return found

    async def listen(self) -> str | None:
        """Until the process is gone. Returns the model that has ended it, if any: it does one thing after the
        other, so that is the first one which waits for an answer."""
        async for message in self.channel:
            _, waiting = self._asked.get(message["number"], ("", None))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        wanted, self.over = self.over, True
        self.channel.close()
        try:
            # It ends by itself: one that is killed just when it ends loses its code.
            async with asyncio.timeout(ENDS_WITHIN):
                await self.process.wait()
        except TimeoutError:
            self.end()
            await self.process.wait()
        return None if wanted else next((key for key, _ in self._asked.values()), None)

    def fail(self, guilty: str | None) -> None:
        """Tell those that wait that there will be no answer."""
        remedy = "It is started again; look at the model and its inputs."
        for key, waiting in self._asked.values():
            if not waiting.done():
                error = Unavailable if key == guilty else _Died
                waiting.set_exception(error(f"The process of {key} died.", remedy=remedy))

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


@dataclass
class _Room:
    """Where models run: one process after the other."""

    running: _Running | None = None
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class _Crashes:
    """Of one model: how many, when the last one was, and whether it rests after it."""

    count: int = 0
    last: float = 0.0
    rests: bool = False


class NativeProcess:
    """The process and what waits for it. It is started again when it dies or hangs. ``crashed`` hears which
    ``model@version`` ended a process, and how; ``ahead`` is one that was started already."""

    def __init__(
        self,
        crashed: Callable[[str, str], None] = lambda key, problem: None,
        ahead: Started | None = None,
    ) -> None:
        self._crashed = crashed
        self._ahead = ahead
        self._rooms: defaultdict[str, _Room] = defaultdict(_Room)  # by model, and SHARED
        self._crashes: dict[str, _Crashes] = {}
        self._models: dict[str, Native] = {}
        self._waiting: defaultdict[str, Waiting] = defaultdict(Waiting)
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, natives: list[Native]) -> dict[str, str]:
        """Load models; returns what failed, by ``model@version``, and why."""
        failed: dict[str, str] = {}
        for native in natives:
            key = native[0]
            self._forget(key)  # there may be another of that name
            self._models[key] = native
            try:
                await _twice(partial(self._with, key))
            except (Unavailable, TimedOut) as error:
                failed[key] = error.message
                self._forget(key)
        return failed

    def keep(self, wanted: set[str]) -> None:
        """Let go of the versions that are not served any more."""
        for key in [key for key in self._models if key not in wanted]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        """Let go of a version, and of the process that it has for itself."""
        self._models.pop(key, None)
        self._crashes.pop(key, None)
        alone, shared = self._rooms.pop(key, _Room()).running, self._rooms[SHARED].running
        if alone is not None:
            alone.end()
        if shared is not None and key in shared.models:
            shared.models.discard(key)
            shared.channel.send("drop", number=0, key=key)

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Scores:
        """The scores of raw rows. A model that takes longer than ``timeout`` counts as hanging: its process
        is killed. Raises Unavailable when the model fails, TimedOut."""
        key = f"{model.name}@{model.version}"
        done: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[key]
        waiting.add((rows, done))
        if not waiting.busy:
            waiting.busy = True
            self._spawn(self._work(key, waiting, timeout))
        return await done

    async def close(self) -> None:
        self._models.clear()  # none is started again
        for running in [room.running for room in self._rooms.values() if room.running is not None]:
            running.over = True  # it ends as it should
            running.channel.close()
            try:
                async with asyncio.timeout(0.5):  # all that was asked is answered: nothing is lost
                    await running.process.wait()
            except TimeoutError:
                running.end()
                await running.process.wait()

    async def _work(self, key: str, waiting: Waiting, timeout: float) -> None:
        """Batch after batch, until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while taken := waiting.take():
                began = loop.time()
                if await self._answer(key, taken, timeout):
                    await waiting.come_back(len(taken), loop.time() - began)
        finally:
            waiting.busy = False

    async def _answer(self, key: str, taken: list[Request], timeout: float) -> bool:
        """Whether all are answered. Where rows make the model fail, half of the requests is asked again at a
        time, so that none fails for what came along with it."""
        try:
            scores = await self._ask(key, [row for rows, _ in taken for row in rows], timeout)
        except Exception as error:  # noqa: BLE001 (whatever it was, it is what the requests get)
            middle = len(taken) // 2
            if middle and isinstance(error, Raised):
                for half in (taken[:middle], taken[middle:]):
                    await self._answer(key, half, timeout)
                return False
            for _, done in taken:
                if not done.done():
                    done.set_exception(error)
            return False
        start = 0
        for rows, done in taken:
            if not done.done():
                done.set_result(scores[start : start + len(rows)])
            start += len(rows)
        return True

    async def _ask(self, key: str, rows: list[Any], timeout: float) -> Scores:
        async def asked() -> Message:
            running = await self._with(key)
            return await running.ask("run", timeout, key, rows=rows)

        crashes = self._crashes.get(key)
        if crashes is not None and crashes.rests:
            times = "once" if crashes.count == 1 else f"{crashes.count} times in a row"
            raise Unavailable(
                f"{key} rests: its process died {times}.",
                remedy="It is started again; look at the model and its inputs.",
            )

        answer = await _twice(asked)
        found = np.frombuffer(answer["scores"], dtype="<f8")
        return found.reshape(answer["shape"])

    async def _with(self, key: str) -> _Running:
        """A running process that has a model."""
        room = self._rooms[key if key in self._crashes else SHARED]
        async with room.starting:
            if key not in self._models:
                raise Unavailable(f"{key} is not loaded.", remedy="Ask for a version that is served.")
            if room.running is None or room.running.over:
                ahead, self._ahead = self._ahead, None
                room.running = _Running(ahead) if ahead else await _Running.start()
                self._spawn(self._follow(room.running))
            running = room.running
            if key not in running.models:
                _, kind, content, form = self._models[key]
                await running.ask("load", LOAD_WITHIN, key, format=kind, content=content, form=dump(form))
                running.models.add(key)
            return running

    async def _follow(self, running: _Running) -> None:
        """Wait for the end of a process, and see that its models run again."""
        guilty = await running.listen()
        if guilty in self._models:
            self._rest(guilty, running)
        running.fail(guilty)
        for key in running.models - {guilty}:
            if key in self._models:
                with contextlib.suppress(MLOpsError):  # its next request tells
                    await self._with(key)

    def _rest(self, key: str, running: _Running) -> None:
        """A model ended its process."""
        now = asyncio.get_running_loop().time()
        crashes = self._crashes.setdefault(key, _Crashes())
        crashes.count = crashes.count + 1 if now - crashes.last < FORGIVEN else 1
        crashes.last, crashes.rests = now, True
        self._crashed(key, f"its process died (code {running.process.returncode})")
        self._spawn(self._bring_back(key, crashes))

    async def _bring_back(self, key: str, crashes: _Crashes) -> None:
        """Start a model that rests, when it has rested, in a process of its own."""
        last = crashes.last
        await asyncio.sleep(min(FIRST_PAUSE * 2 ** (crashes.count - 1), LONGEST_PAUSE))
        if self._crashes.get(key) is crashes:
            with contextlib.suppress(MLOpsError):  # its next request tells
                await self._with(key)
        if crashes.last == last:  # else it died again, and rests longer
            crashes.rests = False

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
