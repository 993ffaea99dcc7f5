"""Worker processes, seen from the office."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from everloop.api.channel import Message
from everloop.api.started import Started
from everloop.serving.counts import Counts

from .hand import within

START_ENDS = 0.5  # seconds in which a worker that is not ready yet may end by itself
_log = logging.getLogger("everloop.serve")


class Owner(Protocol):
    """Who hears of a worker: what it forwards, what it has loaded, that it was asked to end, and which
    ``model@version`` ended a process."""

    async def answer(self, message: Message) -> dict[str, Any]: ...
    def loaded(self, worker: WorkerProcess, serving: dict[str, str]) -> None: ...
    def leaving(self, worker: WorkerProcess) -> None: ...
    def crashed(self, name: str, problem: str) -> None: ...
    def noted(self, worker: WorkerProcess, events: list[dict[str, Any]]) -> None: ...


class WorkerProcess:
    """One worker on one socket, ready when it has loaded the first plan. ``sent`` are the models it has,
    ``told`` the number of the plan it was sent last, ``plan`` of the one it has loaded; ``counts`` what it
    has done; ``silent`` for how long it has said nothing, in seconds that the office's pulse has counted;
    ``since`` when it was started (the loop's seconds); ``problem`` why it ended."""

    def __init__(self, slot: int, started: Started, told: dict[str, Any], owner: Owner) -> None:
        self.slot = slot
        self.process = started.process
        self.sent: set[str] = set()
        self.told = self.plan = 0
        self.failed: dict[str, str] = {}
        self.problem = ""
        self.counts: dict[str, Any] = Counts().document()
        self.now: dict[str, Any] = {}
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.stopping = False
        self.shared: list[int] = []  # the sockets of others that it accepts on, too
        self._loop = asyncio.get_running_loop()
        self.silent = 0.0
        self.since = self._loop.time()
        self._channel = started.channel
        self._owner = owner
        self._number = 0
        self._counted: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._listen())
        self.send("start", slot=slot, **told)

    def send(self, kind: str, **given: Any) -> None:
        self._channel.send(kind, **given)

    async def count(self, patience: float) -> bool:
        """Bring ``counts`` up to date; False where the worker did not answer in time."""
        self._number += 1
        number = self._number  # of this question: others may be asked before it is answered
        done: asyncio.Future[None] = self._loop.create_future()
        self._counted[number] = done
        self.send("count", number=number)
        try:
            async with asyncio.timeout(patience):
                await done
            return True
        except TimeoutError:
            return False
        finally:
            self._counted.pop(number, None)

    def ask_counts(self) -> None:
        """The same without waiting; its answer also shows that the worker is alive."""
        self.send("count", number=0)

    def share(self, slots: list[int]) -> None:
        """Let it accept on these sockets of others, and on no more of them."""
        if slots != self.shared and self.ready.is_set() and not self.stopping:
            self.shared = slots
            self.send("share", slots=slots)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def stop(self, patience: float, *, last: bool = False) -> None:
        """Let it answer what is under way and end; kill it when it does not, soon where it only starts.
        ``last``: nobody will accept on its socket after it."""
        self.stopping = True
        self.send("stop", last=last)
        if not self.ready.is_set():
            await within(START_ENDS, self.gone)
            if not self.ready.is_set():
                self.kill()
        try:
            async with asyncio.timeout(patience):
                await self.gone.wait()
        except TimeoutError:
            self.kill()
            await self.gone.wait()

    async def _listen(self) -> None:
        try:
            async for message in self._channel:
                self.silent = 0.0
                self._hear(message)
        except Exception:  # noqa: BLE001 (a worker that cannot be understood is replaced)
            _log.exception("what worker %s said was not understood", self.slot)
            self.kill()
        finally:
            # The channel of a worker that has ended, or that ends: it closes it last.
            try:
                async with asyncio.timeout(5.0):
                    await self.process.wait()
            except TimeoutError:
                self.kill()
                await self.process.wait()
            self._channel.close()
            self.gone.set()

    def _hear(self, message: Message) -> None:
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
            self._owner.loaded(self, message["serving"])
        elif kind == "ready":
            self.ready.set()
        elif kind == "leaving":
            self._owner.leaving(self)
        elif kind == "crashed":
            self._owner.crashed(message["name"], message["problem"])
        elif kind == "log":
            self._owner.noted(self, message["events"])
        elif kind == "problem":
            self.problem = message["message"]

    async def _reply(self, message: Message) -> None:
        try:
            answer = await self._owner.answer(message)
        except Exception:  # noqa: BLE001 (the worker waits for an answer)
            _log.exception("a forwarded request failed")
            answer = {"failed": True}
        self._channel.send("answer", number=message["number"], **answer)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
