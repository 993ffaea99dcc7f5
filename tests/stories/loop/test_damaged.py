"""A decision that is damaged on disk, or a file that may not be looked at, stops neither the loop nor what is
shown of the others."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.stories.serving.server import check_problem, iris_project, running
from tests.stories.test_cli import NOBODY, as_nobody, everloop

from everloop.core.loop import DecisionRecord, Trigger
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows import turn
from everloop.flows.loop import advancing, asking, following, noticing, showing, working
from everloop.settings.loading import folder_settings
from everloop.store import loop
from everloop.wiring import connect, open_project

BROKEN = ("{broken", json.dumps({"decision_id": "dec_x"}))


@pytest.fixture
def decided(tmp_path: Path) -> tuple[Path, list[str]]:
    """Two decisions on iris, the oldest first."""
    iris_project(tmp_path, serving={"retrain": False}, iris={"retraining": {"on": []}})
    for force in (False, True):
        everloop(tmp_path, "retrain", "iris", *(["--force"] if force else []))
    found = everloop(tmp_path, "decisions", "list", "--json").json["decisions"]
    assert len(found) == 2
    return tmp_path, [each["decision_id"] for each in found[::-1]]


def damage(folder: Path, decision_id: str, document: str) -> None:
    (path,) = (folder / ".everloop").rglob("*.db")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        told = {"document": document, "id": decision_id}
        connection.execute(sa.text("update decisions set document = :document where decision_id = :id"), told)
    engine.dispose()


@pytest.mark.parametrize("document", BROKEN)
@pytest.mark.parametrize("which", [0, 1])
def test_the_others_are_shown_and_the_loop_goes_on(
    decided: tuple[Path, list[str]], which: int, document: str
) -> None:
    folder, names = decided
    damage(folder, names[which], document)
    listed = everloop(folder, "decisions", "list", "--json")
    assert listed.code == 5
    assert listed.json["unreadable"] == [names[which]]
    assert [each["decision_id"] for each in listed.json["decisions"]] == [names[1 - which]]
    assert f"Damaged, and left out: {names[which]}." in everloop(folder, "decisions", "list").out
    status = everloop(folder, "loop", "status")
    assert status.code == 5
    assert names[which] in status.out
    assert everloop(folder, "status").code == 0
    assert everloop(folder, "decisions", "show", names[1 - which]).code == 0
    shown = everloop(folder, "decisions", "show", names[which])
    assert shown.code == 60
    assert names[which] in shown.err
    assert "decisions" in shown.err
    assert everloop(folder, "retrain", "iris").code == 6
    project = open_project(folder=folder)
    try:
        newest = showing.decisions(project, "iris")[0]
        assert newest.number == 3
        with project.store.reading() as tx:
            assert len(loop.retrained(tx, "iris")) == 1  # also one that cannot be read: it may have trained
    finally:
        project.close()


def test_the_page_and_http_show_the_others(decided: tuple[Path, list[str]]) -> None:
    folder, names = decided
    damage(folder, names[0], BROKEN[0])
    with running(folder) as server:
        found: Any = server.ask("GET", "/decisions")
        assert (found.status, found.json["unreadable"], found.json["count"]) == (200, [names[0]], 1)
        page = server.ask("GET", "/decisions", headers={"accept": "text/html"})
        assert page.status == 200
        assert f"Damaged, and left out: {names[0]}" in page.body.decode()


@pytest.fixture
def waiting(tmp_path: Path) -> tuple[Path, str]:
    """A retraining that waits for approval, of one model of two."""
    settings = {"on": [], "approve": ["train"], "cooldown": "0s"}
    iris_project(tmp_path, serving={"retrain": False}, iris={"retraining": settings})
    project = open_project(folder=tmp_path)
    try:
        now = project.clock.now()
        asked = Trigger("manual", "manual/1", now, "by hand")
        record = DecisionRecord(
            "dec_waits", "iris", 1, now, "retrain", "labels", "There is more to learn.", "", (asked,), (),
            "somebody", stage="approval", job_id="job_gone",
        )  # fmt: skip
        with project.store.writing() as tx:
            loop.put(tx, record)
    finally:
        project.close()
    return tmp_path, record.decision_id


@pytest.mark.parametrize("document", BROKEN)
def test_one_that_has_not_ended_stops_its_loop_until_it_is_rejected(
    waiting: tuple[Path, str], document: str
) -> None:
    folder, name = waiting
    damage(folder, name, document)
    status = everloop(folder, "loop", "status")
    reject = f"everloop decisions reject {name} --why TEXT"
    assert status.code == 5
    assert reject in " ".join(status.out.split())
    assert everloop(folder, "status").code == 0
    assert name in everloop(folder, "status").out.replace("\n", "")
    doctor = everloop(folder, "doctor", "--json")
    assert doctor.code == 5
    assert name in next(one["message"] for one in doctor.json["checks"] if one["name"] == "loop of iris")
    assert everloop(folder, "decisions", "list").code == 5
    for words in (("decisions", "approve", name), ("retrain", "iris", "--force")):
        stopped = everloop(folder, *words)
        assert stopped.code == 60
        assert f"The loop of iris stops: its decision {name} is damaged" in stopped.err
        assert reject in " ".join(stopped.err.split())
    ended = everloop(folder, "decisions", "reject", name, "--why", "its content is lost", "--json")
    assert ended.code == 0
    told = ended.json["decision"]
    assert (told["decision_id"], told["stage"], told["outcome"]) == (name, "ended", "failed")
    assert told["said"].startswith("What it said is lost; rejected by ")
    assert everloop(folder, "loop", "status").code == 0
    assert everloop(folder, "retrain", "iris", "--force").code == 0


def test_pages_and_the_loop_of_others_go_on(waiting: tuple[Path, str]) -> None:
    folder, name = waiting
    damage(folder, name, BROKEN[1])
    project = open_project(folder=folder)
    try:
        assert not following.is_due(project)
        assert advancing.advance(project) == []
        assert noticing.notice(project) == []
    finally:
        project.close()
    with running(folder) as server:
        found: Any = server.ask("GET", "/loop")
        assert found.status == 200
        assert found.json["models"][0]["lost"] == [name]
        page = server.ask("GET", "/decisions", headers={"accept": "text/html"})
        assert page.status == 200
        assert f"everloop decisions reject {name}" in page.body.decode()


def test_an_approval_as_nobody_is_refused(waiting: tuple[Path, str]) -> None:
    folder, name = waiting
    with running(folder) as server:
        for nobody in ("", " \t"):
            refused: Any = server.ask("POST", f"/decisions/{name}/approve", {"role": nobody})
            (wrong,) = check_problem(refused, 422)["errors"]
            assert (wrong["field"], wrong["reason"]) == ("role", "is blank")
        assert server.ask("GET", f"/decisions/{name}").json["stage"] == "approval"


def test_a_file_that_may_not_be_looked_at_stops_no_other_model() -> None:
    place = Path(tempfile.mkdtemp(prefix="everloop-test-"))  # pytest's own folder is closed to others
    models, rows = {}, writing.to_bytes(iris(), ".csv")
    for name in ("closed", "open"):
        (place / name).mkdir()
        (place / name / "iris.csv").write_bytes(rows)
        models[name] = {"data": {"path": f"{name}/iris.csv"}, "target": "species"}
    settings = folder_settings(place, {"models": models, "tracking": {"enabled": False}})
    try:
        with closing(connect(settings)) as project:
            for name in models:
                turn.run(project, name)
            later = project.clock.now().timestamp() + 60
        os.utime(place / "open/iris.csv", (later, later))
        for path in [place, *place.rglob("*")] if os.geteuid() == 0 else []:
            os.chown(path, NOBODY, -1)
        with as_nobody(), closing(connect(settings)) as project:
            (place / "closed").chmod(0)
            assert noticing.notice(project) == ["open"]
            asking.ask(project, "closed", force=True)
            done = {job.model: job for job in (working.run_next(project) for _ in models) if job}
            said = f"'{place}/closed/iris.csv' cannot be read: Permission denied."
            assert (done["closed"].status, done["closed"].error) == ("failed", said)
            assert done["open"].status == "done"
            (place / "closed").chmod(0o755)
    finally:
        shutil.rmtree(place)
