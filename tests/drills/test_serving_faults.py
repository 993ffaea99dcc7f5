"""A server under load whose processes are killed, whose disk is full, whose database does not answer, and
that is asked for more than it can do.

Longer forms of these, with figures: ``python -m bench.serving.drills``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.drills import serving_drills
from tests.drills.serving_deeds import make_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "begin"
    make_project(folder, slow=False)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "project")


def test_a_killed_worker_loses_only_what_it_was_answering(folder: Path) -> None:
    assert serving_drills.killed_worker(folder, 1)["answers"] >= 400


def test_workers_whose_office_is_killed_end_and_lose_nothing(folder: Path) -> None:
    assert serving_drills.killed_office(folder, 1)["answers"] >= 200


def test_the_killed_process_of_other_models_comes_back(tmp_path: Path) -> None:
    make_project(tmp_path)
    assert serving_drills.killed_native(tmp_path, 1)["answers"] > 0


def test_workers_that_cannot_work_are_told_and_tried_ever_later(folder: Path) -> None:
    serving_drills.crash_loop(folder)


def test_more_requests_than_may_wait_and_clients_that_never_finish(folder: Path) -> None:
    figures = serving_drills.overload(folder, 10)
    assert figures["memory grown, MB"] < 100


@pytest.mark.parametrize("policy", ["refuse", "shed"])
def test_a_full_disk(folder: Path, policy: str) -> None:
    figures = serving_drills.full_disk(folder, 1, [policy])
    assert (figures[f"{policy}: 503"] > 0) == (policy == "refuse")
    assert (figures[f"{policy}: not logged"] > 0) == (policy == "shed")


def test_a_database_that_does_not_answer_holds_up_nobody(folder: Path) -> None:
    assert serving_drills.locked_database(folder, 1)["answered while it was locked"] > 100
