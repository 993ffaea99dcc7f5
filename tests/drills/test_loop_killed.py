"""The loop is killed before and after commits, all along its way: it ends as if nothing had happened, with
one model registered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop.core.errors import Unavailable
from everloop.core.monitoring import Checked
from everloop.flows import models, runs
from everloop.flows.loop import showing
from everloop.flows.monitoring import checking
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.settings import folder_settings
from everloop.store.database import Store, Tx
from everloop.wiring import connect
from tests.clocks import Hands
from tests.pictures import unrendered
from tests.stories.loop.town import MODEL, Town, turned, work

__all__ = ["unrendered"]

ROWS = 300  # a day
APART = 3  # commits between those that are tried
DIED_FOR = 600.0  # seconds, until what the dead held is free


class Died(BaseException):
    """As kill -9 would: nobody catches it."""


class Small(Town):
    """Few rows and a quick model: what counts here are commits."""

    @classmethod
    def tree(cls, **given: Any) -> dict[str, Any]:
        tree = super().tree(**given)
        model = tree["models"][MODEL]
        model["data"]["example"]["rows"] = 1_500
        model["training"] = {"model_type": "logistic", "cross_validation": 0}
        model["monitoring"] |= {"min_rows": 200}
        return tree


class Commits:
    """Counts the commits of all stores, and dies at one; or does not hear that it was done."""

    def __init__(self, patch: pytest.MonkeyPatch, *, unheard: bool = False) -> None:
        self.count = 0
        self.error: BaseException = Unavailable("The line is down.") if unheard else Died()
        self.at: int | None = None
        self.before = False
        original = Store.writing

        @contextmanager
        def writing(store: Store) -> Iterator[Tx]:
            with original(store) as tx:
                yield tx
                self.count += 1
                if self.before:
                    self._die()
            if not self.before:
                self._die()

        patch.setattr(Store, "writing", writing)

    def _die(self) -> None:
        if self.count == self.at:
            self.at = None
            raise self.error


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder, and the time there: the world has changed, an alert says so, and the loop has not run yet."""
    folder = tmp_path_factory.mktemp("changed")
    town = Small(folder, on=["performance"])
    town.day_of(rows=ROWS)
    for _ in range(7):
        town.day_of(turned, rows=ROWS)
    found: list[Checked] = checking.look(town.project, MODEL)
    assert any(each.family == "performance" and each.fired for one in found for each in one.results)
    at = town.clock.at
    town.close()
    return folder, at


def opened(folder: Path, at: Any, on: tuple[str, ...] = ("performance",)) -> tuple[Project, Hands]:
    clock = Hands(at)
    settings = folder_settings(folder, Small.tree(on=list(on)))
    return replace(connect(settings, clock), clock=clock), clock


def ended(project: Project) -> dict[str, Any]:
    """What there is at the end, without names and times, and without what rests on how late it is."""
    (record,) = showing.decisions(project, MODEL)
    return {
        "models": [one.version.version for one in models.list_models(project, MODEL)],
        "runs": len(runs.list_runs(project, MODEL)),
        "champion": models.find(project, f"{MODEL}@champion").version.version,
        "decision": (record.action, record.code, record.stage, record.outcome, record.version),
        "jobs": [(job.status, job.summary is not None) for job in jobs.list_jobs(project)],
        "left": sorted(path.name for path in (project.settings.state / "retraining").rglob("*.parquet")),
    }


@pytest.fixture(scope="module")
def without(
    changed: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, dict[str, Any]]:
    """How many commits it takes, and how it ends, where nobody dies."""
    folder = tmp_path_factory.mktemp("without") / "project"
    shutil.copytree(changed[0], folder)
    with pytest.MonkeyPatch.context() as patch:
        commits = Commits(patch)
        project, _ = opened(folder, changed[1])
        work(project)
        count = commits.count
    found = ended(project)
    project.close()
    assert found["decision"] == ("retrain", "changed_world", "ended", "promoted", "1.0.1")
    assert found["left"] == []
    return count, found


@pytest.mark.parametrize("before", [True, False])
def test_killed_at_any_commit_it_ends_as_if_nothing_had_happened(
    changed: tuple[Path, Any], without: tuple[int, dict[str, Any]], tmp_path: Path, *, before: bool
) -> None:
    total, expected = without
    for at in range(1 + APART * before // 2, total + 1, APART):
        folder = tmp_path / str(at)
        shutil.copytree(changed[0], folder)
        with pytest.MonkeyPatch.context() as patch:
            commits = Commits(patch)
            commits.at, commits.before = at, before
            project, clock = opened(folder, changed[1])
            with pytest.raises(Died):
                work(project)
            clock.sleep(DIED_FOR)
            work(project)
        assert ended(project) == expected, f"died {'before' if before else 'after'} commit {at} of {total}"
        project.close()
        shutil.rmtree(folder)


def test_a_commit_that_nobody_heard_of_is_not_made_again(
    changed: tuple[Path, Any], without: tuple[int, dict[str, Any]], tmp_path: Path
) -> None:
    """The database has kept it, and the line breaks before it says so."""
    total, expected = without
    for at in range(2, total + 1, APART):
        folder = tmp_path / str(at)
        shutil.copytree(changed[0], folder)
        with pytest.MonkeyPatch.context() as patch:
            commits = Commits(patch, unheard=True)
            commits.at = at
            project, clock = opened(folder, changed[1])
            for _ in range(3):
                with suppress(Unavailable):
                    work(project)
                clock.sleep(DIED_FOR)
        found = ended(project)
        for part in ("models", "champion", "decision", "left"):
            assert found[part] == expected[part], f"commit {at} of {total}"
        project.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("before", [True, False])
def test_killed_while_it_goes_back_it_has_gone_back_once(tmp_path: Path, *, before: bool) -> None:
    folder = tmp_path / "spoiled"
    town = Small(folder, on=["labels"])
    town.day_of(rows=ROWS)
    town.spoil()
    for _ in range(4):
        town.day_of(rows=ROWS)
    at = town.clock.at
    town.close()
    for number in range(1, 7):  # going back is among the first
        copied = tmp_path / str(number)
        shutil.copytree(folder, copied)
        with pytest.MonkeyPatch.context() as patch:
            commits = Commits(patch)
            commits.at, commits.before = number, before
            project, clock = opened(copied, at, on=("labels",))
            with pytest.raises(Died):
                work(project)
            clock.sleep(DIED_FOR)
            work(project)
        assert models.find(project, f"{MODEL}@champion").version.version == "1.0.0", number
        codes = [one.code for one in showing.decisions(project, MODEL)]
        assert codes.count("release_problem") == 1, number
        project.close()
