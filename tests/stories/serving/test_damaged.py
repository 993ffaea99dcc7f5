"""A champion whose files are damaged: who answers instead says so, in answers, in the log and in /health."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.stories.serving.releasing import NEW, OLD, canary, direct, two_versions
from tests.stories.serving.server import BODY, COLD, HOT, V2_BODY, V2_HOT, Server, running
from tests.stories.serving.test_logs import FILE, logged

from everloop.core.releases import BUCKETS, CHAMPION, Arm, Range
from everloop.flows import models
from everloop.flows.project import Project
from everloop.flows.releases import deploying
from everloop.flows.serving import history, recording
from everloop.wiring import open_project

ALL_NEW = (Arm(CHAMPION, NEW, (Range(0, BUCKETS),)),)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    two_versions(tmp_path)
    with closing(open_project(folder=tmp_path)) as project:
        yield project


def damage(project: Project, *, original: bool, version: str = NEW) -> None:
    found = models.find(project, f"iris@{version}")
    assert found.version.form is not None
    for address in [found.version.form.artifact, *([found.run.artifact] if original else [])]:
        path = Path(project.artifacts.where(address))
        path.chmod(0o600)
        path.write_bytes(b"damaged")


def promote(project: Project) -> None:
    deploying.deploy(project, deploying.Request(f"iris@{NEW}", reason="a test"))


def status(server: Server) -> str:
    return str(server.ask("GET", "/health").json["status"])


def check_stands_in(server: Server, folder: Path) -> None:
    """The old version comes to answer, and nobody takes it for the champion."""
    while status(server) != "degraded":
        pass
    for path, body in ((HOT, BODY), (COLD, BODY), ("/models/iris/predict", BODY), (V2_HOT, V2_BODY)):
        answer = server.predict(body, path).json
        said = answer.get("parameters") or answer
        assert (answer.get("model_version"), said["variant"]) == (OLD, "fallback")
        assert "release" not in said
        assert "probability" not in said
    health = server.ask("GET", "/health")
    assert (health.json["status"], health.json["ready"]) == ("degraded", True)
    told = health.json["models"]["iris"]
    assert (told["version"], told["wanted"], told["versions"]) == (OLD, NEW, [OLD])
    assert "release" not in told
    assert "fallback" not in told  # no version is its own
    assert f"iris@{NEW} is not served: " in health.json["last_problem"]
    assert str(folder) not in health.body.decode()


def test_a_champion_that_is_damaged_at_start_is_answered_for_by_a_fallback(
    tmp_path: Path, project: Project
) -> None:
    promote(project)
    damage(project, original=True)
    with running(tmp_path, *FILE) as server:
        check_stands_in(server, tmp_path)
        (event,) = logged(tmp_path, level="warning", model="iris", version=NEW)
        assert event["event"].startswith(f"iris@{NEW} is not served: The artifact")
    recording.record(project)
    rows, _ = history.page(project)
    assert {(one.version, one.variant, one.release_id) for one in rows} == {(OLD, "fallback", None)}


def test_one_that_is_promoted_on_a_running_server_and_comes_back(tmp_path: Path, project: Project) -> None:
    found = models.find(project, f"iris@{NEW}")
    assert found.version.form is not None
    path = Path(project.artifacts.where(found.version.form.artifact))
    good = path.read_bytes()
    damage(project, original=True)
    with running(tmp_path) as server:
        assert server.predict(BODY).json["variant"] == "champion"
        promote(project)
        check_stands_in(server, tmp_path)
        path.write_bytes(good)
        while status(server) == "degraded":
            pass
        answer = server.predict(BODY).json
        assert (answer["model_version"], answer["variant"]) == (NEW, "champion")
        told = server.ask("GET", "/health").json["models"]["iris"]
        assert (told["version"], told["fallback"]) == (NEW, OLD)
        assert "wanted" not in told


def test_an_arm_beside_a_damaged_champion_still_answers_in_its_own_name(
    tmp_path: Path, project: Project
) -> None:
    damage(project, original=True)
    arms = tuple(Arm(one.name, OLD if one.version == NEW else NEW, one.ranges) for one in canary(5_000))
    with running(tmp_path) as server:
        assert server.predict(BODY).json["variant"] == "champion"
        direct(project, arms, champion=NEW, overrides={"me": "canary"})
        check_stands_in(server, tmp_path)
        answer = server.predict(BODY, X_Entity_ID="me").json
        assert (answer["model_version"], answer["variant"]) == (OLD, "override:canary")
        assert answer["release"] == "rel_test"


def test_a_damaged_compiled_form_is_told_once_and_its_original_serves(
    tmp_path: Path, project: Project
) -> None:
    promote(project)
    damage(project, original=False)
    with running(tmp_path, *FILE) as server:
        answer = server.predict(BODY).json
        assert (answer["model_version"], answer["variant"]) == (NEW, "champion")
        health = server.ask("GET", "/health")
        told: dict[str, Any] = health.json
        assert (told["status"], told["models"]["iris"]["route"]) == ("healthy", "native")
        said = f"iris@{NEW} is served by its original: its compiled form is damaged"
        assert told["last_problem"].startswith(said)
        for path in ("/health", "/dashboard/data"):
            shown = server.ask("GET", path).body.decode()
            assert "is not served" not in shown
            assert str(tmp_path) not in shown
            assert shown.count("its compiled form is damaged") == 1
        (event,) = logged(tmp_path, level="warning", model="iris", version=NEW)
        assert event["event"].startswith(said)
        (begun,) = logged(tmp_path, event="Serving.")
        assert (begun["level"], begun["address"]) == ("info", f"http://{server.address}")
        assert (begun["champions"], begun["versions"]) == ({"iris": NEW}, {"iris": [OLD, NEW]})
    lines = [json.loads(line) for line in (tmp_path / "logs" / "server.log").read_text().splitlines()]
    assert sum(NEW in str(one["event"]) for one in lines) == 1


def test_where_no_version_can_be_loaded_the_constant_answers(tmp_path: Path, project: Project) -> None:
    found = models.find(project, f"iris@{OLD}")
    assert found.version.form is not None
    path = Path(project.artifacts.where(found.version.form.artifact))
    good = path.read_bytes()
    for version in (OLD, NEW):
        damage(project, original=True, version=version)
    with running(tmp_path, "--set", "models.iris.serving.fallback=constant") as server:
        for where, body in ((HOT, BODY), (COLD, BODY), (V2_HOT, V2_BODY)):
            answer = server.predict(body, where).json
            said = answer.get("parameters") or answer
            assert (answer.get("model_version"), said["variant"]) == ("constant", "fallback")
        shares = server.predict(BODY).json["probabilities"]
        assert shares == pytest.approx(dict.fromkeys(shares, 1 / 3), abs=0.02)
        named = server.ask("POST", f"/models/iris/versions/{OLD}/predict", BODY)
        assert named.status == 404
        assert str(tmp_path) not in named.body.decode()
        wrong = server.ask("POST", HOT, {"features": [5.1, 3.5, 1.4]})
        assert (wrong.status, wrong.json["errors"][0]["field"]) == (422, "features")
        health = server.ask("GET", "/health").json
        assert (health["status"], health["ready"]) == ("degraded", True)
        assert (health["models"]["iris"]["version"], health["models"]["iris"]["wanted"]) == ("constant", OLD)
        assert f"iris@{OLD} is not served: " in health["last_problem"]
        path.write_bytes(good)
        while status(server) == "degraded":
            pass
        answer = server.predict(BODY).json
        assert (answer["model_version"], answer["variant"]) == (OLD, "champion")
