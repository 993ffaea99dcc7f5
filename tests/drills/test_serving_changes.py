"""A server under load while versions change, workers are replaced and it is stopped: no request is lost.

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


def test_versions_change_and_every_answer_is_one_of_theirs(folder: Path) -> None:
    figures = serving_drills.swaps(folder, 8)
    assert figures["answers"] > 50


def test_a_damaged_version_never_replaces_the_one_that_serves(folder: Path) -> None:
    assert serving_drills.damaged_version(folder)["answers"] > 300


def test_workers_are_replaced_one_after_the_other(folder: Path) -> None:
    assert serving_drills.restarts(folder, 2)["answers"] > 200


def test_a_server_that_is_stopped_answers_what_it_was_sent(folder: Path) -> None:
    assert serving_drills.terms(folder, 3)["answers"] >= 300
