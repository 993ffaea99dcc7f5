"""The office: starts workers and replaces those that die, tells them what to serve, records what they log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from typing import Any

import uvloop

from everloop.adapters.courier import describe
from everloop.api.channel import Message
from everloop.core.documents import dump
from everloop.core.errors import MLOpsError
from everloop.flows.project import Project
from everloop.flows.serving import planning, recording
from everloop.flows.serving.planning import Plan
from everloop.flows.serving.summing import ModelSummary
from everloop.serving.counts import Counts

from . import sockets
from .workers import WorkerProcess

LOOK_EVERY = 0.5  # seconds between looks at what is to be served
RECORD_EVERY = 0.25
JOBS_EVERY = 60.0  # seconds between looks for jobs that were queued elsewhere
JOBS_MODULE = "everloop.worker.jobs"
CLEAN_EVERY = 3_600.0
READY_WITHIN = 60.0
LONGEST_PAUSE = 30.0
_log = logging.getLogger("everloop.serve")


@dataclass
class Recording:
    """What has been read from the log since the office began."""

    rows: int = 0
    damaged: int = 0
    backlog: int = 0
    problem: str | None = None
    summaries: dict[str, ModelSummary] = field(default_factory=dict)


class Office:
    """``tell`` hears what happens, for people who look on."""

    def __init__(self, project: Project, tell: Callable[[str], None]) -> None:
        self.project = project
        self.settings = project.settings.serving
        self.workers: dict[int, WorkerProcess] = {}
        self.plan: Plan | None = None
        self.problem: str | None = None
        self.restarts = 0
        self.recording = Recording()
        self.started = project.clock.now()
        self._tell = tell
        self._past = Counts()  # of workers that are gone
        self._number = 0
        self._message: dict[str, Any] = {}
        self._content: dict[str, bytes] = {}
        self._stopping = asyncio.Event()
        self._recorded = asyncio.Event()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []
        self._app: Any = None
        self._queued = asyncio.Event()

    # -- the life of the office ------------------------------------------------------------------------------

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. ``ready`` gets the address as soon as a worker answers."""
        settings = self.settings
        self._sockets = sockets.listen(settings.host, settings.port, settings.workers)
        host, port = self._sockets[0].getsockname()[:2]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.restart()))
        try:
            starting = [self._spawn(self._keep(slot)) for slot in range(settings.workers)]
            await self._look()
            self._spawn(self._watch())
            self._spawn(self._record())
            await self._any_ready(starting)
            ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            self._app = await asyncio.to_thread(self._load_app)
            if settings.retrain:
                self._spawn(self._work())
            await self._stopping.wait()
            self._tell("Stopping: requests under way are answered, the log is written.")
        finally:
            await self._end()

    async def _any_ready(self, keepers: list[asyncio.Task[None]]) -> None:
        while not self._stopping.is_set():
            if any(worker.ready.is_set() for worker in self.workers.values()):
                return
            for keeper in keepers:
                if keeper.done():
                    await keeper
            await asyncio.sleep(0.01)

    async def _end(self) -> None:
        self._stopping.set()
        workers = list(self.workers.values())
        await asyncio.gather(*(worker.stop(self.settings.drain + 5.0) for worker in workers))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        sockets.close(self._sockets)
        await asyncio.to_thread(self._record_rest)

    def _record_rest(self) -> None:
        try:
            while self._record_once():
                pass
        except MLOpsError as error:
            self._tell(f"What was logged last is not in the database yet: {error.message}")

    # -- workers ---------------------------------------------------------------------------------------------

    async def _keep(self, slot: int) -> None:
        """Keep a worker on a socket: when it dies, start another, ever slower when none becomes ready."""
        pause = 0.0
        while not self._stopping.is_set():
            worker = self.workers[slot] = await self._start(slot)
            await self._outlived(slot)
            if self._stopping.is_set():
                return
            self.restarts += 1
            pause = 0.0 if worker.ready.is_set() else min(max(2 * pause, 0.5), LONGEST_PAUSE)
            self._tell(f"Worker {slot} ended (code {worker.process.returncode}); another one starts.")
            await asyncio.sleep(pause)

    async def _outlived(self, slot: int) -> None:
        """Return when the worker of a socket, and all that replaced it, are gone."""
        while True:
            worker = self.workers[slot]
            await worker.gone.wait()
            self._past.add(worker.counts)
            if self.workers[slot] is worker:
                return

    async def _start(self, slot: int) -> WorkerProcess:
        settings = self.settings
        limits = settings.limits
        told = {
            "folder": str(recording.log_folder(self.project)),
            "rotate": settings.log.rotate,
            "durability": settings.log.durability,
            "when_full": settings.log.when_full,
            "drain": settings.drain,
            "version": version("everloop"),
            "limits": {
                name: getattr(limits, name)
                for name in ("body", "rows", "waiting", "deadline", "read", "keep_alive")
            },
        }
        worker = await WorkerProcess.start(slot, self._sockets[slot], told, self.answer)
        if self._message:
            self._send_plan(worker)
        return worker

    async def restart(self) -> None:
        """Replace every worker, one after the other, each only when its successor is ready."""
        async with self._changing:
            for slot, old in list(self.workers.items()):
                new = await self._start(slot)
                ready = asyncio.create_task(new.ready.wait())
                gone = asyncio.create_task(new.gone.wait())
                await asyncio.wait({ready, gone}, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
                ready.cancel()
                gone.cancel()
                if not new.ready.is_set():
                    await new.stop(1.0)
                    self._tell(f"Worker {slot} was not replaced: its successor did not become ready.")
                    return
                self.workers[slot] = new
                await old.stop(self.settings.drain + 5.0)
            self._tell("All workers were replaced.")

    # -- what is served --------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See within LOOK_EVERY seconds that something else is to be served."""
        seen = await self._mark()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = await self._mark()
            if now is not None and now != seen:
                await self._look()
                seen = now

    async def _mark(self) -> object:
        try:
            return await asyncio.to_thread(planning.mark, self.project)
        except MLOpsError as error:
            self.problem = error.message
            return None

    async def _look(self) -> None:
        try:
            plan = await asyncio.to_thread(planning.plan, self.project)
            content = dict(self._content)
            for version in (version for model in plan.models for version in model.versions):
                if version.address not in content:
                    content[version.address] = await asyncio.to_thread(
                        planning.content, self.project, version
                    )
        except MLOpsError as error:
            self.problem = error.message
            if self.plan is None:
                raise
            return
        self.plan, self.problem, self._content = plan, None, content
        self._number += 1
        self._message = _message(plan)
        for worker in self.workers.values():
            self._send_plan(worker)
        for problem in plan.problems:
            self._tell(problem)

    def _send_plan(self, worker: WorkerProcess) -> None:
        fresh = {key: data for key, data in self._content.items() if key not in worker.sent}
        worker.sent |= set(fresh)
        worker.send("plan", number=self._number, data=fresh, **self._message)

    # -- the log ---------------------------------------------------------------------------------------------

    async def _record(self) -> None:
        clock, cleaned = self.project.clock, 0.0
        loop, recorder = asyncio.get_running_loop(), ThreadPoolExecutor(1, initializer=_give_way)
        while not self._stopping.is_set():
            try:
                more = await loop.run_in_executor(recorder, self._record_once)
                self.recording.problem = None
                if clock.monotonic() - cleaned > CLEAN_EVERY:
                    cleaned = clock.monotonic()
                    days = self.settings.log.keep_days
                    await asyncio.to_thread(recording.clean, self.project, keep_days=days)
            except MLOpsError as error:
                more, self.recording.problem = False, error.message
            full = self.recording.backlog > self.settings.log.backlog
            for worker in self.workers.values():
                worker.send("log_full", value=full)
            self._recorded.set()
            if not more:
                await _within(RECORD_EVERY, self._stopping)

    def _record_once(self) -> bool:
        """Whether there may be more."""
        done = recording.record(self.project, limit=10_000)
        kept = self.recording
        kept.rows += done.rows
        kept.damaged += done.damaged
        kept.backlog = done.backlog
        for name, summary in done.summaries.items():
            if name in kept.summaries:
                kept.summaries[name].merge(summary)
            else:
                kept.summaries[name] = summary
        return done.rows >= 10_000

    async def recorded(self) -> None:
        """Return when what was logged before the call is in the database."""
        for _ in range(2):
            self._recorded.clear()
            await _within(5.0, self._recorded)

    # -- counting --------------------------------------------------------------------------------------------

    async def counted(self) -> Counts:
        """What all workers have done since the office began."""
        workers = list(self.workers.values())
        await asyncio.gather(*(worker.count(0.5) for worker in workers))
        total = Counts()
        total.add(self._past.document())
        for worker in workers:
            total.add(worker.counts)
        return total

    # -- retraining ------------------------------------------------------------------------------------------

    def jobs_wait(self) -> None:
        """Something was put in the queue: see that a process works on it."""
        self._queued.set()

    async def _work(self) -> None:
        """Jobs are done by a process of their own, which ends when none is left."""
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", JOBS_MODULE),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,
                cwd=self.project.settings.root,
            )
            told = json.dumps(describe(self.project.settings)).encode()
            await process.communicate(told)
            await _within(JOBS_EVERY, self._queued)
            self._queued.clear()

    # -- requests that workers forward -----------------------------------------------------------------------

    def _load_app(self) -> Any:
        return import_module("everloop.api.office.app").make_app(self)

    async def answer(self, message: Message) -> dict[str, Any]:
        """The answer of the office's application to a request."""
        while self._app is None:
            await asyncio.sleep(0.02)
        call = import_module("everloop.api.office.asgi").call
        found: dict[str, Any] = await call(self._app, message)
        return found

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("the office failed", exc_info=task.exception())
            self._stopping.set()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _give_way() -> None:
    """Let this thread work when no other has something to do: recording gives way to answering."""
    with contextlib.suppress(OSError, AttributeError):  # only Linux has priorities of threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def run(project: Project, note: Callable[[str], None], ready: Callable[[str], None]) -> None:
    """Serve a project's models until SIGTERM or SIGINT."""
    uvloop.run(Office(project, note).run(ready))


def _message(plan: Plan) -> dict[str, Any]:
    """A plan as workers are told it."""
    return {
        "default": plan.default,
        "salt": plan.salt,
        "models": [
            {
                "name": model.name,
                "default": model.default,
                "fallback": model.fallback,
                "constant": list(model.constant) if model.constant else None,
                "inputs": model.serving.inputs.model_dump(),
                "mask": model.serving.mask,
                "versions": [
                    {
                        "version": version.version,
                        "variant": version.variant,
                        "form": dump(version.form),
                        "key": version.address,
                        "format": version.format,
                    }
                    for version in model.versions
                ],
            }
            for model in plan.models
        ],
    }
