"""When the next batch of a model begins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from everloop.api.front import waiting as module
from everloop.api.front.waiting import MOST, Waiting
from everloop.serving.desk import Scores

FOREVER, AT_ONCE = 1e9, 1e-9  # seconds that the last batch took


@pytest.fixture(autouse=True)
def without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment is no reason to give up waiting."""
    monkeypatch.setattr(module, "LONGEST", FOREVER)


def ask(waiting: Waiting, rows: int = 1) -> asyncio.Future[Scores]:
    done: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
    waiting.add(([[1.0]] * rows, done))
    return done


async def ready(task: asyncio.Task[Any]) -> bool:
    """After all that can happen without time passing has happened."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


def test_a_batch_is_all_that_waits_and_still_wants_an_answer() -> None:
    async def told() -> None:
        waiting = Waiting()
        assert waiting.take() == []
        gone, *kept = [ask(waiting) for _ in range(4)]
        gone.cancel()
        assert [done for _, done in waiting.take()] == kept
        assert waiting.take() == []
        large = [ask(waiting, MOST - 1) for _ in range(3)]
        assert [done for _, done in waiting.take()] == large[:2]
        assert [done for _, done in waiting.take()] == large[2:]

    asyncio.run(told())


def test_who_is_alone_never_waits() -> None:
    async def told() -> None:
        await Waiting().come_back(1, FOREVER)
        await Waiting().come_back(0, FOREVER)

    asyncio.run(told())


def test_the_next_batch_waits_for_those_that_were_just_answered() -> None:
    async def told() -> None:
        waiting = Waiting()
        ask(waiting)  # came while the last batch ran
        back = asyncio.create_task(waiting.come_back(2, FOREVER))
        assert not await ready(back)
        ask(waiting)
        assert not await ready(back)
        ask(waiting)
        assert await ready(back)
        assert len(waiting.take()) == 3

    asyncio.run(told())


def test_a_full_batch_waits_for_nobody_and_a_slow_model_waits_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def told() -> None:
        waiting = Waiting()
        ask(waiting, MOST)
        await waiting.come_back(2, FOREVER)
        waiting.take()
        ask(waiting)
        back = asyncio.create_task(waiting.come_back(9, FOREVER))
        assert not await ready(back)
        ask(waiting, MOST)
        assert await ready(back)
        monkeypatch.setattr(module, "LONGEST", AT_ONCE)
        waiting.take()
        await Waiting().come_back(2, FOREVER)

    asyncio.run(told())


def test_where_they_do_not_come_back_ever_more_batches_do_not_wait() -> None:
    async def told() -> None:
        waiting = Waiting()
        for left_out in (1, 2, 4):
            await waiting.come_back(4, AT_ONCE)  # nobody comes
            for _ in range(left_out):
                await waiting.come_back(4, FOREVER)
        back = asyncio.create_task(waiting.come_back(4, FOREVER))
        assert not await ready(back)
        for _ in range(4):
            ask(waiting)
        assert await ready(back)  # all of them came: the next one waits again
        waiting.take()
        again = asyncio.create_task(waiting.come_back(2, FOREVER))
        assert not await ready(again)
        again.cancel()

    asyncio.run(told())
