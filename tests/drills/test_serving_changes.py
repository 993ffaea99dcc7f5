"""A server under load while versions change, workers are replaced and it is stopped: no request is lost.

Longer forms of these, with figures: ``python -m bench.serving.drills``."""

from __future__ import annotations

from pathlib import Path

from tests.drills import serving_changes


def test_versions_change_and_every_answer_is_one_of_theirs(serving_folder: Path) -> None:
    figures = serving_changes.swaps(serving_folder, 8)
    assert figures["answers"] > 50


def test_a_damaged_version_never_replaces_the_one_that_serves(serving_folder: Path) -> None:
    assert serving_changes.damaged_version(serving_folder)["answers"] > 300


def test_workers_are_replaced_one_after_the_other(serving_folder: Path) -> None:
    assert serving_changes.restarts(serving_folder, 2)["answers"] > 200


def test_a_server_that_is_stopped_answers_what_it_was_sent(serving_folder: Path) -> None:
    assert serving_changes.terms(serving_folder, 3)["answers"] >= 300
