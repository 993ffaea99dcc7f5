"""What a worker tells of predictions that it cannot log, and of requests that fail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from tests.clocks import Hands

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.front.app import App
from everloop.api.front.front import Front, Limits
from everloop.api.logs import QUIET
from everloop.core.errors import StorageFull, Unavailable


class Full:
    """A log without room, as long as the test says."""

    full = True

    def write(self, lines: bytes) -> None:
        if self.full:
            raise StorageFull("No room for the prediction log.", remedy="Make room.")

    def probe(self) -> None:
        self.write(b"")


@pytest.mark.parametrize(("policy", "said"), [("refuse", "refused"), ("shed", "answered all the same")])
def test_that_predictions_are_not_logged_is_told_once_and_when_it_is_over(policy: str, said: str) -> None:
    clock, journal = Hands(datetime(2026, 3, 1, tzinfo=UTC)), Full()

    def told() -> list[dict[str, Any]]:
        return front.events.take(last=True)

    def log(times: int) -> None:
        for _ in range(times):
            front.log([b"line\n"], [], [])

    with asyncio.Runner() as runner:
        front = Front(
            runner.get_loop(), clock, cast(Journal, journal), Limits(), when_full=policy
        )  # fmt: skip
        log(1_000)
        (event,) = told()
        assert event["level"] == "warning"
        assert "No room for the prediction log. Make room." in event["event"]
        assert said in event["event"]
        clock.sleep(QUIET)
        log(1_000)
        journal.full = False
        log(1_000)
        assert told() == []
        clock.sleep(QUIET)
        log(1_000)
        (event,) = told()
        assert (event["level"], event["event"]) == ("info", "Predictions are logged again.")
        journal.full = True
        log(1)
        told()
        clock.sleep(QUIET)
        front.probe_log()
        assert front.log_problem
        journal.full = False
        front.probe_log()  # nobody asks who is not ready
        assert not front.log_problem
        (event,) = told()
        assert event["event"] == "Predictions are logged again."
        front.log_full = True
        log(1_000)
        (event,) = told()
        assert "further ahead of the database" in event["event"]


def test_a_request_that_failed_late_tells_how_long_it_took() -> None:
    clock = Hands(datetime(2026, 3, 1, tzinfo=UTC))
    sent: list[dict[str, Any]] = []

    async def forward(*_: Any) -> Any:
        clock.sleep(30.0)
        raise Unavailable("The office does not answer.")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "method": "GET", "path": "/history", "query_string": b""}
    scope = {**asked, "headers": [], "client": None}
    with asyncio.Runner() as runner:
        front = Front(runner.get_loop(), clock, cast(Journal, Full()), Limits())
        runner.run(App(front, forward, {"version": "0"})(scope, receive, send))
        (event,) = front.events.take(last=True)
    assert sent[0]["status"] == 503
    assert (event["event"], event["status"], event["ms"]) == ("request", 503, 30_000.0)
