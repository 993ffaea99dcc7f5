"""What an arm cannot answer or refuses is written down once, and only what is its own fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.stories.serving.log import NOW, line, write
from tests.stories.serving.releasing import NEW, canary, direct, two_versions
from tests.stories.serving.server import BODY, COLD, HOT, V2_BODY, V2_COLD, V2_HOT, check_problem, running
from tests.stories.serving.test_fallback import NUMBERS, Line, broken, served, ten_a_plus_b

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.front.front import Front, Limits
from everloop.api.front.tables import Shown, table_of
from everloop.core.clock import SystemClock
from everloop.core.errors import TimedOut
from everloop.core.releases import BUCKETS, Arm, Range, Traffic
from everloop.flows.project import Project
from everloop.flows.serving import history, recording
from everloop.serving import desk
from everloop.serving.desk import Ask, Raised, Reply, Served
from everloop.store import failures
from everloop.wiring import open_project

ARMS = (Arm("canary", "2", (Range(0, 5_000),)), Arm("control", "1", (Range(5_000, BUCKETS),)))


def failure(number: int, **changed: Any) -> bytes:
    at = (NOW + timedelta(seconds=number)).isoformat()
    said = {
        "failure_id": f"fail_{number}", "at": at, "model": "iris", "version": NEW, "variant": "canary",
        "release_id": "rel_1", "unit": "00ff", "kind": "failed", "request_id": f"r{number}",
        "error": "unavailable", **changed,
    }  # fmt: skip
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def recorded(project: Project, release: str = "rel_1") -> list[Any]:
    with project.store.reading() as tx:
        found = failures.list_failures(tx, release)
    return sorted(found, key=lambda one: str(one["failure_id"]))


# -- from the log into the database --------------------------------------------------------------------------


def test_failures_are_recorded_once_beside_predictions(project: Project) -> None:
    write(project, failure(1) + line(1, release_id="rel_1", probability=0.5, unit="00ff") + failure(2))
    write(project, line(2) + failure(3, kind="refused", error="input_rejected: age"))
    done = recording.record(project)
    assert (done.rows, done.failures, done.damaged, done.lines) == (2, 3, 0, 5)
    again = recording.record(project)
    assert (again.rows, again.failures, again.known) == (0, 0, 0)
    assert [(one["failure_id"], one["kind"], one["unit"]) for one in recorded(project)] == [
        ("fail_1", "failed", "00ff"), ("fail_2", "failed", "00ff"), ("fail_3", "refused", "00ff"),
    ]  # fmt: skip
    (second, first), _ = history.page(project)
    assert (first.release_id, first.probability) == ("rel_1", 0.5)
    assert (second.release_id, second.probability) == (None, None)


def test_a_file_that_ends_with_a_failure_is_read_on_from_there(project: Project) -> None:
    path = write(project, line(1) + failure(1))
    recording.record(project)
    write(project, line(2))
    assert (recording.record(project).rows, len(recorded(project))) == (1, 1)
    path.write_bytes(line(1) + line(2) + failure(7) + line(3))  # other lines than those that were read
    done = recording.record(project)
    assert (done.rows, done.known, done.failures) == (1, 2, 1)
    assert [one["failure_id"] for one in recorded(project)] == ["fail_1", "fail_7"]


@pytest.mark.parametrize("cut", [20, 120])
def test_a_whole_line_behind_a_torn_one_is_recorded(project: Project, cut: int) -> None:
    write(project, failure(1)[:cut] + line(1) + line(2)[:cut] + failure(2) + failure(3)[:cut] + failure(4))
    done = recording.record(project)
    assert (done.rows, done.damaged) == (1, 3)
    assert [one["failure_id"] for one in recorded(project)] == ["fail_2", "fail_4"]


@pytest.mark.parametrize(
    "wrong", [{"kind": "odd"}, {"unit": ""}, {"unit": None}, {"at": "2026-01-01T00:00:00"}, {"error": "\0"}]
)
def test_what_is_no_failure_is_damaged(project: Project, wrong: dict[str, Any]) -> None:
    write(project, failure(1, **wrong) + failure(2))
    done = recording.record(project)
    assert (done.damaged, done.failures) == (1, 1)


def test_old_failures_go_with_old_predictions(project: Project) -> None:
    write(project, failure(1, at="2026-01-01T00:00:00Z") + failure(2))
    recording.record(project)
    recording.retain(project, days=30)
    assert [one["failure_id"] for one in recorded(project)] == ["fail_2"]


# -- from requests into the log ------------------------------------------------------------------------------


def front_of(folder: Path, new: Callable[[Any], Any] | None, *, rescued: bool, limits: Limits) -> Front:
    """Two arms: 1 is the champion and answers 10 a + b, 2 does what ``new`` says. Before them was 0."""
    front = Front(asyncio.get_running_loop(), SystemClock(), Journal(folder, "w", 1_000_000), limits)
    versions: dict[str, Served] = {
        "0": served("0", "ab", lambda matrix: np.zeros(len(matrix))),
        "1": served("1", "ab", ten_a_plus_b((0, 1))),
        "2": served("2", "ab", new),
    }
    traffic = Traffic(
        "sum", "prod", 1, datetime(2026, 11, 21, tzinfo=UTC), "shifted", "1", ARMS, release_id="rel_1"
    )
    shown = Shown("sum", versions, "1", "0" if rescued else None, None, traffic, rescued)
    front.table = table_of({"sum": shown}, "sum")
    return front


def ask_all(
    folder: Path, new: Callable[[Any], Any] | None, body: Any = None, *, rescued: bool = True
) -> tuple[list[Reply], list[dict[str, Any]]]:
    """Twenty requests that come at once: the replies, and all that was logged."""

    async def asked() -> list[Reply]:
        front = front_of(folder, new, rescued=rescued, limits=Limits())
        lines = [Line() for _ in range(20)]
        text = json.dumps(body or {"features": NUMBERS}).encode()
        for number, one in enumerate(lines):
            front.ask(one, front.table.hot[b"/predict"], Ask(text, f"request {number}"))
        return [await asyncio.wait_for(one.answered, 10) for one in lines]

    replies = asyncio.run(asked())
    written = "".join(path.read_text() for path in sorted(folder.glob("*.jsonl")))
    return replies, [json.loads(one) for one in written.splitlines()]


def test_a_turn_of_the_loop_holds_several_arms(tmp_path: Path) -> None:
    replies, logged = ask_all(tmp_path, ten_a_plus_b((1, 0)))
    answers = [json.loads(reply.body) for reply in replies]
    shown = {(one["variant"], one["prediction"], one["release"], one["probability"]) for one in answers}
    assert shown == {("canary", 21.0, "rel_1", 0.5), ("control", 12.0, "rel_1", 0.5)}
    assert [one["prediction_id"] for one in answers] != sorted({one["prediction_id"] for one in logged})
    assert {one["prediction_id"] for one in answers} == {one["prediction_id"] for one in logged}
    assert len({one["unit"] for one in logged}) == 20


def test_what_the_candidate_fails_at_the_champion_answers_and_it_counts_against_the_candidate(
    tmp_path: Path,
) -> None:
    replies, logged = ask_all(tmp_path, broken)
    answers = [json.loads(reply.body) for reply in replies]
    assert {(one["variant"], one["model_version"], one["prediction"]) for one in answers} == {
        ("fallback", "1", 12.0), ("control", "1", 12.0),
    }  # fmt: skip
    failed = [one for one in logged if "failure_id" in one]
    rescued = [one for one in logged if one.get("variant") == "fallback"]
    assert {one["request_id"] for one in failed} == {one["request_id"] for one in rescued}
    assert {(one["variant"], one["version"], one["kind"], one["error"]) for one in failed} == {
        ("canary", "2", "failed", "unavailable: RuntimeError")
    }
    assert all("unit" not in one and one["release_id"] == "rel_1" for one in rescued)
    assert len({one["failure_id"] for one in failed}) == len(failed) > 0


def test_without_a_fallback_it_is_an_error_and_counts_all_the_same(tmp_path: Path) -> None:
    replies, logged = ask_all(tmp_path, broken, rescued=False)
    wrong = sum(reply.error is not None for reply in replies)
    assert 0 < wrong < 20
    assert sum("failure_id" in one for one in logged) == wrong


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_words_of_a_model_are_in_the_log_alone_and_of_masked_fields_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, elsewhere: bool, masked: bool
) -> None:
    class Native:
        async def run(self, model: Served, rows: list[Any], timeout: float) -> Any:
            raise Raised("ValueError", f"The model failed (ValueError: {rows}).")

    def wrong(matrix: Any) -> Any:
        raise ValueError(f"{matrix.tolist()}")

    async def asked() -> list[Reply]:
        front = Front(asyncio.get_running_loop(), SystemClock(), Journal(tmp_path, "w", 1_000_000), Limits())
        model = served("1", "ab", None if elsewhere else wrong)
        front.native = Native()
        shown = Shown("sum", {"1": replace(model, masked={"a": "hide"} if masked else {})}, "1", None, None)
        front.table = table_of({"sum": shown}, "sum")
        lines = [Line(), Line()]
        for one in lines:
            body = json.dumps({"features": [7654321.0, 2.0]}).encode()
            front.ask(one, front.table.hot[b"/predict"], Ask(body, "r"))
        return [await asyncio.wait_for(one.answered, 10) for one in lines]

    replies = asyncio.run(asked())
    assert {str(reply.error).split(".")[0] for reply in replies} == {"The model sum@1 failed (ValueError)"}
    assert "7654321" not in "".join(map(str, (reply.error for reply in replies)))
    assert len(caplog.messages) == 1
    assert ("7654321" in caplog.text) == (not masked)


def test_refusals_name_fields_and_never_values(tmp_path: Path) -> None:
    body = {"features": {"a": "secret", "b": 2.0, "secret": 1}}
    _, logged = ask_all(tmp_path, ten_a_plus_b((0, 1)), body)
    assert {(one["kind"], one["error"]) for one in logged} == {("refused", "input_rejected: (unknown)")}
    _, logged = ask_all(tmp_path / "more", ten_a_plus_b((0, 1)), {"features": {"a": "secret", "b": "x"}})
    assert {(one["kind"], one["error"]) for one in logged} == {("refused", "input_rejected: a, b")}
    assert {one["variant"] for one in logged} == {"canary", "control"}
    assert "secret" not in json.dumps(logged)


def test_no_arm_is_to_blame_for_a_full_log_or_too_many_requests(tmp_path: Path) -> None:
    async def asked() -> list[Reply]:
        front = front_of(tmp_path, broken, rescued=False, limits=Limits(waiting=0))
        lines = [Line() for _ in range(4)]
        for one in lines:
            front.ask(one, front.table.hot[b"/predict"], Ask(json.dumps({"features": NUMBERS}).encode(), "r"))
        return [await asyncio.wait_for(one.answered, 10) for one in lines]

    assert all(reply.error is not None for reply in asyncio.run(asked()))
    assert [path.read_bytes() for path in tmp_path.glob("*.jsonl")] == [b""]


class Slow:
    """The other process, which never answers in time."""

    async def run(self, model: Served, rows: list[Any], timeout: float) -> Any:
        raise TimedOut("The model gave no answer.")


@pytest.mark.parametrize(("deadline", "blamed"), [(30.0, True), (0.01, False)])
def test_a_client_that_does_not_wait_is_no_failure_of_the_model(
    tmp_path: Path, deadline: float, blamed: bool
) -> None:
    async def asked() -> list[Ask]:
        front = front_of(tmp_path, None, rescued=False, limits=Limits())
        front.native = Slow()
        target = front.table.hot[b"/predict"].choices["canary"]
        asks = [Ask(json.dumps({"features": NUMBERS}).encode(), "r")]
        await front.run_native(desk.prepare(target, asks, 10), deadline)
        return asks

    (one,) = asyncio.run(asked())
    assert one.reply is not None
    assert isinstance(one.reply.error, TimedOut)
    assert (one.failed is not None) == blamed


# -- a real server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", ["previous", "none"])
def test_a_broken_version_in_a_real_server(tmp_path: Path, fallback: str) -> None:
    two_versions(tmp_path, float("nan"), iris={"serving": {"fallback": fallback}})
    with closing(open_project(folder=tmp_path)) as project:
        direct(project, canary(5_000), unit="entity")
        with running(tmp_path) as server:
            while server.ask("GET", "/health").json["models"]["iris"].get("release") != "rel_test":
                pass
            asked: dict[str, bool] = {}
            ways = [(HOT, BODY), (COLD, BODY), (V2_HOT, V2_BODY), (V2_COLD, V2_BODY)]
            while len(asked) < 40 or len(set(asked.values())) < 2:
                path, body = ways[len(asked) % 4]
                answer = server.predict(
                    body, path, X_Entity_ID=f"u{len(asked)}", X_Request_ID=f"r{len(asked)}"
                )
                said = answer.json.get("parameters") or answer.json
                if fallback == "previous":
                    assert said["variant"] in ("fallback", "control")
                    asked[f"r{len(asked)}"] = said["variant"] == "fallback"
                elif answer.status == 200:
                    assert said["variant"] == "control"
                    asked[f"r{len(asked)}"] = False
                else:
                    check_problem(answer, 503)
                    asked[f"r{len(asked)}"] = True
            check_problem(server.predict({"features": [1]}, X_Entity_ID="wrong", X_Request_ID="wrong"), 422)
            check_problem(server.predict(BODY, X_Entity_ID="u", Content_Type="text/plain"), 415)
        recording.record(project)
        found = recorded(project, "rel_test")
    failed = {one["request_id"] for one in found if one["kind"] == "failed"}
    assert {name for name, wrong in asked.items() if wrong} == failed
    assert {(one["variant"], one["version"]) for one in found if one["kind"] == "failed"} == {("canary", NEW)}
    assert [one["request_id"] for one in found if one["kind"] == "refused"] == ["wrong"]
