"""What workers tell of requests for the log."""

from __future__ import annotations

import logging

from everloop.api.logs import MOST, Events, Handler
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


def test_a_flood_is_counted_and_not_kept() -> None:
    events = Events(lambda: "now")
    for number in range(MOST + 70):
        events.request(f"r{number}", 429, 0.0)
    found = events.take()
    assert len(found) == MOST + 1
    assert found[-1]["left_out"] == 70
    assert events.take() == []


def test_what_the_standard_library_logs_comes_along_with_its_traceback() -> None:
    events = Events(lambda: "now")
    logger = logging.Logger("a")
    logger.addHandler(Handler(events.note))
    logger.info("not this")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("it %s", "failed")
    (event,) = events.take()
    assert (event["event"], event["level"], event["logger"]) == ("it failed", "error", "a")
    assert "ValueError: why" in event["exception"]
