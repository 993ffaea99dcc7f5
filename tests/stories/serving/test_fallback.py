"""A model that fails is answered for: by the champion before it, by a constant, or by an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.front.front import Front, Limits
from everloop.api.front.tables import Shown, table_of
from everloop.api.problems import status_of
from everloop.core.clock import SystemClock
from everloop.core.errors import TimedOut
from everloop.core.serving import Field, Form
from everloop.serving import desk
from everloop.serving.desk import Ask, Raised, Reply, Served

NUMBERS = {"a": 1.0, "b": 2.0}


def broken(_: Any) -> Any:
    raise RuntimeError("out of order")


def nothing(matrix: Any) -> Any:
    return np.full(len(matrix), np.nan)


def ten_a_plus_b(places: tuple[int, int]) -> Callable[[Any], Any]:
    """10 a + b, of a matrix that has a and b at these places."""
    return lambda matrix: 10 * matrix[:, places[0]] + matrix[:, places[1]]


def served(version: str, names: str, run: Callable[[Any], Any] | None) -> Served:
    form = Form("onnx" if run else "native", "", "regression", (), tuple(Field(name) for name in names))
    return Served("sum", version, "champion", form, run)


class Line:
    """Where answers come to."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def reply(self, ask: Ask) -> None:
        assert ask.reply is not None
        self.answered.set_result(ask.reply)

    def send(self) -> None:
        assert self.answered.done()


class Elsewhere:
    """The other process, where 10 a + b is computed of rows of b and a."""

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Any:
        return np.array([10 * a + b for b, a in rows])


def ask(
    folder: Path, champion: Served, before: Served | None, constant: float | None, path: bytes = b"/predict"
) -> tuple[Reply, Front, list[Any]]:
    """The answer, who gave it, and what was logged."""

    async def asked() -> tuple[Reply, Front]:
        front = Front(asyncio.get_running_loop(), SystemClock(), Journal(folder, "w", 1_000_000), Limits())
        front.native = Elsewhere()
        versions = {one.version: one for one in (champion, before) if one is not None}
        shown = Shown("sum", versions, champion.version, before and before.version, constant and (constant,))
        front.table = table_of({"sum": shown}, "sum")
        line = Line()
        front.ask(line, front.table.hot[path], Ask(json.dumps({"features": NUMBERS}).encode(), "r"))
        return await asyncio.wait_for(line.answered, 10), front

    reply, front = asyncio.run(asked())
    lines = "".join(path.read_text() for path in sorted(folder.glob("*.jsonl")))
    return reply, front, [json.loads(line) for line in lines.splitlines()]


@pytest.mark.parametrize("fails", [broken, nothing])
@pytest.mark.parametrize("before", [ten_a_plus_b((1, 0)), None], ids=["compiled", "in its own process"])
def test_the_champion_before_answers_with_its_own_order_of_fields(
    tmp_path: Path, fails: Callable[[Any], Any], before: Callable[[Any], Any] | None
) -> None:
    reply, front, logged = ask(tmp_path, served("2.0.0", "ab", fails), served("1.0.0", "ba", before), None)
    answer = json.loads(reply.body)
    assert (answer["prediction"], answer["model_version"], answer["variant"]) == (12.0, "1.0.0", "fallback")
    assert [(one["version"], one["prediction"], one["inputs"]) for one in logged] == [
        ("1.0.0", 12.0, NUMBERS)
    ]
    assert front.counts.events["fallback", "sum", "1.0.0"] == 1
    assert front.counts.events["model_failed", "sum", "2.0.0"] == 1


def test_a_constant_answers_where_the_champion_before_wants_more(tmp_path: Path) -> None:
    before = served("1.0.0", "abc", ten_a_plus_b((0, 1)))
    reply, _, logged = ask(tmp_path, served("2.0.0", "ab", broken), before, 7.0)
    answer = json.loads(reply.body)
    assert (answer["prediction"], answer["model_version"], answer["variant"]) == (7.0, "constant", "fallback")
    assert logged[0]["version"] == "constant"


def test_without_either_it_is_an_error_that_tells_nothing_of_the_inside(tmp_path: Path) -> None:
    reply, _, logged = ask(tmp_path, served("2.0.0", "ab", broken), None, None)
    assert reply.error is not None
    assert status_of(reply.error) == 503
    assert "out of order" not in str(reply.error)
    assert logged == []


@pytest.mark.parametrize("path", [b"/models/sum/versions/2.0.0/predict", b"/models/sum/predict"])
def test_for_a_version_that_was_named_no_other_answers(tmp_path: Path, path: bytes) -> None:
    before = served("1.0.0", "ab", ten_a_plus_b((0, 1)))
    reply, front, logged = ask(tmp_path, served("2.0.0", "ab", broken), before, 7.0, path)
    if b"versions" in path:
        assert reply.error is not None
        assert status_of(reply.error) == 503
        assert logged == []
        assert front.counts.events["model_failed", "sum", "2.0.0"] == 1
    else:
        assert json.loads(reply.body)["model_version"] == "1.0.0"


class Silent:
    """The other process, which never answers in time."""

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Any:
        raise TimedOut("The model gave no answer within 30 s.")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        (broken, "failed (RuntimeError)"),
        (nothing, "gave a result that is no number"),
        (None, "gave no answer within 30 s"),
    ],
)
def test_why_a_model_failed_is_logged_once_also_where_another_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fails: Any, reason: str, masked: bool
) -> None:
    champion = replace(served("2.0.0", "ab", fails), masked={"a": "hide"} if masked else {})

    async def asked() -> tuple[list[Reply], Front]:
        front = Front(asyncio.get_running_loop(), SystemClock(), Journal(tmp_path, "w", 1_000_000), Limits())
        front.native = Silent()
        before = served("1.0.0", "ab", broken)
        versions = {"2.0.0": champion, "1.0.0": before}
        front.table = table_of({"sum": Shown("sum", versions, "2.0.0", "1.0.0", (7.0,))}, "sum")
        replies = []
        for _ in range(3):  # one after the other
            line = Line()
            body = json.dumps({"features": NUMBERS}).encode()
            front.ask(line, front.table.hot[b"/predict"], Ask(body, "r"))
            replies.append(await asyncio.wait_for(line.answered, 10))
        return replies, front

    replies, front = asyncio.run(asked())
    assert {json.loads(reply.body)["model_version"] for reply in replies} == {"constant"}
    by = {}
    for record in caplog.records:
        told = vars(record)["told"]
        assert told["version"] not in by
        by[told["version"]] = told["model"], told["reason"], record.getMessage()
    assert set(by) == {"2.0.0", "1.0.0"}
    model, why, said = by["2.0.0"]
    assert model == "sum"
    assert reason in why
    assert reason in said
    assert ("out of order" in said) == (fails is broken and not masked)
    assert front.problem is not None
    assert "out of order" not in front.problem  # /health shows it to all


def test_a_client_in_a_hurry_is_no_failure_to_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def asked() -> None:
        front = Front(asyncio.get_running_loop(), SystemClock(), Journal(tmp_path, "w", 1_000_000), Limits())
        front.native = Silent()
        front.table = table_of({"sum": Shown("sum", {"1": served("1", "ab", None)}, "1")}, "sum")
        asks = [Ask(json.dumps({"features": NUMBERS}).encode(), "r")]
        await front.run_native(desk.prepare(front.table.hot[b"/predict"], asks, 10), 0.01)

    asyncio.run(asked())
    assert caplog.messages == []


def raises_over_13(rows: Any) -> Any:
    if (np.asarray(rows, dtype=float)[:, 0] == 13.0).any():
        raise RuntimeError("13 brings bad luck")
    return 2.0 * np.asarray(rows, dtype=float)[:, 0]


def nothing_for_13(rows: Any) -> Any:
    values = 2.0 * np.asarray(rows, dtype=float)[:, 0]
    return np.where(values == 26.0, np.inf, values)


class Both:
    """The other process, where a model runs."""

    def __init__(self, model: Callable[[Any], Any]) -> None:
        self.model = model

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Any:
        try:
            return self.model(rows)
        except RuntimeError as error:
            raise Raised("RuntimeError", str(error)) from None


@pytest.mark.parametrize("fails", [raises_over_13, nothing_for_13])
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("constant", [None, 7.0])
def test_a_request_that_the_model_cannot_answer_fails_alone(
    tmp_path: Path, fails: Callable[[Any], Any], native: bool, constant: float | None
) -> None:
    given = [1.0, 2.0, 13.0, 4.0, 5.0, 6.0, 13.0]

    async def asked() -> tuple[list[Reply], Front]:
        front = Front(asyncio.get_running_loop(), SystemClock(), Journal(tmp_path, "w", 1_000_000), Limits())
        front.native = Both(fails)
        model = served("2.0.0", "a", None if native else fails)
        front.table = table_of(
            {"sum": Shown("sum", {"2.0.0": model}, "2.0.0", None, constant and (constant,))}, "sum"
        )
        lines = [Line() for _ in given]
        for line, value in zip(lines, given, strict=True):  # in one turn of the loop: one batch
            front.ask(
                line, front.table.hot[b"/predict"], Ask(json.dumps({"features": [value]}).encode(), "r")
            )
        return [await asyncio.wait_for(line.answered, 10) for line in lines], front

    replies, front = asyncio.run(asked())
    found = [None if reply.error else json.loads(reply.body)["prediction"] for reply in replies]
    assert found == [constant if value == 13.0 else 2 * value for value in given]
    assert front.counts.events["model_failed", "sum", "2.0.0"] == 2
    logged = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(one["prediction"] for one in logged) == sorted(one for one in found if one is not None)
