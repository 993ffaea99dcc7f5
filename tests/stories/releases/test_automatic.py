"""Releases that nobody watches, on a real server: a broken version, a slow one and an equally good one."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from tests.stories.serving.releasing import NEW, OLD, two_versions
from tests.stories.serving.server import BODY, HOT, NAMES, Server, iris_project, request, running

from everloop.core.releases import OPEN, Release
from everloop.data.examples.iris import iris
from everloop.flows import outside
from everloop.flows.releases import deploying, showing
from everloop.flows.releases.planning import Wishes
from everloop.store import models, observations
from everloop.wiring import open_project

PATIENCE = 90.0  # seconds, until a test gives up
WISHES = Wishes(measures={}, steps=(0.2, 0.5), dwell=1.0, longest=3_600.0, hourly=100_000.0)


def deploy(folder: Path, strategy: str = "canary") -> str:
    project = open_project(folder=folder)
    wishes = WISHES if strategy == "canary" else Wishes(dwell=1.0 if strategy == "blue-green" else None)
    try:
        asked = deploying.Request(f"iris@{NEW}", strategy=strategy, wishes=wishes)
        return deploying.deploy(project, asked).release_id
    finally:
        project.close()


def load(server: Server, release_id: str) -> tuple[Release, Counter[tuple[str, str]]]:
    """Ask on one connection until the release has ended: what became of it, and who answered."""
    project = open_project(folder=server.folder)
    until, answered = time.monotonic() + PATIENCE, Counter[tuple[str, str]]()
    try:
        with contextlib.closing(server.connect()) as line:
            while True:
                for _ in range(100):
                    line.send(request("POST", HOT, BODY))
                    answer = line.answer()
                    assert answer.status == 200, answer.body
                    answered[answer.json["model_version"], answer.json["variant"]] += 1
                release = deploying.find(project, release_id)
                if release.status not in OPEN:
                    return release, answered
                assert time.monotonic() < until, deploying.looks(project, release_id, 1)
    finally:
        project.close()


def until(found: Callable[[], Any]) -> Any:
    """What comes within some seconds."""
    end = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return answer


def failures(server: Server, release: Release) -> Any:
    return server.ask("GET", f"/releases/{release.release_id}/failures").json["failures"]


def champion_answers(server: Server, version: str) -> None:
    """Soon, and from then on always."""
    until, in_a_row = time.monotonic() + PATIENCE, 0
    with contextlib.closing(server.connect()) as line:
        while in_a_row < 50:
            line.send(request("POST", HOT, BODY))
            told = line.answer().json
            good = (told["model_version"], told["variant"]) == (version, "champion")
            in_a_row = in_a_row + 1 if good else 0
            assert time.monotonic() < until, told


def test_a_broken_version_is_rolled_back_at_once_and_nobody_gets_an_error(tmp_path: Path) -> None:
    two_versions(tmp_path, weights=float("inf"))
    with running(tmp_path) as server:
        release, answered = load(server, deploy(tmp_path))
        assert release.status == "rolled_back"
        assert "failed" in release.outcome
        assert release.step == 0  # it never came beyond the first step
        assert answered[NEW, "canary"] == 0
        champion_answers(server, OLD)


def test_a_slow_version_is_rolled_back(tmp_path: Path) -> None:
    iris_project(tmp_path, iris={"release": {"slow_above": 2.0}})
    project = open_project(folder=tmp_path)
    try:
        _register_slow(project)
    finally:
        project.close()
    with running(tmp_path) as server:
        release, answered = load(server, deploy(tmp_path))
        assert release.status == "rolled_back"
        assert "were slow" in release.outcome
        assert answered[NEW, "canary"] > 0
        champion_answers(server, OLD)


@pytest.mark.parametrize("strategy", ["canary", "blue-green", "rolling"])
def test_an_equally_good_version_is_promoted(tmp_path: Path, strategy: str) -> None:
    two_versions(tmp_path, weights=1.000001)
    with running(tmp_path, "--workers", "2") as server:
        release, answered = load(server, deploy(tmp_path, strategy=strategy))
        assert release.status == "promoted", release.outcome
        assert {version for version, _ in answered} == {OLD, NEW}
        champion_answers(server, NEW)
        project = open_project(folder=tmp_path)
        try:
            with project.store.reading() as tx:
                assert models.list_aliases(tx, "iris")["champion"] == NEW
            assert deploying.rollback(project, "iris") == (NEW, OLD)
        finally:
            project.close()
        champion_answers(server, OLD)


@pytest.mark.parametrize("strategy", ["canary", "blue-green"])
def test_a_version_that_ends_its_process_is_rolled_back_and_nobody_waits_or_gets_an_error(
    tmp_path: Path, strategy: str
) -> None:
    iris_project(tmp_path)
    project = open_project(folder=tmp_path)
    try:
        _register_deadly(project, tmp_path / "now")
    finally:
        project.close()
    (tmp_path / "now").touch()
    with running(tmp_path) as server:
        release, answered = load(server, deploy(tmp_path, strategy=strategy))
        assert release.status == "rolled_back"
        assert {version for version, _ in answered} == {OLD}
        champion_answers(server, OLD)
        assert f"iris@{NEW}: its process died (code 3)" in server.errors
        until(lambda: "failed" in {each["kind"] for each in failures(server, release)})
        metrics = server.ask("GET", "/metrics", headers={"Accept": "text/plain"}).body.decode()
        assert f'event="crashed",model="iris",version="{NEW}"' in metrics
    project = open_project(folder=tmp_path)  # the server has ended: its journal is in the log
    try:
        (instead,) = showing.view(project, release).failed.values()
        assert instead.requests == instead.answered > 0
        with project.store.reading() as tx:
            assert observations.crashes(tx, release.release_id)[NEW] >= 1
    finally:
        project.close()


def _register_deadly(project: Any, flag: Path) -> None:
    """A version that ends its process, whatever it is asked, as soon as there is a flag."""
    frame = iris().to_pandas()

    class Deadly(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
        def predict_proba(self, rows: Any) -> Any:
            import os

            if flag.exists():
                os._exit(3)
            return super().predict_proba(rows)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Deadly().fit(frame[NAMES], frame["species"])
    _register(project, model)


def _register_slow(project: Any) -> None:
    frame = iris().to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianProcessClassifier().fit(frame[NAMES], frame["species"])
    _register(project, model)


def _register(project: Any, model: Any) -> None:
    with project.store.reading() as tx:
        data_version = models.list_model_versions(tx, "iris")[0].data_version
    origin = outside.Origin(data_version, {}, "species", NAMES, {})
    outside.register(project, "iris", model, origin, version=NEW)
