"""What a worker serves, and the answering of what came in one turn of the event loop as one batch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from everloop.adapters.predictionlog.journal import Journal
from everloop.api import problems
from everloop.api.logs import Events, Outage
from everloop.api.problems import status_of
from everloop.api.rates import Rates
from everloop.core.clock import Clock
from everloop.core.errors import MLOpsError, TimedOut, Unavailable
from everloop.core.ids import token
from everloop.serving import desk
from everloop.serving.answers import RowsFailed
from everloop.serving.counts import Counts
from everloop.serving.desk import CONSTANT, FALLBACK, Ask, Batch, Scores, Served, Target
from everloop.serving.routing import ELSEWHERE, NO_ENTITY

from .failing import Failing
from .standing import Standing
from .tables import Shown, Table

_log = logging.getLogger("everloop.worker")


class Connection(Protocol):
    """Where an answer goes: it is made ready by ``reply``."""

    def reply(self, ask: Ask) -> None: ...
    def send(self) -> None: ...


class Native(Protocol):
    """The models that run in a process of their own."""

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Scores: ...


class Runner(Protocol):
    """Gives the lines of a batch, within so many seconds."""

    def __call__(self, batch: Batch, deadline: float) -> Awaitable[list[bytes]]: ...


@dataclass(frozen=True)
class Limits:
    """``body`` in bytes, ``rows`` of a request, ``waiting`` requests of a worker, ``deadline`` in seconds."""

    body: int = 4_000_000
    rows: int = 10_000
    waiting: int = 1_000
    deadline: float = 30.0


class Front:
    """Answers predictions. ``ask`` collects what comes in one turn of the loop; it is answered at its end,
    after its lines are in the log."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, journal: Journal, limits: Limits, *,
        durability: str = "wal", when_full: str = "refuse",
    ) -> None:  # fmt: skip
        self.table = Table()
        self.limits = limits
        self.counts = Counts()
        self.draining = False
        self.native: Native | None = None
        self.log_full = False
        self.unrecorded: str | None = None  # why what is logged cannot be recorded now, and what to do
        self.log_failed = False  # the last lines could not be written
        self.problem_at = ""  # when it was told last
        self._problem: str | None = None
        self.now = clock.monotonic
        self.rates: Rates | None = None
        self.direct = True  # predictions may be answered without ASGI
        self.events = Events(self.moment)
        self.unlogged = Outage(self.events.note, self.now, "Predictions are logged again.")
        self._failing = Failing(self.now)
        self.standing = Standing(self._scores, self.now)
        self._loop = loop
        self._clock = clock
        self._journal = journal
        self._sync = durability == "sync"
        self.refuses = when_full == "refuse"  # what cannot be logged
        self._waiting: list[tuple[Connection, Target, Ask]] = []
        self._unsynced: list[tuple[Connection, Ask]] = []
        self._syncing = False
        self._prefix = f"pred_{token()}"
        self._later = 0  # requests that wait for a process
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._requests = 0

    @property
    def problem(self) -> str | None:
        """What went wrong last."""
        return self._problem

    @problem.setter
    def problem(self, told: str | None) -> None:
        self._problem, self.problem_at = told, self.moment()[:19] + "Z"

    # -- single requests, answered where the loop turns --------------------------------------------------

    def ask(self, connection: Connection, target: Target, ask: Ask) -> None:
        ask.received = self.now()
        if target.split is not None:
            target = self.chosen(target, self.route(target, ask))
        if not self._waiting:
            self._loop.call_soon(self._answer)
        self._waiting.append((connection, target, ask))

    def route(self, target: Target, ask: Ask) -> str:
        """The name of the choice for a request to a target with a split."""
        try:
            return desk.route(target, ask)
        except Exception:  # noqa: BLE001 (nobody foresaw it; the champion answers)
            _log.exception("no version could be chosen for %s", ask.request_id)
            return ELSEWHERE

    def chosen(self, target: Target, name: str) -> Target:
        """The target of a choice."""
        if name == NO_ENTITY:
            self.counts.events["no_entity", target.model.name, ""] += 1
        return target.choices[name]

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(waiting) > self.limits.waiting:
            for _, _, ask in waiting[self.limits.waiting :]:
                ask.reply = desk.Reply(error=problems.overloaded())
        groups: dict[Target, list[Ask]] = {}
        for _, target, ask in waiting:
            if ask.reply is None:
                groups.setdefault(target, []).append(ask)
        lines: list[bytes] = []
        answered: list[Ask] = []
        for target, asks in groups.items():
            batch = self._prepare(target, asks)
            if not batch.asks:
                continue
            if target.model.run is None:
                self._answer_later(batch, waiting, self.run_native)
                continue
            try:
                lines += self.run(batch)
            except MLOpsError as error:
                self._answer_later(batch, waiting, partial(self.rescue, error=error))
            else:
                answered += batch.asks
        self._reply(waiting if not self._later else [one for one in waiting if one[2].reply], lines, answered)

    def _prepare(self, target: Target, asks: list[Ask]) -> Batch:
        try:
            return desk.prepare(target, asks, self.limits.rows)
        except Exception as error:  # noqa: BLE001 (nobody foresaw it; each request still gets an answer)
            _log.exception("requests could not be read: %s", [ask.request_id for ask in asks])
            for ask in asks:
                ask.failed = problems.unforeseen(error)
                ask.reply = desk.Reply(error=ask.failed)
            return Batch(target)

    def _reply(
        self, waiting: list[tuple[Connection, Target, Ask]], lines: list[bytes], answered: list[Ask]
    ) -> None:
        """Log, count and send answers, when they are durable where that is asked for."""
        kept = self.log(
            lines, answered, self.failures((target, ask) for _, target, ask in waiting if ask.unit)
        )
        self._tell(waiting)
        if self._sync and kept and lines:
            self._unsynced += [(connection, ask) for connection, _, ask in waiting]
            self._sync_soon()
            return
        _send([(connection, ask) for connection, _, ask in waiting])

    # -- running models --------------------------------------------------------------------------------------

    def _answer_later(self, batch: Batch, waiting: list[tuple[Connection, Target, Ask]], run: Runner) -> None:
        """Answer those of the waiting that are in the batch when ``run`` has their lines."""
        if self._later >= self.limits.waiting:
            desk.fail(batch, problems.overloaded())
            return
        self._later += len(batch.asks)
        pending = set(map(id, batch.asks))
        later = self._answer_with(run, batch, [one for one in waiting if id(one[2]) in pending])
        task = self._loop.create_task(later)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_with(
        self, run: Runner, batch: Batch, waiting: list[tuple[Connection, Target, Ask]]
    ) -> None:
        try:
            lines = await run(batch, self.limits.deadline)
        except Exception as error:  # noqa: BLE001 (whatever it was, each request gets an answer)
            failed = self._failing.raised(batch.target.model, error)
            self.standing.failed(batch.target.model)
            desk.fail(batch, failed)
            for ask in batch.asks:
                ask.failed = ask.failed or failed
            lines = []
        finally:
            self._later -= len(batch.asks)
        self._reply(waiting, lines, batch.asks)

    def run(self, batch: Batch) -> list[bytes]:
        """The lines of a batch whose model runs here. Raises MLOpsError when the model fails."""
        try:
            return self.finish(batch, desk.run(batch))
        except MLOpsError:
            raise
        except Exception as error:
            raise self._failing.raised(batch.target.model, error) from error

    async def run_native(self, batch: Batch, deadline: float) -> list[bytes]:
        """The lines of a batch whose model runs in a process of its own, or of its fallback."""
        try:
            return self.finish(batch, await self._native_scores(batch.target.model, batch.rows, deadline))
        except MLOpsError as error:
            return await self.rescue(batch, deadline, error=error)

    async def _native_scores(self, model: Served, rows: list[Any], deadline: float) -> Scores:
        if self.native is None:
            raise Unavailable(f"The process of {model.name}@{model.version} does not run yet.")
        try:
            async with asyncio.timeout(deadline):
                return await self.native.run(model, rows, self.limits.deadline)
        except desk.Raised as error:
            raise self._failing.raised(model, error) from error
        except TimeoutError:
            late = f"No answer within {deadline:g} s."
            raise TimedOut(late, remedy="Raise serving.limits.deadline.") from None

    async def _scores(self, model: Served, rows: list[Any]) -> Scores:
        """The scores of rows by a version, beside the loop."""
        if model.run is None:
            return await self._native_scores(model, rows, self.limits.deadline)
        tensors, _ = model.inputs.encode(rows)
        return await self._loop.run_in_executor(None, model.run, tensors)

    def finish(self, batch: Batch, scores: Scores, by: Served | None = None) -> list[bytes]:
        self.counts.batch[batch.target.model.name].observe(len(batch.rows))
        lines = desk.finish(batch, scores, self.new_id, self.moment(), self.now(), by)
        if by is None and batch.rows:
            self.standing.answered(batch.target.model, batch.rows[-1])
        return lines

    async def rescue(self, batch: Batch, deadline: float, *, error: MLOpsError) -> list[bytes]:
        """The last good champion or the constant answers what the model could not, unless the version was
        asked for by name; else it is an error. Of several requests most may be answered without the others:
        half of them is asked again at a time, so that none fails for what came along with it."""
        model = batch.target.model
        if len(batch.asks) > 1 and isinstance(error, RowsFailed):
            return [line for half in batch.halves() for line in await self._again(half, deadline)]
        shown = self.table.models.get(model.name)
        self.counts.events["model_failed", model.name, model.version] += 1
        if deadline >= self.limits.deadline or not isinstance(error, TimedOut):  # not the client's own haste
            self._failing.note(model, error)
            self.standing.failed(model)
            for ask in batch.asks:
                ask.failed = error
        self.problem = f"{model.name}@{model.version}: {error.message}"
        if batch.target.named:
            desk.fail(batch, error)
            return []
        other = self._instead(model, shown) if shown else None
        if other is not None and other.version != model.version:
            try:
                rows = desk.rows_for(other, batch)
                tensors, _ = other.inputs.encode(rows)
                run = other.run
                scores = run(tensors) if run else await self._native_scores(other, rows, deadline)
                lines = self.finish(batch, scores, other.under(model.release, FALLBACK, model.probability))
                self.counts.events["fallback", model.name, other.version] += len(batch.asks)
                return lines
            except Exception as second:  # noqa: BLE001 (the constant, if there is one, answers)
                if not isinstance(second, MLOpsError):
                    second = self._failing.raised(other, second)
                self._failing.note(other, second)
                self.standing.failed(other)
                self.problem = f"{other.name}@{other.version}: {second.message}"
        if shown is not None and shown.constant is not None:
            scores = desk.constant(model.form, shown.constant, len(batch.rows))
            self.counts.events["fallback", model.name, CONSTANT] += len(batch.asks)
            return self.finish(batch, scores, replace(model, version=CONSTANT, variant=FALLBACK))
        desk.fail(batch, error)
        return []

    async def _again(self, batch: Batch, deadline: float) -> list[bytes]:
        if batch.target.model.run is None:
            return await self.run_native(batch, deadline)
        try:
            return self.run(batch)
        except MLOpsError as error:
            return await self.rescue(batch, deadline, error=error)

    def down(self, model: Served, shown: Shown, *, named: bool = False) -> str | None:
        """Why a version answers nothing at all now, and nothing answers in its place; for one that is asked
        for by name nothing does."""
        if not self.standing.is_down(model):
            return None
        other = self._instead(model, shown)
        rescued = other is not None and other.version != model.version and not self.standing.is_down(other)
        if not named and (rescued or shown.constant is not None):
            return None
        return f"{model.name}@{model.version} fails, also for a row that it should answer"

    def _instead(self, model: Served, shown: Shown) -> Served | None:
        """The version that answers for one that failed."""
        by_champion = model.release and shown.rescued and model.version != shown.default
        return shown.versions.get(shown.default if by_champion else shown.fallback or "")

    # -- the log -----------------------------------------------------------------------------------------

    def failures(self, asked: Iterable[tuple[Target, Ask]]) -> list[bytes]:
        """The lines to log of what arms could not answer or refused."""
        lines = []
        for target, ask in asked:
            if ask.failed is not None or (ask.reply is not None and ask.reply.error is not None):
                line = desk.failure(target.model, ask, f"fail_{self.new_id()[5:]}", self.moment())
                lines += [line] if line else []
        return lines

    def log(self, lines: list[bytes], asks: list[Ask], failures: list[bytes]) -> bool:
        """Write lines; whether they are kept. What cannot be logged is refused, or answered without, as the
        policy says, and counted; of ``failures`` nothing is told then."""
        if not lines and not failures:
            return False
        try:
            if self.log_full:
                raise Unavailable("The prediction log is further ahead of the database than allowed.")
            self._journal.write(b"".join(lines + failures))
            self.log_failed = False
            self.unlogged.worked()
            return True
        except MLOpsError as error:
            self.log_failed = not self.log_full
            self.counts.events["log_shed" if not self.refuses else "log_refused", "", ""] += len(lines)
            self.problem = error.message
            self.unlogged.failed(problems.unlogged(error, refused=self.refuses))
            if self.refuses:
                for ask in asks:
                    ask.reply = desk.Reply(error=problems.not_logged())
            return False

    def probe_log(self) -> None:
        """Where nothing could be logged: see whether it can again. Who is not ready is asked nothing."""
        if self.log_failed:
            with contextlib.suppress(MLOpsError):
                self._journal.probe()
                self.log_failed = False
        if not self.log_problem:
            self.unlogged.worked()

    @property
    def log_problem(self) -> str | None:
        """Why predictions cannot be logged now."""
        if self.log_full:
            return "the prediction log is further ahead of the database than allowed"
        return "the prediction log cannot be written" if self.log_failed else None

    def _sync_soon(self) -> None:
        if not self._syncing:
            self._syncing = True
            waiting, self._unsynced = self._unsynced, []
            done = self._loop.run_in_executor(None, self._journal.sync)
            done.add_done_callback(lambda future: self._synced(future, waiting))

    def _synced(self, done: asyncio.Future[None], waiting: list[tuple[Connection, Ask]]) -> None:
        self._syncing = False
        error = done.exception()
        for _, ask in waiting:
            if error is not None:
                ask.reply = desk.Reply(error=Unavailable(f"The prediction log failed: {error}."))
        _send(waiting)
        if self._unsynced:
            self._sync_soon()

    async def synced(self) -> None:
        """Return when what was logged so far is durable, where each answer waits for that."""
        if self._sync:
            await self._loop.run_in_executor(None, self._journal.sync)

    # -- counting ----------------------------------------------------------------------------------------

    def _tell(self, waiting: list[tuple[Connection, Target, Ask]]) -> None:
        now = self.now()
        for _, target, ask in waiting:
            self.count(target, ask, now)

    def count(self, target: Target, ask: Ask, now: float) -> None:
        model, reply = target.model, ask.reply
        error = reply.error if reply else None
        status = "200" if error is None else str(status_of(error))
        self.counts.requests[model.name, model.version, model.variant, target.protocol, status] += 1
        self.counts.latency[model.name].observe(now - ask.received)
        rows = reply.rows if reply is not None else 0
        if rows:
            self.counts.rows[model.name, model.version, model.variant] += rows
        if error is not None or self.events.every:
            self.events.request(
                ask.request_id, int(status), now - ask.received, model=model.name, version=model.version,
                error=error, rows=rows, prediction_id=reply.prediction_id if reply else "",
            )  # fmt: skip

    def refused(self, path: str, request_id: str, error: MLOpsError, seconds: float) -> None:
        """Count and note a request that came to no model."""
        status = status_of(error)
        self.counts.requests["", "", "", "v2" if path.startswith("/v2") else "plain", str(status)] += 1
        self.events.request(request_id, status, seconds, path=path, error=error)

    def new_id(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count:x}"

    def new_request_id(self) -> str:
        self._requests += 1
        return f"req_{self._prefix[5:]}{self._requests:x}"

    def moment(self) -> str:
        return self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")


def _send(answered: Sequence[tuple[Connection, Ask]]) -> None:
    """All are ready before the first is sent: a client with many connections that sleeps and is woken by each
    answer costs a third of what answering does."""
    for connection, ask in answered:
        connection.reply(ask)
    for connection, _ in answered:
        connection.send()
