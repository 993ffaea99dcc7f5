"""A look that fails is told, and looked at again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from everloop.api.office import errands
from everloop.api.office.errands import Errand, Shift
from everloop.core.errors import Unavailable

PROJECT: Any = None
PATIENCE = 30.0  # seconds, until a test gives up


class Looks:
    """The first two fail."""

    def __init__(self, error: Exception) -> None:
        self.error, self.many = error, 0

    def due(self, project: Any) -> bool:
        self.many += 1
        if self.many <= 2:
            raise self.error
        return False


async def kept(error: Exception) -> list[str]:
    looks, said = Looks(error), []
    task = asyncio.create_task(errands.keep(Errand("odd", "none", 0.01, looks.due), PROJECT, said.append))
    async with asyncio.timeout(PATIENCE):
        while looks.many < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return said


def test_a_look_that_fails_ends_no_server() -> None:
    assert asyncio.run(kept(KeyError("rows"))) == [
        "odd: KeyError: 'rows'. It is looked at again in 0.02 s.",
        "odd: KeyError: 'rows'. It is looked at again in 0.04 s.",
    ]
    assert asyncio.run(kept(Unavailable("The database is away."))) == []


def test_nor_a_worker() -> None:
    async def attended() -> list[str]:
        looks, said, stopping = Looks(ValueError("odd")), [], asyncio.Event()
        errand = Errand("odd", "none", 0.01, looks.due)
        task = asyncio.create_task(errands.attend(errand, PROJECT, Shift(stopping, 1.0, said.append)))
        async with asyncio.timeout(PATIENCE):
            while looks.many < 3:
                await asyncio.sleep(0.01)
            stopping.set()
            await task
        return said

    assert asyncio.run(attended())[0] == "odd: ValueError: odd. It is looked at again in 0.02 s."
