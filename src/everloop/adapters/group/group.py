"""The group: its members are started at once, started again when they end, and ended one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from .member import Member, Running
from .places import Place, check_soon

LASTED = 10.0  # seconds after which one that answered counts as having lasted
LONGEST_PAUSE = 60.0  # seconds
OFTEN = 5  # ends in a row that are told apart
ASK_EVERY = 0.25  # seconds between questions whether a member answers
SLOW = 60.0  # seconds after which it is said that one does not answer yet

Say = Callable[[str, str], None]


def pause_after(ends: int) -> float:
    """Seconds until a member is started again that has ended so often in a row: at once, then ever later."""
    return 0.0 if ends <= 1 else min(2.0 ** (ends - 2), LONGEST_PAUSE)


class Group:
    """``told`` by member, the document that it reads on its standard input. ``say`` hears each line of a
    member, under its name, and what happens to it."""

    def __init__(self, members: Sequence[Member], told: Mapping[str, Mapping[str, Any]], say: Say) -> None:
        self._members = members
        self._told = told
        self._say = say
        self._running: dict[str, Running] = {}
        self._answered: dict[str, asyncio.Event] = {}
        self._stopping = asyncio.Event()
        self._hasty = asyncio.Event()

    async def run(self, places: Sequence[Place], ready: Callable[[], None]) -> bool:
        """Keep the group until SIGTERM or SIGINT; a second one ends all of it at once. ``ready`` is called
        when each has answered. Returns whether all ended in order. Raises Conflict for a port in use."""
        await check_soon(places)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._answered = {member.name: asyncio.Event() for member in self._members}
        tasks = [asyncio.create_task(self._keep(member)) for member in self._members]
        first = asyncio.create_task(self._all_ready(ready))
        await _either(self._stopping.wait(), *tasks)  # a task that ends before has failed
        self._stopping.set()
        first.cancel()
        in_order = await self._end()
        await asyncio.gather(*tasks)
        return in_order

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._hasty.set()
            for running in self._running.values():
                running.kill()
        self._stopping.set()

    # -- one member ------------------------------------------------------------------------------------------

    async def _keep(self, member: Member) -> None:
        ends = 0
        while not self._stopping.is_set():
            lasted = False
            try:
                running = await Running.start(
                    member, self._told[member.name], lambda line: self._say(member.name, line)
                )
            except OSError as error:
                how = f"cannot be started: {(error.strerror or '').lower()}"
            else:
                how, lasted = await self._watch(running)
            if self._stopping.is_set():
                return
            ends = 1 if lasted else ends + 1
            pause = pause_after(ends)
            again = f"It starts again {f'in {pause:g} s' if pause else 'now'}."
            self._say(member.name, f"{how}. {again}")
            if ends == OFTEN:
                others = " and ".join(one.name for one in self._members if one is not member)
                self._say(
                    member.name,
                    f"has ended {ends} times in a row: its lines above say why. It is tried ever more "
                    f"rarely, every {LONGEST_PAUSE:g} s at last; {others} go on.",
                )
            await _either(self._stopping.wait(), asyncio.sleep(pause))

    async def _watch(self, running: Running) -> tuple[str, bool]:
        """How a process ended, in words, and whether it had lasted."""
        loop = asyncio.get_running_loop()
        member = running.member
        self._running[member.name] = running
        asked = asyncio.create_task(self._ask(running))
        answering: list[float] = []

        def note(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                answering.append(loop.time())

        asked.add_done_callback(note)
        try:
            code = await running.ended()
        finally:
            asked.cancel()
            self._running.pop(member.name, None)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return how, bool(answering) and loop.time() - answering[0] > LASTED

    async def _ask(self, running: Running) -> None:
        """Return when the member answers."""
        member, answered = running.member, self._answered[running.member.name]
        if member.address is None:
            await running.heard.wait()
        else:
            while not await asyncio.to_thread(_answers, f"{member.address}/health"):
                await asyncio.sleep(ASK_EVERY)
        if answered.is_set():
            self._say(member.name, "is back.")
        answered.set()

    # -- all of them -----------------------------------------------------------------------------------------

    async def _all_ready(self, ready: Callable[[], None]) -> None:
        everybody = asyncio.gather(*(one.wait() for one in self._answered.values()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SLOW):
                await asyncio.shield(everybody)
        for name, answered in self._answered.items():
            if not answered.is_set():
                self._say(name, f"has not answered within {SLOW:g} s. It is waited for; the others go on.")
        await everybody
        ready()

    async def _end(self) -> bool:
        """In the order of the members; whether each ended by itself in time."""
        in_order = True
        for member in self._members:
            running = self._running.get(member.name)
            if running is None:
                continue
            self._say(member.name, "is told to stop.")
            if not await running.stop() and not self._hasty.is_set():
                self._say(member.name, f"did not end within {member.patience:g} s and was killed.")
                in_order = False
            await asyncio.sleep(0)  # its last lines come first
        return in_order and not self._hasty.is_set()


def _answers(address: str) -> bool:
    """Whether somebody answers there, whatever is said."""
    try:
        with urlopen(address, timeout=2.0):  # noqa: S310 (http, made from a host and a port)
            return True
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False


async def _either(*works: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> None:
    """Wait for the first of these; those that are no tasks are given up then."""
    tasks = [work if isinstance(work, asyncio.Task) else asyncio.create_task(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, work in zip(tasks, works, strict=True):
        if task is not work:
            task.cancel()
