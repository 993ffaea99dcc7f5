"""The workers' log into the database, while they write it; and how much of it waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from functools import partial

import psutil

from everloop.core.errors import MLOpsError
from everloop.flows.project import Project
from everloop.flows.serving import recording
from everloop.flows.serving.recording import Recorded
from everloop.flows.serving.summing import ModelSummary

from .hand import Hand, within

EVERY = 0.25  # seconds between rounds where nothing is left
ROUND, GENTLE_ROUND = 10_000, 1_000  # rows
GIVES_WAY = 9.0  # times as long as a gentle round takes, while predictions keep the machine busy
BUSY = 90.0  # per cent of its processors
FIRST_CLEAN, CLEAN_EVERY = 60.0, 3_600.0  # seconds after the start, and between
HURRY = 0.25  # of the backlog that is allowed: from here on recording no longer gives way to answering
_log = logging.getLogger("everloop.serve")


@dataclass
class Recording:
    """What has been read from the log since the office began. ``backlog`` in bytes; ``problem``: why nothing
    can be recorded now, and ``remedy``."""

    rows: int = 0
    damaged: int = 0
    backlog: int = 0
    problem: str | None = None
    remedy: str = ""
    summaries: dict[str, ModelSummary] = field(default_factory=dict)


class Recorder:
    """``allowed`` is the backlog in bytes beyond which nothing more shall be logged. ``awaited``: a release
    is judged by what is recorded."""

    def __init__(self, project: Project, allowed: int, keep_days: float) -> None:
        self.done = Recording()
        self.awaited = False
        self._project = project
        self._allowed = allowed
        self._keep_days = keep_days
        self._hand = Hand("everloop-record")
        self._ending = asyncio.Event()
        self._one = asyncio.Lock()  # two rounds at once would take each other's lines, and look finished
        self._written = 0  # bytes in log files when the backlog was last known
        self._known = 0  # the backlog then
        self._busy = False

    @property
    def full(self) -> bool:
        """Whether more waits than is allowed."""
        return self.done.backlog > self._allowed

    async def run(self) -> None:
        """Round after round, until ``end``. What fails is tried again."""
        clock, pause = self._project.clock, EVERY
        clean_at = clock.monotonic() + FIRST_CLEAN
        while not self._ending.is_set():
            more, begun, before = False, clock.monotonic(), self._written
            try:
                more = await self._round()
                pause = EVERY
                if clock.monotonic() >= clean_at:
                    clean_at = clock.monotonic() + CLEAN_EVERY
                    await self._hand.do(self._clean)
            except Exception as error:  # noqa: BLE001 (predictions go on, whatever the database does)
                self._failed(error)
                pause = min(2 * pause, 5.0)
            if not more:
                await within(pause, self._ending)
            elif self._busy and self._written > before and not self._hurried:
                await within(GIVES_WAY * (clock.monotonic() - begun), self._ending)

    async def watch(self) -> None:
        """Keep up to date how large the backlog is, also while the database does not answer, and whether the
        machine has time."""
        while True:
            await asyncio.sleep(EVERY)
            self._busy = psutil.cpu_percent() > BUSY
            self.done.backlog = max(0, self._known + self._size() - self._written)

    async def end(self, patience: float) -> str | None:
        """Record what is left, within so many seconds; else tell what was not."""
        self._ending.set()
        try:
            async with asyncio.timeout(patience):
                while await self._round():
                    pass
            return None
        except TimeoutError:
            return "the database did not answer in time"
        except Exception as error:  # noqa: BLE001 (told; the next one that serves records it)
            self._failed(error)
            return self.done.problem

    async def _round(self) -> bool:
        """Whether there may be more."""
        async with self._one:
            limit = ROUND if self._hurried else GENTLE_ROUND
            written, done = await self._hand.do(partial(self._record, limit))
        kept = self.done
        kept.problem, kept.remedy = None, ""
        kept.rows += done.rows
        kept.damaged += done.damaged
        self._written, self._known = written, done.backlog
        kept.backlog = done.backlog
        for name, summary in done.summaries.items():
            if name in kept.summaries:
                kept.summaries[name].merge(summary)
            else:
                kept.summaries[name] = summary
        return done.lines >= limit

    @property
    def _hurried(self) -> bool:
        behind = self.done.backlog > HURRY * self._allowed
        return behind or self.awaited or self._ending.is_set()

    def _record(self, limit: int) -> tuple[int, Recorded]:
        denied = self._project.store.denied()  # also where there is nothing to record yet
        if denied is not None:
            raise denied
        done = recording.record(self._project, limit=limit)
        return self._size(), done

    def _clean(self) -> None:
        recording.clean(self._project, keep_days=self._keep_days)

    def _size(self) -> int:
        total = 0
        for path in recording.log_folder(self._project).glob("*.jsonl"):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def _failed(self, error: Exception) -> None:
        if isinstance(error, MLOpsError):
            self.done.problem, self.done.remedy = error.message, error.remedy
        else:
            self.done.problem, self.done.remedy = f"{type(error).__name__}: {error}", ""
            _log.error("recording failed", exc_info=error)
