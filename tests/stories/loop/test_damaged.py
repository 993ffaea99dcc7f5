"""A decision that is damaged on disk stops neither the loop nor what is shown of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.stories.serving.server import iris_project, running
from tests.stories.test_cli import everloop

from everloop.flows.loop import showing
from everloop.store import loop
from everloop.wiring import open_project

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
