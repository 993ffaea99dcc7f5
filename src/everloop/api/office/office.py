"""The office: starts workers and replaces those that die, tells them what to serve, records what they log."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

from everloop.api import logs
from everloop.api.channel import Message
from everloop.core.errors import MLOpsError, Unavailable
from everloop.flows import releases
from everloop.flows.project import Project
from everloop.flows.serving import planning, recording
from everloop.flows.serving.planning import Plan
from everloop.serving.counts import Counts

from . import extras, sockets
from .hand import Hand, within
from .opening import Opened
from .plans import Plans
from .recorder import Recorder, Recording
from .rolling import one_by_one
from .telling import Words
from .workers import WorkerProcess

LOOK_EVERY = 0.25  # seconds between looks at what is to be served
LOOK_AGAIN = 3.0  # seconds after which what could not be served is tried again
READY_WITHIN = 60.0
LAST_WORDS = 3.0  # seconds for recording where workers took all of serving.drain to end
PULSE_EVERY = 0.25  # seconds between telling workers whether they may log
COUNT_EVERY = 4  # pulses between asking what they have done
QUIET = 5.0  # seconds after which others accept on the socket of a worker that says nothing
SILENT = 30.0  # seconds after which a worker that says nothing counts as hung
LONGEST_PAUSE = 30.0
FIRST_TRIES = 3  # starts of a worker before the first was ever ready
SHORT_LIFE = 10.0  # seconds; a worker that ends sooner, again and again, is started ever later
_log = logging.getLogger("everloop.serve")


class Office:
    """``tell`` hears what happens, for people who look on; ``log`` (see ``adapters.logs``) what requests
    failed. Raises Invalid for a rate that is none."""

    def __init__(
        self, project: Project, opened: Opened, tell: Callable[[str], None], log: Any = None
    ) -> None:
        self.project = project
        self.settings = project.settings.serving
        self.workers: dict[int, WorkerProcess] = {}  # by socket, those that are to answer
        self.problem: str | None = None
        self.restarts = 0
        self.started = project.clock.now()
        self._words = Words(tell, log)
        self._tell = tell
        self._log = log
        self._extras = extras.told(project.settings, tell)
        self._past = Counts()  # of workers that are gone
        self.plans = Plans(project)
        self._recorder = Recorder(project, self.settings.log.backlog, self.settings.log.keep_days)
        self._looker = Hand("everloop-look")
        self._living: set[WorkerProcess] = set()  # all, also those that only begin or end
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._was_ready = False
        self._changing = asyncio.Lock()
        self._again = False  # a rolling restart waits for its turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened = opened
        self._app: Any = None
        self._queued = asyncio.Event()

    @property
    def plan(self) -> Plan | None:
        return self.plans.plan

    @property
    def recording(self) -> Recording:
        return self._recorder.done

    # -- the life of the office ------------------------------------------------------------------------------

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. ``ready`` gets the address as soon as a worker answers. Raises
        Unavailable when no worker can be started."""
        host, port = self._opened.sockets[0].getsockname()[:2]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._restart_soon)
        try:
            for slot in range(len(self._opened.sockets)):
                self._spawn(self._keep(slot))
            mark = await self._mark()
            await self._look()
            self._spawn(self._watch(mark))
            self._spawn(self._recorder.run())
            self._spawn(self._recorder.watch())
            self._spawn(self._pulse())
            await self._any_ready()
            if not self._stopping.is_set():
                address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
                ready(address)
                self._words.begun(address, self.plans)
                self._app, beside = await asyncio.to_thread(self._load_rest)
                self._spawn(self._app.state.board.run())
                self._spawn(beside.guard(self.project, self._recorder))
                for errand in beside.work(self.project, self._tell, self._queued):
                    self._spawn(errand)
            await self._stopping.wait()
            if self._failure is None:
                self._tell("Stopping: requests under way are answered, the log is written.")
        finally:
            await self._end()
        if self._failure is not None:
            raise self._failure

    async def _any_ready(self) -> None:
        while not self._stopping.is_set():
            if any(worker.ready.is_set() for worker in self.workers.values()):
                self._was_ready = True
                return
            await asyncio.sleep(0.01)

    async def _end(self) -> None:
        """All of it together takes little longer than ``serving.drain``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.drain
        self._stopping.set()
        sockets.refuse_new(self._opened.sockets)
        await asyncio.gather(*(self._stop(worker, last=True) for worker in list(self._living)))
        problem = await self._recorder.end(max(until - loop.time(), LAST_WORDS))
        if problem:
            self._tell(f"What was logged last is recorded when the next server starts: {problem}")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- workers ---------------------------------------------------------------------------------------------

    async def _keep(self, slot: int) -> None:
        """Keep a worker on a socket: when it dies, start another, ever later when they do not last."""
        loop = asyncio.get_running_loop()
        short = 0
        while not self._stopping.is_set():
            worker = None
            try:
                self.workers[slot] = await self._start(slot)
                worker = await self._outlived(slot)
            except OSError as error:
                said, lasted = f"cannot be started: {error.strerror}", False
            else:
                said = f"ended (code {worker.process.returncode})" + f": {worker.problem}" * bool(
                    worker.problem
                )
                lasted = worker.ready.is_set() and loop.time() - worker.since > SHORT_LIFE
                self._spawn(self._crashed(worker))
            if self._stopping.is_set():
                return
            self.restarts += 1
            short = 0 if lasted else short + 1
            if not self._was_ready and short >= FIRST_TRIES:
                raise Unavailable(
                    f"No worker could be started: it {said}", remedy="See what it printed above."
                )
            pause = 0.0 if short <= 1 else min(0.25 * 2 ** (short - 2), LONGEST_PAUSE)
            then = f"in {pause:g} s" if pause else "now"
            self._words.of_worker(slot, worker, f"{said.rstrip('.')}. Another one starts {then}.")
            await within(pause, self._stopping)

    async def _crashed(self, worker: WorkerProcess) -> None:
        """A worker died: a release that runs may be why."""
        code = worker.process.returncode or 0
        if not self._stopping.is_set() and (code < 0 or (code and worker.ready.is_set())):
            await self._about_releases(lambda: releases.faults.crashed(self.project, f"worker died ({code})"))

    async def _about_releases(self, tell: Callable[[], object]) -> None:
        try:
            await self._looker.do(tell)
        except MLOpsError as error:
            self.problem = error.message
        except Exception:  # noqa: BLE001 (serving goes on, whatever releases do)
            _log.exception("what happened could not be told to releases")

    async def _outlived(self, slot: int) -> WorkerProcess:
        """Return the last worker of a socket when it, and all before it, are gone."""
        while True:
            worker = self.workers[slot]
            await worker.gone.wait()
            if self.workers[slot] is worker:
                return worker

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
            **self._extras,
            "limits": {
                name: getattr(limits, name)
                for name in ("body", "rows", "waiting", "deadline", "read", "keep_alive")
            },
        }
        worker = WorkerProcess(slot, await self._opened.worker(), told, self)
        self._living.add(worker)
        self._spawn(self._bury(worker))
        if self._stopping.is_set():
            await self._stop(worker, last=True)
        elif self.plans.number:
            self._send_plan(worker)
        return worker

    async def _bury(self, worker: WorkerProcess) -> None:
        await worker.gone.wait()
        self._living.discard(worker)
        self._past.add(worker.counts)
        self._share()

    def _share(self) -> None:
        """Who connects to a socket whose worker is gone or hangs is answered by the others meanwhile."""
        kept = {one.slot for one in self._living if one.ready.is_set() and one.silent < QUIET}
        alone = [slot for slot in range(len(self._opened.sockets)) if slot not in kept]
        for worker in self._living:
            worker.share([slot for slot in alone if slot != worker.slot])

    async def _stop(self, worker: WorkerProcess, *, last: bool = False) -> None:
        await worker.stop(self.settings.drain + 5.0, last=last)

    def _restart_soon(self) -> None:
        if not self._again and not self._stopping.is_set():
            self._again = True
            self._spawn(self.restart())

    async def restart(self) -> None:
        """Replace every worker, one after the other, each only when its successor is ready."""
        async with self._changing:
            self._again = False
            for slot in list(self.workers):
                if not await self._replace(slot):
                    return
            self._tell("All workers were replaced.")

    async def _replace(self, slot: int) -> bool:
        try:
            new = await self._start(slot)
        except OSError as error:
            self._words.of_worker(slot, None, f"was not replaced: {error.strerror}.")
            return False
        either = [asyncio.create_task(event.wait()) for event in (new.ready, new.gone, self._stopping)]
        await asyncio.wait(either, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        for one in either:
            one.cancel()
        if self._stopping.is_set():
            return False
        if not new.ready.is_set() or new.gone.is_set():
            why = new.problem or "its successor did not become ready"
            await new.stop(1.0)
            self._words.of_worker(slot, new, f"was not replaced: {why}.")
            return False
        old, self.workers[slot] = self.workers[slot], new
        await self._stop(old)
        return True

    async def _replace_one(self, slot: int) -> None:
        async with self._changing:
            await self._replace(slot)

    def noted(self, worker: WorkerProcess, events: list[dict[str, Any]]) -> None:
        """A worker has something for the log."""
        if self._log is not None:
            logs.write(self._log, worker.slot, events)

    def leaving(self, worker: WorkerProcess) -> None:
        """A worker was sent SIGTERM: another takes its place before it ends."""
        if not self._stopping.is_set() and self.workers.get(worker.slot) is worker and not worker.stopping:
            self._spawn(self._replace_one(worker.slot))

    def crashed(self, name: str, problem: str) -> None:
        """A model ended the process that it runs in."""
        if not self._stopping.is_set():
            self._spawn(self._about_releases(partial(releases.faults.crashed, self.project, problem, name)))

    async def _pulse(self) -> None:
        """Know what workers have done, also of one that is killed; kill one that hangs. How long a worker is
        silent is counted in pulses: an office that was held up has not listened meanwhile."""
        for number in itertools.count():
            self._share()
            self._words.recording(self.recording)
            for worker in list(self._living):
                worker.silent += PULSE_EVERY
                worker.send("log", full=self._recorder.full, unrecorded=self._words.unrecorded)
                if number % COUNT_EVERY:
                    continue
                if worker.ready.is_set() and worker.silent > SILENT:
                    said = f"has said nothing for {SILENT:g} s: it is killed."
                    self._words.of_worker(worker.slot, worker, said)
                    worker.kill()
                worker.ask_counts()
            await asyncio.sleep(PULSE_EVERY)

    # -- what is served --------------------------------------------------------------------------------------

    async def _watch(self, seen: object) -> None:
        """See within LOOK_EVERY seconds that something else is to be served."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = await self._mark()
            for name, problem in self.plans.unloadable.items():
                await self._about_releases(partial(releases.faults.unloadable, self.project, name, problem))
            failed = self.plans.problems or any(worker.failed for worker in self.workers.values())
            again = failed and loop.time() - looked > LOOK_AGAIN
            if (now is not None and now != seen) or again:
                looked = loop.time()
                if await self._look():
                    seen = now

    async def _mark(self) -> object:
        try:
            return await self._looker.do(lambda: planning.mark(self.project))
        except MLOpsError as error:
            self.problem = error.message
            return None

    async def _look(self) -> bool:
        """Whether what is to be served is known; it is told to all workers. Raises what is wrong at first."""
        plans = self.plans
        try:
            await self._looker.do(plans.look)
        except MLOpsError as error:
            self.problem = error.message
            if self.plan is None:
                raise
            return False
        except Exception as error:
            if self.plan is None:
                raise
            self.problem = f"{type(error).__name__}: {error}"
            _log.exception("what is to be served could not be found out")
            return False
        self.problem = None
        self._opened.expect(plans.serves_original)
        self._send_plans()
        self._words.problems(plans)
        return True

    def _send_plans(self) -> None:
        """To all workers at once; where a version comes to one after the other, to those that have none."""
        rolling = bool(self.plans.rolling())
        for worker in list(self._living):
            if not rolling or not worker.told:
                self._send_plan(worker)
        if rolling:
            self._spawn(self._roll())

    async def _roll(self) -> None:
        for release_id in await one_by_one(self.plans, lambda: self._living, self._send_plan):
            await self._about_releases(partial(releases.faults.rolled_out, self.project, release_id))

    def _send_plan(self, worker: WorkerProcess) -> None:
        plans = self.plans
        fresh = {key: data for key, data in plans.content.items() if key not in worker.sent}
        worker.sent, worker.told = set(plans.content), plans.number
        worker.send("plan", number=plans.number, data=fresh, **plans.message)

    def loaded(self, worker: WorkerProcess, serving: dict[str, str]) -> None:
        """A worker has loaded a plan and answers with these versions, by model."""
        plan = self.plans.plan
        if worker.stopping or self._stopping.is_set():
            return
        answers: dict[str, str] = {}
        for model in plan.models if plan else ():
            for one in model.versions:
                name = f"{model.name}@{one.version}"
                answers[name] = f"{model.name}@{serving.get(model.name) or 'nothing'}"
                if name in worker.failed:
                    worker.sent.discard(one.address)  # it comes along with the next plan once more
                    self.plans.fails(name, worker.failed[name])
        self._words.loaded(worker.failed, answers)
        self.plans.serves(worker.plan, serving)

    # -- counting --------------------------------------------------------------------------------------------

    async def counted(self) -> Counts:
        """What all workers have done since the office began."""
        await asyncio.gather(*(worker.count(0.5) for worker in self._living))
        total = Counts()
        total.add(self._past.document())
        for worker in self._living:
            total.add(worker.counts)
        return total

    # -- retraining ------------------------------------------------------------------------------------------

    def jobs_wait(self) -> None:
        """Something was put in the queue: see that a process works on it."""
        self._queued.set()

    # -- requests that workers forward -----------------------------------------------------------------------

    def _load_rest(self) -> tuple[Any, Any]:
        """The application and what is done beside it: their libraries take longer to load than workers do."""
        beside = import_module("everloop.api.office.beside")
        return import_module("everloop.api.office.app").make_app(self), beside

    async def answer(self, message: Message) -> dict[str, Any]:
        """The answer of the office's application to a request."""
        while self._app is None:
            await asyncio.sleep(0.02)
        call = import_module("everloop.api.office.asgi").call
        found: dict[str, Any] = await call(self._app, message)
        return found

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            if not isinstance(error, MLOpsError):
                _log.error("the office failed", exc_info=error)
            self._failure = self._failure or error
            self._stopping.set()


async def run(
    project: Project, opened: Opened, note: Callable[[str], None], ready: Callable[[str], None], log: Any
) -> None:
    """Serve a project's models until SIGTERM or SIGINT."""
    if log is not None and project.settings.logging.file is not None:
        kept = logs.Handler(lambda level, said, **more: getattr(log, level)(said, **more))
        logging.getLogger("everloop").addHandler(kept)
    await Office(project, opened, note, log).run(ready)
