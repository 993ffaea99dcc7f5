"""The process of models that are not compiled: it hangs, it is killed, and it answers again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import psutil
import pytest

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.front.front import Front, Limits
from everloop.api.front.loading import Native
from everloop.api.front.native import SHARED, NativeProcess
from everloop.api.front.tables import Shown, table_of
from everloop.core.clock import SystemClock
from everloop.core.errors import TimedOut, Unavailable
from everloop.core.serving import Field, Form
from everloop.serving import desk
from everloop.serving.desk import Ask, Served

FORM = Form("native", "", "regression", (), (Field("a"),))
PLENTY = 60.0  # seconds
HANG, DIE, FAIL = 100.0, -1.0, 13.0  # rows at which the model does so


def native(key: str, model: Any) -> Native:
    return key, "cloudpickle", cloudpickle.dumps(model), FORM


def odd() -> Any:
    """A model that gives back what it is given, but for some rows."""

    class Odd:
        def predict(self, frame: Any) -> Any:
            import os
            import time

            values = frame["a"].to_numpy()
            if (values == 100.0).any():
                time.sleep(600)
            if (values == -1.0).any():
                os._exit(3)
            if (values == 13.0).any():
                raise ValueError("13 brings bad luck")
            return values

    return Odd()


def once(mark: Path) -> Any:
    """A model that can be loaded once."""

    class Once:
        def __init__(self, mark: Path) -> None:
            self.mark = mark

        def predict(self, frame: Any) -> Any:
            return 7 * frame["a"].to_numpy()

        def __setstate__(self, state: dict[str, Any]) -> None:
            if state["mark"].exists():
                raise OSError("the second time")
            state["mark"].touch()
            self.__dict__.update(state)

    return Once(mark)


def deadly(mark: Path) -> Any:
    """A model that ends its process whatever it is asked, and says so before."""

    class Deadly:
        def predict(self, frame: Any) -> Any:
            import os

            with mark.open("a") as opened:
                opened.write("x")
            os._exit(3)

    return Deadly()


def stillborn() -> Any:
    """A model that ends the process that loads it."""

    class Stillborn:
        def __getstate__(self) -> dict[str, Any]:
            return {"some": "state"}

        def __setstate__(self, state: dict[str, Any]) -> None:
            import os

            os._exit(4)

    return Stillborn()


def served(version: str = "1.0.0") -> Served:
    return Served("kind", version, "champion", FORM, None)


def children() -> set[int]:
    return {one.pid for one in psutil.Process().children()}


def running(work: Callable[[NativeProcess], Awaitable[None]]) -> None:
    async def run() -> None:
        process = NativeProcess()
        try:
            async with asyncio.timeout(120):
                await work(process)
        finally:
            await process.close()

    asyncio.run(run())


async def answers(process: NativeProcess, value: float, version: str = "1.0.0", times: float = 1.0) -> None:
    scores = await process.run(served(version), [[value]], PLENTY)
    np.testing.assert_array_equal(scores, [times * value])


def test_a_model_that_hung_is_served_again_with_all_others(tmp_path: Path) -> None:
    """Also those after one that cannot be loaded a second time."""

    async def work(process: NativeProcess) -> None:
        mark = tmp_path / "loaded"
        loads = [native("kind@1.0.0", odd()), native("kind@2.0.0", once(mark)), native("kind@3.0.0", odd())]
        assert await process.load(loads) == {}
        await answers(process, 2.0, "2.0.0", 7.0)
        hanging = asyncio.create_task(process.run(served(), [[HANG]], 0.3))
        await asyncio.sleep(0.05)
        beside = [asyncio.create_task(process.run(served(), [[float(n)]], PLENTY)) for n in range(8)]
        with pytest.raises(TimedOut):
            await hanging
        assert [(await one).tolist() for one in beside] == [[float(n)] for n in range(8)]
        for n in range(3):
            await answers(process, float(n))
            await answers(process, float(n), "3.0.0")
        with pytest.raises(Unavailable, match="the second time"):
            await process.run(served("2.0.0"), [[1.0]], PLENTY)
        await answers(process, 5.0)

    running(work)


async def again(process: NativeProcess, value: float) -> None:
    """It answers, when it has rested."""
    while True:
        try:
            return await answers(process, value)
        except Unavailable as error:
            if "rests" not in error.message:
                raise
            await asyncio.sleep(0.02)


def test_a_model_that_ended_its_process_answers_again_and_others_ask_once_more() -> None:
    async def work(process: NativeProcess) -> None:
        await process.load([native("kind@1.0.0", odd()), native("kind@2.0.0", odd())])
        dying = asyncio.create_task(process.run(served(), [[DIE]], PLENTY))
        beside = asyncio.create_task(process.run(served("2.0.0"), [[4.0]], PLENTY))
        with pytest.raises(Unavailable, match=r"kind@1.0.0 died"):
            await dying
        assert (await beside).tolist() == [4.0]
        await again(process, 1.0)

    running(work)


def test_what_died_is_never_asked_twice_and_rests_ever_longer_alone(tmp_path: Path) -> None:
    """Ten bursts of requests that end the process: it dies once, all others are refused at once, and no other
    model dies with it after the first time."""
    told: list[tuple[str, str]] = []

    async def work(process: NativeProcess) -> None:
        process._crashed = lambda key, problem: told.append((key, problem))
        loads = [native("kind@1.0.0", deadly(tmp_path / "asked")), native("kind@2.0.0", odd())]
        assert await process.load(loads) == {}
        refused = 0
        for _ in range(10):
            burst = [process.run(served(), [[1.0]], PLENTY) for _ in range(5)]
            for found in await asyncio.gather(*burst, return_exceptions=True):
                assert isinstance(found, Unavailable)
                if "rests" in found.message:
                    refused += 1
                    assert found.message == "kind@1.0.0 rests: its process died once."
        first = len(told)
        assert first == 1
        assert refused >= 40 - 5
        await answers(process, 4.0, "2.0.0")
        others = process._rooms[SHARED].running
        while len(told) < first + 2:
            with pytest.raises(Unavailable):
                await process.run(served(), [[1.0]], PLENTY)
            await asyncio.sleep(0.02)
            await answers(process, 4.0, "2.0.0")
        assert process._rooms[SHARED].running is others
        assert len((tmp_path / "asked").read_text()) == len(told)  # each time one batch, once

    running(work)
    assert {key for key, _ in told} == {"kind@1.0.0"}
    assert told[0][1] == "its process died (code 3)"


def test_a_process_that_somebody_ends_comes_again_by_itself() -> None:
    async def work(process: NativeProcess) -> None:
        others = children()
        await process.load([native("kind@1.0.0", odd())])
        (killed,) = children() - others
        psutil.Process(killed).kill()
        while not children() - others - {killed}:
            await asyncio.sleep(0.01)
        await answers(process, 3.0)
        assert process._crashes == {}  # it was not the model

    running(work)


def test_a_model_that_dies_where_it_is_loaded_is_not_tried_again_and_takes_no_other_along() -> None:
    told: list[str] = []

    async def work(process: NativeProcess) -> None:
        process._crashed = lambda key, problem: told.append(key)
        failed = await process.load([native("kind@1.0.0", odd()), native("kind@2.0.0", stillborn())])
        assert set(failed) == {"kind@2.0.0"}
        await answers(process, 3.0)
        with pytest.raises(Unavailable, match="not loaded"):
            await process.run(served("2.0.0"), [[1.0]], PLENTY)

    running(work)
    assert told == ["kind@2.0.0"]


def test_a_request_of_a_killed_process_is_asked_once_more() -> None:
    async def work(process: NativeProcess) -> None:
        await process.load([native("kind@1.0.0", odd()), native("kind@2.0.0", odd())])
        hanging = asyncio.create_task(process.run(served("2.0.0"), [[HANG]], 0.5))
        await asyncio.sleep(0.1)
        await answers(process, 4.0)  # waited behind it, in the process that was killed for it
        with pytest.raises(TimedOut):
            await hanging

    running(work)


def test_who_came_along_with_rows_that_make_the_model_fail_is_answered() -> None:
    async def work(process: NativeProcess) -> None:
        await process.load([native("kind@1.0.0", odd())])
        given = [1.0, FAIL, 2.0, 3.0, 4.0, FAIL, 5.0]
        asked = [process.run(served(), [[value]], PLENTY) for value in [0.0, *given]]  # the first goes alone
        found = (await asyncio.gather(*asked, return_exceptions=True))[1:]
        for value, scores in zip(given, found, strict=True):
            if value == FAIL:
                assert isinstance(scores, desk.Raised)
            else:
                np.testing.assert_array_equal(scores, [value])

    running(work)


def test_a_client_in_a_hurry_ends_no_process(tmp_path: Path) -> None:
    async def work(process: NativeProcess) -> None:
        await process.load([native("kind@1.0.0", odd())])
        front = Front(asyncio.get_running_loop(), SystemClock(), Journal(tmp_path, "w", 1_000_000), Limits())
        front.native = process
        front.table = table_of({"kind": Shown("kind", {"1.0.0": served()}, "1.0.0")}, "kind")
        before = children()
        for deadline in (0.001, 0.001, 30.0):
            ask = Ask(json.dumps({"features": {"a": 3.0}}).encode(), "r")
            batch = desk.prepare(front.table.hot[b"/predict"], [ask], 10)
            await front.run_native(batch, deadline)
            assert ask.reply is not None
            if deadline < 1:
                assert isinstance(ask.reply.error, TimedOut)
            else:
                assert json.loads(ask.reply.body)["prediction"] == 3.0
        assert children() == before

    running(work)
