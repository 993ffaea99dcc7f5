"""A clock that jumps: what was decided last stays the last, and nothing is said again at every look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.stories.loop.town import Town, work

from everloop.flows.loop import asking


def test_what_is_put_off_is_said_once_after_the_clock_went_forward_and_back(
    open_town: Callable[..., Town],
) -> None:
    town = open_town(on=("labels",))
    town.clock.at += timedelta(days=90)
    asking.ask(town.project, "churn", force=True)
    work(town.project)
    town.clock.at -= timedelta(days=90)
    town.live(4)
    before = town.decisions()
    assert before[-1].code == "cooldown"  # until the day of the jump has come
    for _ in range(5):
        town.clock.at += timedelta(seconds=30)
        work(town.project)
    assert town.decisions() == before
