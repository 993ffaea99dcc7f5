"""A worker process: ``python -m everloop.api.front.worker CHANNEL LISTENER…`` (numbers of open files).

The office tells it over the channel what to serve. It begins to accept when it has loaded that, and ends when
it is told to, or when the office is gone: requests under way are answered, the log is on disk.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.channel import Channel, Message
from everloop.core.clock import SystemClock
from everloop.core.errors import MLOpsError, Unavailable
from everloop.core.ids import token

from .app import App, Headers
from .front import Front, Limits
from .line import Line
from .loading import Loader
from .native import NativeProcess

SYNC_EVERY = 0.1  # seconds between flushes to disk
LINGER = 0.3  # seconds in which a quiet connection may still bring a request while the worker ends
_log = logging.getLogger("everloop.worker")


class Server(uvicorn.Server):
    """uvicorn's server, ending in a way that loses no request: connections are answered and closed one by
    one, and quiet ones stay open for a moment, since a request may be on its way."""

    front: Front
    drain: float = 10.0
    sockets: list[socket.socket]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the worker's own handlers do it

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.front.draining = True
        for listener in sockets or []:
            listener.listen(1)  # what waits is accepted below, hardly anything new comes
        await asyncio.sleep(0.02)
        for server in self.servers:
            server.close()
        for line in self._lines():
            line.last = True
        until = self.front.now() + self.drain
        ending = self.front.now() + LINGER
        while self.server_state.connections and self.front.now() < until:
            await asyncio.sleep(0.02)
            for line in self._lines():
                line.last = True
                if self.front.now() > ending and self.front.now() - line.quiet > LINGER:
                    line.shutdown()
        for line in self._lines():
            line.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    def _lines(self) -> list[Line]:
        return [line for line in self.server_state.connections if isinstance(line, Line)]


class Worker:
    """One worker: its channel to the office, what it serves, and its server."""

    def __init__(self, channel: Channel, listeners: list[socket.socket]) -> None:
        self._channel = channel
        self._listeners = listeners
        self._forwarded: dict[int, asyncio.Future[Message]] = {}
        self._number = 0
        self._stopped = asyncio.Event()
        self._planned = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._plans: asyncio.Queue[Message] = asyncio.Queue()
        self._native: NativeProcess | None = None

    async def run(self) -> None:
        messages = aiter(self._channel)
        told = await anext(messages)
        loop = asyncio.get_running_loop()
        self._journal = self._open_journal(told)
        limits = told["limits"]
        self._read, self._keep_alive = limits.pop("read"), limits.pop("keep_alive")
        self._front = Front(
            loop, SystemClock(), self._journal, Limits(**limits),
            durability=told["durability"], when_full=told["when_full"],
        )  # fmt: skip
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        self._spawn(self._listen(messages))
        self._spawn(self._load())
        await self._first_plan()
        if not self._stopped.is_set():
            await self._serve(told)
        if self._native is not None:
            await self._native.close()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        self._channel.send("counts", number=0, document=self._front.counts.document())
        await self._channel.drained()
        self._channel.close()

    def _open_journal(self, told: Message) -> Journal | None:
        if told["durability"] == "none":
            return None
        return Journal(Path(told["folder"]), token(), told["rotate"])

    async def _first_plan(self) -> None:
        stopped = asyncio.create_task(self._stopped.wait())
        planned = asyncio.create_task(self._planned.wait())
        await asyncio.wait({stopped, planned}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        planned.cancel()

    async def _serve(self, told: Message) -> None:
        app = App(self._front, self._forward, {"name": "everloop", "version": told["version"]})
        config = uvicorn.Config(
            app,
            http=functools.partial(Line, front=self._front),  # type: ignore[arg-type]  # a class is expected
            access_log=False, log_config=None, lifespan="off", ws="none", server_header=False,
            proxy_headers=False, timeout_keep_alive=int(self._keep_alive) or 1, backlog=2048,
        )  # fmt: skip
        server = Server(config)
        server.front, server.drain = self._front, told["drain"]
        serving = asyncio.create_task(server.serve(sockets=self._listeners))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        self._channel.send("ready", pid=os.getpid())
        self._spawn(self._sync())
        self._spawn(self._sweep(server))
        await self._stopped.wait()
        server.should_exit = True
        await serving

    # -- the office ------------------------------------------------------------------------------------------

    async def _listen(self, messages: Any) -> None:
        async for message in messages:
            kind = message["kind"]
            if kind == "plan":
                self._plans.put_nowait(message)
            elif kind == "answer":
                waiting = self._forwarded.pop(message["number"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            elif kind == "count":
                document = self._front.counts.document()
                now = {"in_flight": len(self._forwarded), "log_bytes": self._front.log_bytes}
                self._channel.send("counts", number=message["number"], document=document, now=now)
            elif kind == "log_full":
                self._front.log_full = message["value"]
            elif kind == "stop":
                self._stopped.set()
        self._stopped.set()

    async def _load(self) -> None:
        """Serve what the newest plan says. What cannot be loaded never replaces what serves."""
        loader = Loader()
        while True:
            message = await self._plans.get()
            table, failed, natives = await asyncio.to_thread(loader.load, message, self._front.table)
            if natives:
                self._native = self._native or NativeProcess()
                failed |= await self._native.load(natives)
                self._front.native = self._native
                table = loader.without(table, failed)
            self._front.table = table
            self._planned.set()
            self._channel.send("planned", number=message["number"], failed=failed)

    async def _forward(
        self, scope: dict[str, Any], body: bytes, request_id: str
    ) -> tuple[int, Headers, bytes]:
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._forwarded[number] = answer
        try:
            self._channel.send(
                "request", number=number, method=scope["method"], path=scope["path"],
                query=scope["query_string"], headers=scope["headers"], body=body,
                client=list(scope["client"] or ("", 0)), request_id=request_id,
            )  # fmt: skip
            async with asyncio.timeout(self._front.limits.deadline):
                found = await answer
        except TimeoutError:
            raise Unavailable("The office did not answer in time.", remedy="Try again soon.") from None
        finally:
            self._forwarded.pop(number, None)
        return (
            found["status"],
            [(bytes(name), bytes(value)) for name, value in found["headers"]],
            found["body"],
        )

    # -- what is done now and then ---------------------------------------------------------------------------

    async def _sync(self) -> None:
        while self._journal is not None:
            await asyncio.sleep(SYNC_EVERY)
            try:
                await asyncio.to_thread(self._journal.sync)
            except MLOpsError as error:
                self._front.problem = error.message

    async def _sweep(self, server: Server) -> None:
        """Close connections that have been quiet too long, or too slow in sending a request."""
        while True:
            await asyncio.sleep(1.0)
            now = self._front.now()
            for line in list(server.server_state.connections):
                if not isinstance(line, Line) or line.asked is not None:
                    continue
                if line.began and now - line.began > self._read:
                    line.refuse_slow()
                elif not line.began and line.is_idle() and now - line.quiet > self._keep_alive:
                    line.transport.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task of the worker's own that dies takes the worker with it: the office starts another."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("worker failed", exc_info=task.exception())
            self._stopped.set()
            self._planned.set()


async def _main(channel: int, listeners: list[int]) -> None:
    opened = [socket.socket(fileno=number) for number in listeners]
    await Worker(await Channel.open(socket.socket(fileno=channel)), opened).run()


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    numbers = [int(one) for one in arguments]
    uvloop.run(_main(numbers[0], numbers[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
