"""A server under load whose processes are killed, whose disk is full, whose database does not answer, and
that is asked for more than it can do.

Longer forms of these, with figures: ``python -m bench.serving.drills``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills import serving_faults
from tests.drills.serving_deeds import make_project


def test_a_killed_worker_loses_only_what_it_was_answering(serving_folder: Path) -> None:
    assert serving_faults.killed_worker(serving_folder, 1)["answers"] >= 400


def test_workers_whose_office_is_killed_end_and_lose_nothing(serving_folder: Path) -> None:
    assert serving_faults.killed_office(serving_folder, 1)["answers"] >= 200


def test_an_office_that_stood_still_takes_no_worker_for_hung(serving_folder: Path) -> None:
    assert serving_faults.held_up_office(serving_folder, silent=6.0)["answers"] > 100


def test_the_killed_process_of_other_models_comes_back(tmp_path: Path) -> None:
    make_project(tmp_path)
    assert serving_faults.killed_native(tmp_path, 1)["answers"] > 0


def test_workers_that_cannot_work_are_told_and_tried_ever_later(serving_folder: Path) -> None:
    serving_faults.crash_loop(serving_folder)


def test_more_requests_than_may_wait_and_clients_that_never_finish(serving_folder: Path) -> None:
    figures = serving_faults.overload(serving_folder, 10)
    assert figures["memory grown, MB"] < 100


@pytest.mark.parametrize("policy", ["refuse", "shed"])
def test_a_full_disk(serving_folder: Path, policy: str) -> None:
    figures = serving_faults.full_disk(serving_folder, 1, [policy])
    assert (figures[f"{policy}: 503"] > 0) == (policy == "refuse")
    assert (figures[f"{policy}: not logged"] > 0) == (policy == "shed")


def test_a_database_that_does_not_answer_holds_up_nobody(serving_folder: Path) -> None:
    assert serving_faults.locked_database(serving_folder, 1)["answered while it was locked"] > 100
