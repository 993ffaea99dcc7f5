"""Work that nobody waits for: each kind is done by a process of its own, which is started when something is
due and ends when nothing is left. ``ERRANDS`` is the list of it, for ``serve`` and for ``everloop worker``.

Several who work on one project share it: each kind takes its work by a lease, a lock, or a row that only one
can write, so nothing is done twice.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass

from everloop import wiring
from everloop.adapters.courier import AWAY
from everloop.adapters.courier import MODULE as COURIER
from everloop.core.errors import MLOpsError
from everloop.core.ids import token
from everloop.flows import delivery, states
from everloop.flows.alerts import delivering
from everloop.flows.loop.lookout import Lookout
from everloop.flows.monitoring import spans
from everloop.flows.project import Project
from everloop.flows.serving import jobs

from .hand import Hand, within
from .starting import Starter

LONGEST_PAUSE = 60.0  # seconds, where looks are not rarer anyway
SOON = 5.0  # seconds in which a process that was told to stop has to end

Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Errand:
    """``module`` does it, where ``due`` says that there is something; that is looked at every ``every``
    seconds. ``give_back``: it is told to stop at the end and may finish what it has begun; what it could not
    finish in time others take at once. One without is cut off: it goes on from there when it begins again.
    ``near``: by the last look there will be something soon, and its process is started ahead."""

    name: str
    module: str
    every: float
    due: Callable[[Project], bool]
    give_back: Callable[[Project, str], object] | None = None
    near: Callable[[], bool] = lambda: False


_LOOKOUT = Lookout()


def _for_mlflow(project: Project) -> bool:
    """Something waits, and somebody is there: its library takes seconds to load."""
    return delivery.is_due(project) and wiring.ping_tracking(project.settings) is None


ERRANDS = (
    Errand("jobs", "everloop.worker.jobs", 1.0, _LOOKOUT, jobs.give_back, lambda: _LOOKOUT.near),
    Errand("releases", "everloop.worker.releases", 1.0, lambda project: bool(states.running(project))),
    Errand("alerts", "everloop.worker.alerts", 2.0, delivering.is_due),
    Errand("monitors", "everloop.worker.monitors", 300.0, lambda project: bool(spans.waiting(project))),
    Errand("mlflow", COURIER, 5.0, _for_mlflow),
)


async def keep(
    errand: Errand, project: Project, say: Say = silent, nudge: asyncio.Event | None = None
) -> None:
    """For an office: do what is due until cancelled. ``nudge``: something may be due now. Jobs go on then."""
    looker, starter = Hand(f"everloop-{errand.name}"), Starter(errand.module, project)
    nudge = nudge or asyncio.Event()
    pause = errand.every
    try:
        while True:
            try:
                if await looker.do(lambda: errand.due(project)):
                    process = await starter.start(stays=True)
                    try:
                        code = await process.wait()
                    finally:
                        if errand.give_back is None and process.returncode is None:
                            process.terminate()
                            await process.wait()
                    pause = after(errand, code, pause, say)
                else:
                    await starter.keep_ready(errand.near())
            except MLOpsError:
                pass  # the database does not answer: others tell that
            except Exception as error:  # noqa: BLE001 (one errand that fails does not end what answers)
                pause = _failed(errand, error, pause, say)
            await within(pause, nudge)
            nudge.clear()
    finally:
        await starter.keep_ready(False)


@dataclass(frozen=True)
class Shift:
    """Of a worker: ``finish`` seconds for what is under way when it is ``stopping``. ``shows``: processes say
    on stderr what they do."""

    stopping: asyncio.Event
    finish: float
    say: Say = silent
    shows: bool = False


async def attend(errand: Errand, project: Project, shift: Shift) -> None:
    """For a worker: do what is due until it is stopping. What does not end in time then is given back."""
    stopping, say = shift.stopping, shift.say
    looker, starter = Hand(f"everloop-{errand.name}"), Starter(errand.module, project)
    pause = errand.every
    try:
        while not stopping.is_set():
            try:
                due = await looker.do(lambda: errand.due(project))
            except Exception as error:  # noqa: BLE001 (one errand that fails does not end the others)
                pause = _failed(errand, error, pause, say)
            else:
                if due and not stopping.is_set():
                    code = await _see_through(errand, project, shift, starter)
                    pause = after(errand, code, pause, say)
                else:
                    await starter.keep_ready(errand.near() and not stopping.is_set())
                    pause = errand.every
            await within(pause, stopping)
    finally:
        await starter.keep_ready(False)


async def once(errand: Errand, project: Project, *, shows: bool = False) -> int | None:
    """Do what is due now. Returns the exit code of the process that did it, None where nothing was due.
    Raises what the database says."""
    if not errand.due(project):
        return None
    process = await Starter(errand.module, project).start(once=True, shows=shows)
    try:
        return await process.wait()
    finally:
        await _end(process, SOON)


def after(errand: Errand, code: int, pause: float, say: Say) -> float:
    """Seconds until the next look: ever longer while its processes come to nothing, which is said."""
    if code == 0:
        return errand.every
    before, pause = pause, _longer(errand, pause)
    if pause > before or code != AWAY:
        what = "what it needs is away or busy" if code == AWAY else f"its process {ending(code)}"
        say(f"{errand.name}: {what}. It is tried again in {pause:g} s.")
    return pause


def _failed(errand: Errand, error: Exception, pause: float, say: Say) -> float:
    """Seconds until the next look after one that failed, which is said."""
    pause = _longer(errand, pause)
    what = str(error) if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}."
    say(f"{errand.name}: {what} It is looked at again in {pause:g} s.")
    return pause


def ending(code: int) -> str:
    """How a process ended, in words."""
    return f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"


def _longer(errand: Errand, pause: float) -> float:
    return max(errand.every, min(2 * pause, LONGEST_PAUSE))


async def _see_through(errand: Errand, project: Project, shift: Shift, starter: Starter) -> int:
    owner, say, finish = f"worker-{token()}", shift.say, shift.finish
    process = await starter.start(owner=owner, shows=shift.shows)
    ended = asyncio.create_task(process.wait())
    told = asyncio.create_task(shift.stopping.wait())
    try:
        await asyncio.wait((ended, told), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return ended.result()
        if errand.give_back is None:
            await _end(process, SOON)
            return 0
        say(f"{errand.name}: what is under way has {finish:g} s to end.")
        if not await _end(process, finish):
            await asyncio.to_thread(errand.give_back, project, owner)
            say(f"{errand.name}: given back; another worker goes on with it.")
        return 0
    finally:
        told.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _end(process: Process, patience: float) -> bool:
    """Tell it to stop; whether it ended in time. One that did not is killed: all work survives that."""
    if process.returncode is not None:
        return True
    process.terminate()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
        return True
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
