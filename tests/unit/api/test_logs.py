"""What workers tell of requests for the log."""

from __future__ import annotations

import logging

from everloop.api.logs import FEW, MOST, QUIET, Events, Handler, Outage
from everloop.core.errors import Unavailable
from everloop.serving.inputs import Rejected, Wrong


def test_of_a_refused_input_the_field_is_told_and_not_the_value() -> None:
    events = Events(lambda: "now")
    events.request(
        "r1", 422, 0.0015, model="m", version="1", error=Rejected([Wrong("age", "secret", "why", "x")])
    )
    (event,) = events.take()
    assert "secret" not in repr(event)
    assert event["fields"] == ["age"]
    assert (event["at"], event["level"], event["ms"]) == ("now", "warning", 1.5)
    assert events.take() == []


def test_of_a_failure_the_message_is_told_and_of_what_went_well_nothing() -> None:
    events = Events(lambda: "now")
    events.request("r1", 503, 0.0, error=Unavailable("The model failed."))
    events.request("r2", 200, 0.0)
    (event,) = events.take()
    assert (event["level"], event["message"], event["code"]) == ("error", "The model failed.", "unavailable")


def test_of_a_flood_the_first_few_a_second_are_kept_and_the_others_counted() -> None:
    now = ["2026-11-21T09:30:00.100000Z"]
    events = Events(lambda: now[0])
    busy = Unavailable("More requests wait.")
    for number in range(FEW + 70):
        events.request(f"r{number}", 503, 0.0, model="m", version="1", error=busy)
    events.request("other", 422, 0.0, model="m", version="1")
    assert [one["request_id"] for one in events.take()] == [*(f"r{n}" for n in range(FEW)), "other"]
    events.request("late", 503, 0.0, model="m", version="1", error=busy)
    assert events.take() == []  # the second is not over
    now[0] = "2026-11-21T09:30:01.000000Z"
    events.request("next", 503, 0.0, model="m", version="1", error=busy)
    more, told = events.take()
    assert told["request_id"] == "next"
    kept = ("level", "event", "status", "code", "model", "version", "left_out")
    assert [more[name] for name in kept] == ["error", "request", 503, "unavailable", "m", "1", 71]
    assert "request_id" not in more
    assert events.take() == []


def test_what_is_left_out_in_the_last_second_is_told_too() -> None:
    events = Events(lambda: "now")
    for number in range(FEW + 1):
        events.request(f"r{number}", 429, 0.0)
    assert len(events.take()) == FEW
    assert [one["left_out"] for one in events.take(last=True)] == [1]


def test_a_flood_of_many_kinds_is_counted_and_not_kept() -> None:
    events = Events(lambda: "now")
    for number in range(MOST + 70):
        events.request(f"r{number}", 404, 0.0, model=f"m{number}")
    found = events.take()
    assert len(found) == MOST + 1
    assert found[-1]["left_out"] == 70
    assert events.take() == []


def test_at_level_debug_nothing_of_a_flood_is_left_out() -> None:
    events = Events(lambda: "now", every=True)
    for number in range(FEW + 70):
        events.request(f"r{number}", 429, 0.0)
    assert len(events.take(last=True)) == FEW + 70


def test_what_the_standard_library_logs_comes_along_with_its_traceback() -> None:
    events = Events(lambda: "now")
    logger = logging.Logger("a")
    logger.addHandler(Handler(events.note))
    logger.info("not this")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("it %s", "failed", extra={"told": {"model": "m"}})
    (event,) = events.take()
    assert (event["event"], event["level"], event["logger"]) == ("it failed", "error", "a")
    assert event["model"] == "m"
    assert "ValueError: why" in event["exception"]


def test_an_outage_is_told_once_also_where_some_attempts_succeed() -> None:
    notes: list[tuple[str, str]] = []
    at = [1_000.0]
    outage = Outage(lambda level, message: notes.append((level, message)), lambda: at[0], "It works again.")
    outage.worked()
    for number in range(100):
        outage.failed(f"failure {number}")
        outage.worked()
        at[0] += QUIET / 2
        outage.worked()
    assert notes == [("warning", "failure 0")]
    at[0] += QUIET
    outage.worked()
    outage.worked()
    assert notes[1:] == [("info", "It works again.")]
    outage.failed("once more")
    assert notes[2:] == [("warning", "once more")]
