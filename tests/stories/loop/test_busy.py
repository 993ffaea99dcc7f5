"""A model that many ask: what is known beforehand is said once, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.stories.loop.town import MODEL, Town, work

from everloop.core.errors import FileMissing
from everloop.flows.loop import asking, resting
from everloop.store import datasets

Open = Callable[..., Town]
BUSY: dict[str, Any] = {"on": ("labels",), "new_labels": 5, "min_rows": 5, "cooldown": "1h", "window": "2d"}


def days(town: Town) -> None:
    """Until labels of some rows are complete."""
    for _ in range(4):
        town.day_of()


def hours(town: Town, many: int) -> None:
    """Labels become complete, some forty in an hour, and somebody looks often."""
    for _ in range(3 * many):
        town.clock.at += timedelta(minutes=20)
        work(town.project)


def versions(town: Town) -> int:
    with town.project.store.reading() as tx:
        return len(datasets.versions(tx, MODEL))


def test_the_wait_for_the_next_candidate_is_said_once_and_nothing_is_versioned(open_town: Open) -> None:
    town = open_town(**BUSY)
    days(town)
    before = versions(town)
    hours(town, 6)
    (said,) = town.decisions()
    assert (said.action, said.code) == ("refuse", "no_benefit")
    assert said.reason.startswith("The model was trained at 2026-03-01 00:00 UTC. Unless labels prove that")
    assert "From 2026-03-09 00:00 UTC on" in said.changes
    assert [each.check for each in said.evidence if each.fired] == ["wait"]
    assert 5 <= said.times <= 7  # labels alone call again after an hour
    assert versions(town) == before


def test_people_are_answered_at_once_and_what_is_forced_does_not_wait(open_town: Open) -> None:
    town = open_town(**BUSY)
    days(town)
    hours(town, 1)
    asking.ask(town.project, MODEL)
    work(town.project)
    (said,) = town.decisions()
    assert said.times == 2
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    assert town.decisions()[1].run_id


def test_what_cannot_be_told_beforehand_is_left_to_the_turn(
    open_town: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*told: Any) -> bool:
        raise FileMissing("There is no file 'mine.py'.")

    monkeypatch.setattr(resting, "_changed", lost)
    town = open_town(**BUSY)
    days(town)
    asking.ask(town.project, MODEL)
    work(town.project)
    (said,) = town.decisions()
    assert (said.code, bool(said.turn_id)) == ("no_benefit", True)


def test_a_model_that_is_worse_than_the_settings_allow_does_not_wait(open_town: Open) -> None:
    town = open_town(**BUSY, floor=0.99)
    days(town)
    hours(town, 3)
    assert town.decisions()[0].run_id
