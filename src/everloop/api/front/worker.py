"""A worker: its channel to the office, what it serves, and its server (see ``__main__``)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import signal
import socket
import termios
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import uvicorn

from everloop.adapters.predictionlog.journal import Journal
from everloop.api import rates
from everloop.api.channel import Channel, Message
from everloop.api.logs import EVERY, Handler
from everloop.api.office.sockets import BACKLOG, refuse_new
from everloop.api.problems import overloaded
from everloop.api.started import Started
from everloop.core.clock import SystemClock
from everloop.core.errors import MLOpsError, Unavailable
from everloop.core.ids import token

from .app import App
from .call import Headers
from .front import Front, Limits
from .line import Line
from .loading import Loaded, Loader
from .native import NativeProcess

SYNC_EVERY = 0.1  # seconds between flushes to disk
LOOK_EVERY = 1.0  # seconds between questions to models that failed
LINGER = 0.3  # seconds in which a quiet connection may still bring a request while the worker ends
ASKED_WITHIN = 5.0  # seconds in which the office says what to do about a SIGTERM
_log = logging.getLogger("everloop.worker")


class Server(uvicorn.Server):
    """uvicorn's server, ending in a way that loses no request: connections are answered and closed one by
    one, and quiet ones stay open for a moment, since a request may be on its way."""

    front: Front
    drain: float = 10.0
    last = False  # nobody accepts on its sockets after it
    shared: Mapping[int, asyncio.AbstractServer] = MappingProxyType({})

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the worker's own handlers do it

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        now = self.front.now
        ending, until = now() + LINGER, now() + max(self.drain, 2 * LINGER)
        if self.last:  # what waits to be accepted would be reset: it is let in, and then there is nothing
            self.front.draining = True
            refuse_new(sockets or [])
        else:  # a successor accepts on the same socket
            self._close_servers()
        while (now() < ending or self.server_state.connections) and now() < until:
            for line in self._lines():
                line.last = True
                if now() > ending and now() - line.quiet > LINGER and not _has_data(line):
                    line.shutdown()
            await asyncio.sleep(0.02)
        self._close_servers()
        for line in self._lines():
            line.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    def _close_servers(self) -> None:
        for server in (*self.servers, *self.shared.values()):
            server.close()

    @property
    def in_flight(self) -> int:
        """Connections with a request that waits for its answer."""
        return sum(not line.is_idle() for line in self._lines())

    def _lines(self) -> list[Line]:
        return [line for line in self.server_state.connections if isinstance(line, Line)]


class Worker:
    """``ahead``: a process for originals that was started already."""

    def __init__(
        self, channel: Channel, listeners: list[socket.socket], ahead: Started | None = None
    ) -> None:
        self._channel = channel
        self._listeners = listeners
        self._shared: dict[int, asyncio.AbstractServer] = {}  # what it accepts on for others
        self._changing = asyncio.Lock()
        self._forwarded: dict[int, asyncio.Future[Message]] = {}
        self._number = 0
        self._stopped = asyncio.Event()
        self._planned = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._plans: asyncio.Queue[Message] = asyncio.Queue()
        self._native: NativeProcess | None = None
        self._ahead = ahead
        self._tracing: Any = None
        self._server: Server | None = None
        self._loader = Loader()
        self._newest: tuple[Message, Loaded] = ({}, Loaded())
        self._loading = False  # of models that run in a process of their own
        self._load_problem: str | None = None
        self._last = False
        self._failed = False

    async def run(self) -> int:
        """The exit code."""
        messages = aiter(self._channel)
        try:
            told = await anext(messages)
        except StopAsyncIteration:
            return 1
        loop = asyncio.get_running_loop()
        try:
            self._journal = Journal(Path(told["folder"]), token(), told["rotate"])
        except MLOpsError as error:
            self._channel.send("problem", message=f"{error}")
            await self._leave()
            return 1
        limits = told["limits"]
        self._read, self._keep_alive = limits.pop("read"), limits.pop("keep_alive")
        self._front = Front(
            loop, SystemClock(), self._journal, Limits(**limits),
            durability=told["durability"], when_full=told["when_full"],
        )  # fmt: skip
        self._front.rates = rates.opened(told["rates"], self._front.now, self._front.events.note)
        self._front.direct = not told["traces"] and (self._front.rates is None or self._front.rates.direct)
        self._front.events.every = told["log_every"]
        logging.getLogger("everloop").addHandler(Handler(self._front.events.note))
        self._spawn(self._tell())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        self._spawn(self._listen(messages))
        self._spawn(self._load())
        await self._first_plan()
        if not self._stopped.is_set():
            await self._serve(told)
        if self._native is not None:
            await self._native.close()
        try:
            await asyncio.to_thread(self._journal.close)
        except MLOpsError as error:
            self._channel.send("problem", message=error.message)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._tell_events(last=True)
        self._channel.send("counts", number=0, document=self._front.counts.document())
        await self._leave()
        return int(self._failed)

    async def _leave(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._channel.drained()
        self._channel.close()

    def _asked_to_end(self) -> None:
        """By somebody else than the office: it starts a successor first, or ends all, and says so."""
        self._channel.send("leaving")
        asyncio.get_running_loop().call_later(ASKED_WITHIN, self._stopped.set)

    async def _first_plan(self) -> None:
        stopped = asyncio.create_task(self._stopped.wait())
        planned = asyncio.create_task(self._planned.wait())
        await asyncio.wait({stopped, planned}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        planned.cancel()

    async def _serve(self, told: Message) -> None:
        app: Any = App(self._front, self._forward, {"name": "everloop", "version": told["version"]})
        if told["traces"]:
            tracing = import_module("everloop.api.tracing")
            app = self._tracing = tracing.Tracing(app, told["version"])
            self._front.events.trace = tracing.trace_id
        config = uvicorn.Config(
            app,
            http=functools.partial(Line, front=self._front),  # type: ignore[arg-type]  # a class is expected
            access_log=False, log_config=None, lifespan="off", ws="none", server_header=False,
            proxy_headers=False, timeout_keep_alive=int(self._keep_alive) or 1, backlog=BACKLOG,
        )  # fmt: skip
        server = self._server = Server(config)
        own = self._listeners[told["slot"]]
        server.front, server.drain = self._front, told["drain"]
        serving = asyncio.create_task(server.serve(sockets=[own]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        self._channel.send("ready", pid=os.getpid())
        self._spawn(self._sync())
        self._spawn(self._look())
        self._spawn(self._sweep(server))
        await self._stopped.wait()
        server.last = self._last
        server.shared = self._shared
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
                front = self._front
                now = {
                    "in_flight": self._server.in_flight if self._server else 0,
                    "problem": front.problem,
                    "problem_at": front.problem_at,
                }
                self._channel.send("counts", number=message["number"], document=document, now=now)
            elif kind == "share":
                self._spawn(self._share(message["slots"]))
            elif kind == "log":
                self._front.log_full, self._front.unrecorded = message["full"], message["unrecorded"]
            elif kind == "stop":
                self._last = message["last"]
                self._stopped.set()
        self._last = True  # the office is gone
        self._stopped.set()
        for waiting in self._forwarded.values():
            if not waiting.done():
                waiting.set_exception(Unavailable("The office is gone.", remedy="Try again soon."))

    async def _load(self) -> None:
        """Serve what the newest plan says. What cannot be loaded never replaces what serves."""
        while True:
            message = await self._plans.get()
            while not self._plans.empty():  # only the newest counts
                newer = self._plans.get_nowait()
                message = {**newer, "data": {**message["data"], **newer["data"]}}
            loaded = await asyncio.to_thread(self._loader.load, message)
            self._newest = message, loaded
            self._show()
            if self._native is not None:
                self._native.keep({*self._loader.natives, *loaded.pending})
            if loaded.pending and not self._loading:
                self._loading = True
                self._spawn(self._load_natives())
            elif not loaded.pending and self._ahead is not None:
                ahead, self._ahead = self._ahead, None  # no original is served any more
                await ahead.end()

    async def _load_natives(self) -> None:
        """Load what runs in a process of its own, while all else is served already."""
        ahead, self._ahead = self._ahead, None
        self._native = self._front.native = self._native or NativeProcess(self._crashed, ahead)
        while pending := self._newest[1].pending:
            name, (key, native) = next(iter(pending.items()))
            failed = await self._native.load([native])
            self._loader.settle(name, key, failed.get(name))
            self._show()
        self._loading = False

    def _crashed(self, name: str, problem: str) -> None:
        """A model ended the process that it runs in: a release of it has to know."""
        model, _, version = name.rpartition("@")
        self._front.counts.events["crashed", model, version] += 1
        _log.error("%s: %s", name, problem)
        self._channel.send("crashed", name=name, problem=problem)

    def _show(self) -> None:
        """Serve what is loaded of the newest plan."""
        message, loaded = self._newest
        table = self._loader.table(message, loaded, self._front.table)
        self._front.table = table
        default = table.models.get(table.default)
        if not loaded.pending or (default and f"{default.name}@{default.default}" not in loaded.pending):
            self._planned.set()
        if not loaded.pending:
            failed = {name: f"{name} is not served: {problem}" for name, problem in loaded.failed.items()}
            self._tell_of({**message["problems"], **failed})
            serving = {name: shown.default for name, shown in table.models.items()}
            self._channel.send(
                "planned", number=message["number"], failed=loaded.failed, serving=serving
            )  # fmt: skip

    def _tell_of(self, problems: Mapping[str, str]) -> None:
        """What is wrong with versions: in the metrics and in /health, as long as it is so."""
        front = self._front
        for name in problems:
            model, _, version = name.rpartition("@")
            front.counts.events["load_failed", model, version] += 1
        if front.problem == self._load_problem:
            front.problem = None
        self._load_problem = " ".join(problems.values()) or None
        front.problem = self._load_problem or front.problem

    async def _forward(
        self, scope: dict[str, Any], body: bytes, request_id: str
    ) -> tuple[int, Headers, bytes]:
        if len(self._forwarded) >= self._front.limits.waiting:
            raise overloaded()
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
        if found.get("failed"):
            raise Unavailable("The office could not answer.", remedy="See what 'everloop serve' printed.")
        return (
            found["status"],
            [(bytes(name), bytes(value)) for name, value in found["headers"]],
            found["body"],
        )

    async def _share(self, slots: list[int]) -> None:
        """Accept also on these sockets, whose workers are gone, and on no others."""
        server, loop = self._server, asyncio.get_running_loop()
        if server is None or self._stopped.is_set():
            return
        config = server.config

        def connected() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(
                config=config, server_state=server.server_state, app_state={}, _loop=loop
            )  # type: ignore[call-arg]  # uvicorn declares a plain Protocol; all it has take these
            return made

        async with self._changing:
            for slot in set(self._shared) - set(slots):
                self._shared.pop(slot).close()
            for slot in set(slots) - set(self._shared):
                again = self._listeners[slot].dup()
                self._shared[slot] = await loop.create_server(connected, sock=again, backlog=BACKLOG)

    # -- what is done now and then ---------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self._tell_events()

    def _tell_events(self, *, last: bool = False) -> None:
        if events := self._front.events.take(last=last):
            self._channel.send("log", events=events)

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY)
            self._front.probe_log()
            try:
                await asyncio.to_thread(self._journal.sync)
            except MLOpsError as error:
                self._front.problem = error.message
                self._front.unlogged.failed(f"The prediction log is not on the disk: {error}")

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._front.standing.look(self._front.table)

    async def _sweep(self, server: Server) -> None:
        """Close connections that have been quiet too long, or too slow in sending a request or in taking
        an answer."""
        stuck: dict[Line, tuple[int, float]] = {}  # bytes that are not taken, and since when
        while True:
            await asyncio.sleep(min(1.0, self._read / 2, self._keep_alive / 2))
            now = self._front.now()
            before, stuck = stuck, {}
            for line in list(server.server_state.connections):
                if not isinstance(line, Line):
                    continue
                size = line.transport.get_write_buffer_size()
                if size:
                    known = before.get(line)
                    stuck[line] = known if known and known[0] == size else (size, now)
                    if now - stuck[line][1] > self._read:
                        line.transport.abort()
                    continue
                if line.asked is not None:
                    continue
                if line.began and now - line.began > self._read:
                    line.refuse_slow()
                elif not line.began and line.is_idle() and now - line.quiet > self._keep_alive:
                    line.transport.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task of the worker's own that dies takes the worker with it: the office starts another."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("worker failed", exc_info=task.exception())
            self._channel.send("problem", message=f"{type(task.exception()).__name__}: {task.exception()}")
            self._failed = True
            self._stopped.set()
            self._planned.set()


def _has_data(line: Line) -> bool:
    """Whether something has arrived that was not read yet."""
    number = line.transport.get_extra_info("socket").fileno()
    if number < 0:
        return False
    waits = bytearray(4)
    fcntl.ioctl(number, termios.FIONREAD, waits)
    return any(waits)
