"""Durable steps: each step's result is kept in the same transaction as its effects on the store.

A turn that is killed at any point has done some steps wholly, the others not at all; running it again takes
the results of the finished ones from the journal and goes on. What a step writes outside the store is
addressed by its hash, so writing it again changes nothing. Why not a workflow library: docs/decisions/0002.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from everloop.core.errors import (
    MissingExtra,
    StorageDenied,
    StorageFull,
    TimedOut,
    Unavailable,
)
from everloop.core.turns import Listener
from everloop.store import turns
from everloop.store.database import Tx

from .project import Project

Document = Mapping[str, Any]
_FIRST_PAUSE = 0.5
_HOPELESS = (MissingExtra, StorageFull, StorageDenied, TimedOut)


class Journal:
    """The steps of one turn."""

    def __init__(self, project: Project, turn_id: str, listener: Listener) -> None:
        self.project = project
        self.turn_id = turn_id
        self._listener = listener
        self._position = 0
        self.seconds: dict[str, float] = {}

    def step(
        self,
        name: str,
        work: Callable[[], Document],
        record: Callable[[Tx, Document], None] | None = None,
        *,
        tell: Callable[[Document], str] = lambda _: "",
    ) -> Document:
        """The result of ``work``, done now or before a crash; ``record`` saves its effects with it.

        Unavailable things are tried again (``pipeline.retries``, doubling pauses); a step that takes longer
        than ``pipeline.timeout`` seconds raises TimedOut, and what it may still compute is thrown away.
        """
        self._position += 1
        store, clock = self.project.store, self.project.clock
        with store.reading() as tx:
            kept = turns.finished_step(tx, self.turn_id, name)
        if kept is not None:
            self._listener(name, "kept", tell(kept["result"]))
            return dict(kept["result"])
        with store.writing() as tx:
            attempt = turns.start_step(tx, self.turn_id, name, self._position, clock.now())
        self._listener(name, "running", "")
        begun = clock.monotonic()
        try:
            result = self._tried(name, work)
            with store.writing() as tx:
                turns.finish_step(tx, self.turn_id, name, attempt, result, clock.now())
                if record is not None:
                    record(tx, result)
        except Exception as error:
            with store.writing() as tx:
                turns.fail_step(tx, self.turn_id, name, attempt, str(error), clock.now())
            self._listener(name, "failed", str(error))
            raise
        self.seconds[name] = clock.monotonic() - begun
        self._listener(name, "done", tell(result))
        return result

    def _tried(self, name: str, work: Callable[[], Document]) -> Document:
        pipeline = self.project.settings.pipeline
        for retry in range(pipeline.retries + 1):
            try:
                return _within(pipeline.timeout, name, work)
            except Unavailable as error:
                if isinstance(error, _HOPELESS) or retry == pipeline.retries:
                    raise
                pause = _FIRST_PAUSE * 2**retry
                self._listener(name, "running", f"{error.message} Trying again in {pause:g} s.")
                self.project.clock.sleep(pause)
        raise AssertionError("unreachable")


def _within(seconds: float, name: str, work: Callable[[], Document]) -> Document:
    """Run ``work`` in a thread of its own and wait at most ``seconds`` for it."""
    outcome: dict[str, Any] = {}

    def target() -> None:
        try:
            outcome["result"] = work()
        except BaseException as error:  # noqa: BLE001 (raised again below, in the thread that waits)
            outcome["error"] = error

    worker = threading.Thread(target=target, name=f"step-{name}", daemon=True)
    worker.start()
    worker.join(seconds)
    if "error" in outcome:
        raise outcome["error"]
    if "result" not in outcome:
        raise TimedOut(
            f"Step '{name}' took longer than {seconds:g} s.",
            remedy="Give it more with pipeline.timeout, or less data.",
        )
    return dict(outcome["result"])
