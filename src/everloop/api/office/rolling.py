"""A version that comes to one worker after the other: each only when the one before has it and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .plans import Plans
from .workers import WorkerProcess

TAKES = 120.0  # seconds for a worker to load a plan
ANSWERS = 30.0  # seconds for it to say something then: the machine may be busy


async def one_by_one(
    plans: Plans, living: Callable[[], Iterable[WorkerProcess]], send: Callable[[WorkerProcess], None]
) -> set[str]:
    """Bring the newest plan to all workers; returns the releases that all of them have then. Where one cannot
    take it, the others keep what they have, and ``plans.problems`` tells why."""
    number, coming = plans.number, plans.rolling()
    while number == plans.number:
        left = [worker for worker in living() if worker.plan != number and not worker.stopping]
        if not left:
            plans.rolled |= set(coming.values())
            return set(coming.values())
        worker = min(left, key=lambda one: one.slot)
        if worker.told != number:
            send(worker)
        problem = await _taken(worker, number, set(coming))
        if problem and number == plans.number:
            for name in coming:
                plans.problems.setdefault(name, problem)
            break
    return set()


async def _taken(worker: WorkerProcess, number: int, coming: set[str]) -> str:
    """Why a worker did not take a plan; empty where it did, and answers."""
    try:
        async with asyncio.timeout(TAKES):
            while worker.plan < number:
                if worker.gone.is_set():
                    code = worker.process.returncode
                    return f"Worker {worker.slot} ended when it was to load it (code {code})."
                await asyncio.sleep(0.02)
    except TimeoutError:
        return f"Worker {worker.slot} did not load it within {TAKES:g} s."
    failed = next((worker.failed[name] for name in coming if name in worker.failed), "")
    if failed:
        return failed
    answers = await worker.count(ANSWERS)
    return "" if answers else f"Worker {worker.slot} does not answer since it has it."
