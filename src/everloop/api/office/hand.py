"""A thread that does one thing after the other for an event loop, and that nothing waits for at the end: a
database that does not answer must not keep a server from stopping."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Hand:
    """No thread of a lower priority: one that holds the interpreter's lock while others use the machine
    would hold up the whole process."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. Who no longer waits for it does not stop it."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put((work, done))
        return await done

    def _run(self) -> None:
        while True:
            work, done = self._work.get()
            if done.cancelled():
                continue
            try:
                found = work()
            except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
                self._tell(done, None, error)
            else:
                self._tell(done, found, None)

    def _tell(self, done: asyncio.Future[Any], found: Any, error: BaseException | None) -> None:
        def tell() -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(found)
            else:
                done.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the loop has ended
            done.get_loop().call_soon_threadsafe(tell)


async def within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
