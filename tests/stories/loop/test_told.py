"""Other systems tell over HTTP that there may be something to learn, in each of the ways of CloudEvents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.stories.serving.server import Answer, Server, check_problem, iris_project, running

from everloop.adapters.webhook import Webhook
from everloop.core.monitoring import Message

EVENT = {"specversion": "1.0", "source": "wh", "id": "1", "type": "loaded"}
STRUCTURED = "application/cloudevents+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Nobody trains meanwhile: what was told waits."""
    folder = tmp_path_factory.mktemp("told")
    iris_project(folder, serving={"retrain": False, "samples_to_retrain": 3})
    with running(folder) as started:
        yield started
        assert "Traceback" not in started.errors


def tell(server: Server, body: Any, kind: str = "application/json", **attributes: str) -> Answer:
    named = {f"ce-{name}": value for name, value in attributes.items()}
    return server.ask("POST", "/triggers/iris", body, {"Content-Type": kind, **named})


def waiting(server: Server) -> list[str]:
    """What was told and is not considered yet."""
    [standing] = server.ask("GET", "/loop").json["models"]
    return [each["message"] for each in standing["waiting"]]


@pytest.mark.parametrize("kind", [STRUCTURED, f"{STRUCTURED}; charset=utf-8", "Application/CloudEvents+JSON"])
def test_an_event_in_structured_mode_is_taken(server: Server, kind: str) -> None:
    taken = tell(server, EVENT | {"id": kind, "data": {"rows": 7}}, kind)
    assert (taken.status, taken.json["status"]) == (202, "queued")
    assert taken.headers["location"] == f"/jobs/{taken.json['job_id']}"
    assert f"wh says loaded ({kind})" in waiting(server)


@pytest.mark.parametrize(
    ("body", "kind"), [({"rows": 7}, "application/json"), (b"a,b\n1,2\n", "text/csv"), (b"", "text/plain")]
)
def test_an_event_in_binary_mode_is_taken_whatever_its_data(server: Server, body: Any, kind: str) -> None:
    number = f"{kind} 50 %"
    told = EVENT | {"id": number.replace("%", "%25"), "source": "%22store%22 Z%C3%BCrich", "type": '"loaded"'}
    assert tell(server, body, kind, **told).status == 202
    assert f'"store" Zürich says loaded ({number})' in waiting(server)


def test_the_same_event_counts_once_whatever_its_mode(server: Server) -> None:
    event = EVENT | {"id": "twice"}
    answers = [tell(server, event), tell(server, event, STRUCTURED), tell(server, b"", "text/plain", **event)]
    assert [each.status for each in answers] == [202] * 3
    assert waiting(server).count("wh says loaded (twice)") == 1


def test_what_is_needed_of_an_event_is_enough_in_plain_json(server: Server) -> None:
    assert tell(server, {"source": "wh", "id": "short", "reason": "the week is over"}).status == 202
    assert "the week is over" in waiting(server)


def test_a_message_of_everloop_is_an_event_for_another_one(server: Server) -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    data = {"alert_id": "alert_1", "findings": []}
    message = Message("msg_1", "opened", "critical", "shop", at, "A title", "A text", "everloop/shop", data)
    Webhook(f"cloudevents+http://{server.address}/triggers/iris", 30.0).send(message)
    assert "everloop/shop says everloop.alert.opened (msg_1)" in waiting(server)


@pytest.mark.parametrize("missing", ["id", "source", "type", "specversion"])
def test_an_attribute_that_is_missing_is_named(server: Server, missing: str) -> None:
    told = {name: value for name, value in EVENT.items() if name != missing}
    for answer in (tell(server, told, STRUCTURED), tell(server, b"", "text/plain", **told)):
        assert check_problem(answer, 422)["detail"] == f"'{missing}' is missing."


def test_other_versions_of_the_specification_are_refused(server: Server) -> None:
    told = EVENT | {"specversion": "0.3"}
    answers = [tell(server, told), tell(server, told, STRUCTURED), tell(server, b"", "text/plain", **told)]
    for answer in answers:
        found = check_problem(answer, 422)
        assert found["detail"] == "'specversion' is '0.3': input should be '1.0'."


def test_several_events_at_once_are_refused_with_what_to_do(server: Server) -> None:
    found = check_problem(tell(server, [EVENT], "application/cloudevents-batch+json"), 415)
    assert "'application/cloudevents-batch+json'" in found["detail"]
    assert "one event a request" in found["remedy"]


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+xml", "text/plain", f"{STRUCTURED}; charset=latin1"]
)
def test_other_types_are_refused_with_those_that_are_taken(server: Server, kind: str) -> None:
    found = check_problem(tell(server, json.dumps(EVENT).encode(), kind), 415)
    assert STRUCTURED in found["remedy"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"7"])
def test_a_body_that_is_no_event_is_refused(server: Server, body: bytes) -> None:
    for kind in ("application/json", STRUCTURED):
        answer = tell(server, body, kind)
        check_problem(answer, answer.status)
        assert answer.status in (400, 422)


def test_an_attribute_that_no_database_keeps_is_refused(server: Server) -> None:
    assert "NUL" in check_problem(tell(server, b"", "text/plain", **EVENT | {"id": "a%00b"}), 400)["detail"]


def test_predictions_take_no_other_types_than_before(server: Server) -> None:
    sent = server.ask("POST", "/predict", {"features": [1, 2, 3, 4]}, {"Content-Type": STRUCTURED})
    check_problem(sent, 415)


def test_the_description_shows_each_way(server: Server) -> None:
    described = server.ask("GET", "/openapi.json").json
    told = described["paths"]["/triggers/{model}"]["post"]
    assert {"application/json", STRUCTURED} <= told["requestBody"]["content"].keys()
    for name in ("ce-id", "ce-source", "ce-type", "ce-specversion"):
        assert f"`{name}`" in told["requestBody"]["description"]


def test_what_is_told_while_the_loop_is_paused_is_kept_and_says_so(server: Server) -> None:
    before = server.ask("GET", "/jobs").json["count"]
    assert server.ask("POST", "/loop/pause", {"model": "iris", "reason": "a move"}).status == 200
    try:
        taken = tell(server, EVENT | {"id": "paused"}, STRUCTURED)
        assert (taken.status, taken.json["status"], taken.json["job_id"]) == (202, "kept", None)
        assert "paused" in taken.json["reason"]
        assert "location" not in taken.headers
        assert "wh says loaded (paused)" in waiting(server)
        assert server.ask("GET", "/jobs").json["count"] == before
    finally:
        assert server.ask("POST", "/loop/resume", {"model": "iris"}).json == {"resumed": ["iris"]}
    assert server.ask("GET", "/jobs").json["jobs"][0]["status"] == "queued"


def test_enough_samples_while_the_loop_is_paused_wait_and_say_so(server: Server) -> None:
    assert server.ask("POST", "/loop/pause", {"model": "iris", "reason": "a move"}).status == 200
    try:
        row = {"features": [5.1, 3.5, 1.4, 0.2], "target": "setosa"}
        answers = [server.ask("POST", "/add_training_data", row).json for _ in range(4)]
        assert ["job_id" in each for each in answers] == [False] * 4
        assert ["paused" in each.get("retraining", "") for each in answers] == [False, False, True, True]
        assert [each for each in waiting(server) if "samples" in each] == ["3 new samples"]
        asked = server.ask("POST", "/trigger_retrain", {"model": "iris", "reason": "a person asks"})
        assert asked.status == 202
        assert asked.json["job_id"]
    finally:
        server.ask("POST", "/loop/resume", {"model": "iris"})
