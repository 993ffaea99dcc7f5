"""A candidate on trial is judged again, and whoever does it is killed before and after commits: it ends as if
nothing had happened, and goes out once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop.flows import history, models
from everloop.flows.loop import showing
from everloop.flows.project import Project
from everloop.settings import folder_settings
from everloop.wiring import connect
from tests.clocks import Hands
from tests.drills.test_loop_killed import DIED_FOR, Commits, Died
from tests.pictures import unrendered
from tests.stories.loop.test_trial import days, on_trial
from tests.stories.loop.town import MODEL, Town, Truth, as_ever, turned, work

__all__ = ["unrendered"]

APART = 2  # commits between those that are tried


def opened(folder: Path, at: Any) -> tuple[Project, Hands]:
    clock = Hands(at)
    return replace(connect(folder_settings(folder, Town.tree(on=())), clock), clock=clock), clock


def ended(project: Project) -> dict[str, Any]:
    """What there is at the end, without names and times."""
    (record,) = showing.decisions(project, MODEL)
    told = [each.kind for each in history.events(project, MODEL)]
    return {
        "decision": (record.stage, record.outcome, record.version, record.looks, len(record.releases)),
        "looked": sum(each.check == "trial" for each in record.evidence),
        "models": [one.version.version for one in models.list_models(project, MODEL)],
        "champion": models.find(project, f"{MODEL}@champion").version.version,
        "told": {kind: told.count(kind) for kind in ("considered", "released", "promoted", "concluded")},
    }


@pytest.mark.parametrize(
    ("truth", "end"),
    [
        (turned, ("ended", "promoted", "1.0.1", 1, 1)),
        (as_ever, ("trial", "kept", "1.0.1", 1, 0)),
    ],
)
def test_killed_at_any_commit_of_a_look_it_ends_as_if_nothing_had_happened(
    tmp_path: Path, truth: Truth, end: tuple[Any, ...]
) -> None:
    folder = tmp_path / "due"
    town, _ = on_trial(lambda **given: Town(folder, **given))
    days(town, 5, truth)
    at = town.clock.at
    town.close()
    shutil.copytree(folder, tmp_path / "without")
    with pytest.MonkeyPatch.context() as patch:
        commits = Commits(patch)
        project, _ = opened(tmp_path / "without", at)
        work(project)
        total = commits.count
    expected = ended(project)
    project.close()
    assert (expected["decision"], expected["looked"]) == (end, 1)
    for number in range(1, total + 1, APART):
        for before in (True, False):
            copied = tmp_path / f"{number}{before}"
            shutil.copytree(folder, copied)
            with pytest.MonkeyPatch.context() as patch:
                commits = Commits(patch)
                commits.at, commits.before = number, before
                project, clock = opened(copied, at)
                with pytest.raises(Died):
                    work(project)
                clock.sleep(DIED_FOR)
                work(project)
            where = f"died {'before' if before else 'after'} commit {number} of {total}"
            assert ended(project) == expected, where
            project.close()
            shutil.rmtree(copied)
