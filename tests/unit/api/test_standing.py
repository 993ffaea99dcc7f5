"""Whether a model that failed still answers at all: it is not the request's fault then."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.clocks import Hands

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.front.front import Front, Limits
from everloop.api.front.standing import FIRST_PAUSE
from everloop.api.front.tables import Shown, Table, table_of
from everloop.core.clock import SystemClock
from everloop.core.contracts import ColumnRule
from everloop.core.serving import Field, Form
from everloop.serving import desk
from everloop.serving.desk import Ask, Served


class Model:
    """Gives back its first field; ``bad`` rows make it fail, and where it is ``broken`` all do."""

    broken = False
    bad = 13.0
    asked = 0

    def __call__(self, matrix: Any) -> Any:
        self.asked += 1
        if self.broken or (matrix[:, 0] == self.bad).any():
            raise RuntimeError("out of order")
        return matrix[:, 0]


NOW = datetime(2026, 3, 1, tzinfo=UTC)
FORM = Form("onnx", "", "regression", (), (Field("a"),))


def front_of(folder: Path, shown: Shown, clock: Hands | None = None) -> Front:
    journal = Journal(folder, "w", 1_000_000)
    front = Front(asyncio.get_running_loop(), clock or SystemClock(), journal, Limits())
    front.table = table_of({shown.name: shown}, shown.name)
    return front


async def ask(front: Front, value: float) -> bool:
    """Whether the default model, or what stands in for it, answers."""
    asked = Ask(json.dumps({"features": [value]}).encode(), "r")
    batch = desk.prepare(front.table.hot[b"/predict"], [asked], 10)
    await front._again(batch, front.limits.deadline)
    assert asked.reply is not None
    return asked.reply.error is None


def down(front: Front) -> bool:
    (shown,) = front.table.models.values()
    return front.down(shown.targets["plain"].model, shown) is not None


def served(version: str, run: Model, form: Form = FORM) -> Served:
    return Served("m", version, "champion", form, run)


def test_bad_rows_leave_a_model_ready_and_a_broken_one_is_found_and_found_well_again(tmp_path: Path) -> None:
    async def work() -> None:
        model, clock = Model(), Hands(NOW)
        front = front_of(tmp_path, Shown("m", {"1": served("1", model)}, "1"), clock)
        assert await ask(front, 2.0)
        for _ in range(20):
            assert not await ask(front, Model.bad)
        await front.standing.look(front.table)
        assert not down(front)
        model.broken = True
        assert not down(front)  # nobody has asked it
        assert not await ask(front, 2.0)
        await front.standing.look(front.table)
        assert down(front)
        model.broken = False
        clock.sleep(FIRST_PAUSE)
        await front.standing.look(front.table)  # without any request: who is not ready is asked nothing
        assert not down(front)

    asyncio.run(work())


def test_one_that_is_down_is_asked_ever_more_rarely(tmp_path: Path) -> None:
    async def work() -> None:
        model, clock = Model(), Hands(NOW)
        model.broken = True
        front = front_of(tmp_path, Shown("m", {"1": served("1", model)}, "1"), clock)
        assert not await ask(front, 2.0)
        asked: list[int] = []
        for second in range(100):
            before = model.asked
            await front.standing.look(front.table)
            asked += [second] * (model.asked - before)
            clock.sleep(1.0)
        assert asked == [0, 1, 3, 7, 15, 31, 61, 91]

    asyncio.run(work())


def test_an_answer_to_anybody_ends_it(tmp_path: Path) -> None:
    async def work() -> None:
        model = Model()
        model.bad = 0.0  # what it would be tried with
        front = front_of(tmp_path, Shown("m", {"1": served("1", model)}, "1"))
        assert not await ask(front, 0.0)
        await front.standing.look(front.table)
        assert down(front)
        assert await ask(front, 5.0)
        assert not down(front)
        assert not await ask(front, 0.0)
        await front.standing.look(front.table)
        assert not down(front)

    asyncio.run(work())


@pytest.mark.parametrize("instead", ["fallback", "constant"])
def test_what_is_answered_for_is_ready_as_long_as_that_answers(tmp_path: Path, instead: str) -> None:
    async def work() -> None:
        model, before = Model(), Model()
        model.broken = True
        versions = {"2": served("2", model), "1": served("1", before)}
        shown = Shown("m", versions, "2", *(("1",) if instead == "fallback" else (None, (7.0,))))
        front = front_of(tmp_path, shown)
        assert await ask(front, 2.0)
        await front.standing.look(front.table)
        assert not down(front)
        assert front.down(versions["2"], shown, named=True)  # for who asks for it by name
        before.broken = True
        assert await ask(front, 2.0) is (instead == "constant")
        await front.standing.look(front.table)
        assert down(front) is (instead == "fallback")

    asyncio.run(work())


def test_a_row_that_is_no_row_of_the_model_says_nothing(tmp_path: Path) -> None:
    """One made up for a model that has answered nothing yet, and that its contract refuses."""
    odd = replace(FORM, fields=(Field("a", rule=ColumnRule("a", minimum=5.0, maximum=1.0)),))

    async def work() -> None:
        front = front_of(tmp_path, Shown("m", {"1": served("1", Model(), odd)}, "1"))
        front.standing.failed(front.table.models["m"].versions["1"])
        await front.standing.look(front.table)
        assert not down(front)

    asyncio.run(work())


def test_what_is_not_served_any_more_is_forgotten(tmp_path: Path) -> None:
    async def work() -> None:
        model = Model()
        model.broken = True
        front = front_of(tmp_path, Shown("m", {"1": served("1", model)}, "1"))
        assert not await ask(front, 2.0)
        await front.standing.look(front.table)
        shown = front.table.models["m"]
        assert front.standing.is_down(shown.versions["1"])
        await front.standing.look(Table())
        assert not front.standing.is_down(shown.versions["1"])

    asyncio.run(work())


FIELDS = (
    Field("low", rule=ColumnRule("low", minimum=10.0)),
    Field("between", rule=ColumnRule("between", minimum=10.0, maximum=20.0)),
    Field("levels", "category", ("x", "y")),
    Field("text", "category", None, rule=ColumnRule("text", allowed=("p", "q"))),
    Field("flag", "boolean"),
    Field("when", "time"),
    Field("zoned", "time[Europe/Oslo]"),
    Field("free", "any"),
)


def test_the_row_made_up_is_one_that_nothing_speaks_against(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Native:
        async def run(self, model: Served, rows: list[Any], timeout: float) -> Any:
            model.inputs.encode(rows)
            seen.extend(rows)
            raise RuntimeError

    async def work() -> None:
        form = Form("native", "", "regression", (), FIELDS, "columns")
        model = Served("m", "1", "champion", form, None)
        front = front_of(tmp_path, Shown("m", {"1": model}, "1"))
        front.native = Native()
        front.standing.failed(model)
        await front.standing.look(front.table)
        assert down(front)

    asyncio.run(work())
    assert seen == [[10.0, 15.0, "x", "p", False, "2020-01-01T00:00:00", "2020-01-01T00:00:00", 0.0]]
