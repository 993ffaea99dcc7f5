"""Requests under a gradual release: a unit has one arm, on every way into the server and in every worker."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from tests.stories.serving.releasing import DIRECT, NEW, OLD, canary, direct, two_versions
from tests.stories.serving.server import (
    BODY,
    COLD,
    FLOWER,
    HOT,
    V2_BODY,
    V2_COLD,
    V2_HOT,
    Answer,
    Server,
    check_problem,
    running,
)

from everloop.core.releases import BUCKETS, Arm, Range, Rule
from everloop.flows.project import Project
from everloop.flows.serving import history, recording
from everloop.store import failures, observations
from everloop.wiring import open_project

LARGE = {"instances": [FLOWER] * 3_000}  # is read beside the loop
USERS = [f"user {number}" for number in range(24)]
PATIENCE = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("split")
    two_versions(place, serving={"workers": 2})
    return place


@pytest.fixture(scope="module")
def project(folder: Path) -> Iterator[Project]:
    with closing(open_project(folder=folder)) as project:
        yield project


def told(answer: Answer) -> tuple[str, str, float, str]:
    """Release, variant, probability and version of an answer of any protocol."""
    assert answer.status == 200, answer.body[:500]
    length = answer.headers.get("inference-header-content-length")
    body = json.loads(answer.body[: int(length)] if length else answer.body)
    said = body.get("parameters") or body
    return said["release"], said["variant"], said["probability"], body["model_version"]


def wait_for(server: Server, release: str) -> None:
    """Until both workers answer under a release: connections come to either."""
    until = time.monotonic() + PATIENCE
    seen = 0
    while seen < 30:
        assert time.monotonic() < until
        answer = server.predict(BODY, X_Entity_ID="somebody").json
        seen = seen + 1 if answer.get("release") == release else 0


def binary(entity: str) -> tuple[bytes, dict[str, str]]:
    data = struct.pack("<4d", *FLOWER)
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    asked = {"inputs": [tensor], "parameters": {"entity_id": entity, "binary_data_output": True}}
    text = json.dumps(asked).encode()
    sent = {
        "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text)),
    }  # fmt: skip
    return text + data, sent


def every_way(server: Server, entity: str) -> Iterator[Answer]:
    named = {"X-Entity-ID": entity}
    yield server.ask("POST", HOT, BODY, named)
    yield server.ask("POST", COLD, BODY, named)
    yield server.ask("POST", HOT, {**BODY, "entity_id": entity})
    yield server.ask("POST", COLD, {"instances": [FLOWER, FLOWER], "entity_id": entity})
    if entity in USERS[:3]:
        yield server.ask("POST", "/models/iris/predict", {**LARGE, "entity_id": entity})
    yield server.ask("POST", V2_HOT, V2_BODY, named)
    yield server.ask("POST", V2_COLD, {**V2_BODY, "parameters": {"entity_id": entity}})
    yield server.ask("POST", V2_HOT, {**V2_BODY, "parameters": {"entity_id": entity}})
    yield server.ask("POST", V2_HOT, *binary(entity))


def test_an_entity_has_one_arm_on_every_way_in_every_worker_and_after_a_restart(
    folder: Path, project: Project
) -> None:
    arms: dict[str, tuple[str, str, float, str]] = {}
    direct(project, canary(4_000), "rel_sticky", unit="entity", salt="s")
    for first in (True, False):
        with running(folder) as server:
            wait_for(server, "rel_sticky")
            for name in USERS:
                answers = {told(answer) for answer in every_way(server, name)}
                assert len(answers) == 1
                assert answers == {arms.setdefault(name, *answers)}
            if first:
                direct(project, canary(4_000), "rel_sticky", unit="entity", salt="s")
        assert "Traceback" not in server.errors
    assert set(arms.values()) == {
        ("rel_sticky", "canary", 0.4, NEW),
        ("rel_sticky", "control", 0.4, OLD),
        ("rel_sticky", "champion", 0.2, OLD),
    }
    recording.record(project)
    for release, variant, probability, version in set(arms.values()):
        logged, _ = history.page(project, release=release, variant=variant, limit=1_000)
        assert {(one.probability, one.version) for one in logged} == {(probability, version)}
    assert history.page(project, release="rel_other") == ([], None)


def test_who_is_not_named_and_who_is_chosen_by_name_is_outside_the_comparison(
    folder: Path, project: Project
) -> None:
    direct(
        project, canary(5_000), "rel_rules", unit="entity", salt="s",
        rules=(Rule({"country": ("NO",)}, "canary"), Rule({"sepal_length": ("9",)}, "control")),
        overrides={"tester": "canary", "7": "control"},
    )  # fmt: skip
    named = {"sepal_length": 9.0, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in named.items()
    ]
    asked: list[tuple[Any, Any, str]] = [
        (BODY, V2_BODY, "champion"),
        ({**BODY, "entity_id": ""}, {**V2_BODY, "parameters": {"entity_id": ""}}, "champion"),
        (
            {**BODY, "entity_id": "tester"},
            {**V2_BODY, "parameters": {"entity_id": "tester"}},
            "override:canary",
        ),
        ({**BODY, "entity_id": 7}, {**V2_BODY, "parameters": {"entity_id": 7}}, "override:control"),
        ({**BODY, "context": {"country": "NO"}}, {**V2_BODY, "parameters": {"country": "NO"}}, "rule:canary"),
        ({"features": named}, {"inputs": tensors}, "rule:control"),
    ]
    with running(folder) as server:
        wait_for(server, "rel_rules")
        for plain, v2, variant in asked:
            version = NEW if variant.endswith("canary") else OLD
            for path, body in ((HOT, plain), (COLD, plain), (V2_HOT, v2), (V2_COLD, v2)):
                assert told(server.predict(body, path)) == ("rel_rules", variant, 1.0, version)
        metrics = server.ask("GET", "/prometheus_metrics").body.decode()
        assert "no_entity" in metrics
        by_version = server.predict(BODY, f"/models/iris/versions/{NEW}/predict", X_Entity_ID="tester").json
        assert (by_version["model_version"], by_version["variant"]) == (NEW, "challenger")
        assert "release" not in by_version
    recording.record(project)
    with project.store.reading() as tx:
        compared = observations.units(tx, "rel_rules")
    assert set(compared) <= {"canary", "control"}  # of 'somebody', who was waited for


def test_weights_that_change_under_load_are_never_torn_and_reach_every_worker(
    folder: Path, project: Project
) -> None:
    states = [canary(1_000), canary(4_000)]
    known = {("rel_load", arm.name, arm.weight / BUCKETS, arm.version) for arms in states for arm in arms}
    seen: list[tuple[str, str, float, str]] = []
    stop = threading.Event()

    def ask(server: Server, number: int) -> None:
        ways = cycle([(HOT, BODY), (V2_COLD, V2_BODY), (V2_HOT, V2_BODY), (COLD, BODY)])
        while not stop.is_set():
            path, body = next(ways)
            seen.append(told(server.predict(body, path)))

    direct(project, states[0], "rel_load", salt="s")
    with running(folder) as server:
        wait_for(server, "rel_load")
        threads = [threading.Thread(target=ask, args=(server, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for arms in (states[1], states[0], states[1], states[0], states[1]):
                number = direct(project, arms, "rel_load", salt="s")
                share, before = arms[0].weight / BUCKETS, len(seen)
                until = time.monotonic() + PATIENCE
                while sum(one[2] == share for one in seen[before:]) < 3:  # it is in force
                    assert time.monotonic() < until, number
                    time.sleep(0.01)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        settled = [told(server.predict(BODY))[2] for _ in range(200)]
    assert set(settled) <= {0.4, 0.2}  # both workers have the last one
    assert set(seen) <= known
    assert {variant for _, variant, _, _ in seen} == {"canary", "control", "champion"}
    assert "Traceback" not in server.errors


def test_a_direct_release_is_told_with_probability_one(folder: Path, project: Project) -> None:
    direct(project, DIRECT, "rel_direct")
    with running(folder) as server:
        wait_for(server, "rel_direct")
        expected = ("rel_direct", "champion", 1.0, OLD)
        for path, body in ((HOT, BODY), (COLD, BODY), (V2_HOT, V2_BODY), (V2_COLD, V2_BODY), (HOT, LARGE)):
            assert told(server.predict(body, path)) == expected
        assert server.predict({**BODY, "entity_id": "x", "context": {"a": None}}).status == 200
        for wrong in ({"entity_id": 1.5}, {"context": {"a": [1]}}, {"context": 1}, {"entity": "x"}):
            check_problem(server.predict({**BODY, **wrong}), 400)
        for entity in (1.5, True, ["x"], {"id": 1}):
            answer = server.ask("POST", V2_HOT, {**V2_BODY, "parameters": {"entity_id": entity}})
            assert "'entity_id' is" in check_problem(answer, 400)["detail"]
        for none in ("", None):
            assert server.ask("POST", V2_HOT, {**V2_BODY, "parameters": {"entity_id": none}}).status == 200
        twice = b'{"features": [5.1, 3.5, 1.4, 0.2], "entity_id": "a", "entity_id": "b"}'
        assert (
            "twice"
            in check_problem(server.predict(twice, HOT, Content_Type="application/json"), 400)["detail"]
        )


def test_all_at_once_and_the_old_one_kept_warm(folder: Path, project: Project) -> None:
    direct(project, (Arm("green", NEW, (Range(0, BUCKETS),)),), "rel_green", warm=(OLD,))
    with running(folder) as server:
        wait_for(server, "rel_green")
        assert told(server.predict(BODY)) == ("rel_green", "green", 1.0, NEW)
        check_problem(server.predict({"features": [1]}), 422)
        direct(project, DIRECT, "rel_back")
        wait_for(server, "rel_back")
        assert told(server.predict(BODY)) == ("rel_back", "champion", 1.0, OLD)
        check_problem(server.predict({"features": [1]}), 422)
    recording.record(project)
    with project.store.reading() as tx:
        (failed,) = failures.list_failures(tx, "rel_green")
        assert failures.list_failures(tx, "rel_back") == []  # nothing is compared any more
    assert (failed["variant"], failed["kind"], failed["error"]) == (
        "green", "refused", "input_rejected: features",
    )  # fmt: skip
