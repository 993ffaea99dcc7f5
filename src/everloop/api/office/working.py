"""A worker: all errands of a project, without an API. Any number of them share the work of one project."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from everloop.flows.project import Project

from . import errands


def run(
    project: Project, say: errands.Say, ready: Callable[[list[str]], None], *, shows: bool = True
) -> None:
    """Work until SIGTERM or SIGINT; a second one cuts off what is under way. ``ready`` gets the names of the
    errands; ``shows``: they say on stderr what they do."""
    asyncio.run(_work(project, say, ready, shows))


def once(project: Project, *, shows: bool = True) -> dict[str, int | None]:
    """Do what is due now. Returns, by errand, the exit code of its process; None where nothing was due."""
    return asyncio.run(_once(project, shows))


async def _once(project: Project, shows: bool) -> dict[str, int | None]:
    return {errand.name: await errands.once(errand, project, shows=shows) for errand in errands.ERRANDS}


async def _work(project: Project, say: errands.Say, ready: Callable[[list[str]], None], shows: bool) -> None:
    stopping = asyncio.Event()
    shift = errands.Shift(stopping, project.settings.worker.finish, say, shows)
    working = [asyncio.create_task(errands.attend(errand, project, shift)) for errand in errands.ERRANDS]

    def stop() -> None:
        if stopping.is_set():
            for task in working:
                task.cancel()
            return
        say("Stopping: nothing new is begun.")
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    for task in working:
        task.add_done_callback(lambda _: stopping.set())  # one that fails ends the others
    ready([errand.name for errand in errands.ERRANDS])
    if denied := project.store.denied():
        say(f"{denied} Until it can be written, nothing is done.")
    await asyncio.wait(working)
    for task in working:
        with contextlib.suppress(asyncio.CancelledError):
            task.result()
