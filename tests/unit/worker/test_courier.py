"""The courier looks for work, is patient with an absent tracker, and ends when nobody waits any longer."""

from __future__ import annotations

import io
import threading
from typing import Any, cast

import pytest

from everloop.flows.delivery import Delivery
from everloop.worker import courier

NOTHING = Delivery(0, 0)
AWAY = Delivery(0, 3, problem="nobody answers")


class Closing(threading.Event):
    """Closed at the n-th look; remembers how long each wait would have been."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.looks = looks

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return len(self.waits) > self.looks


def followed(monkeypatch: pytest.MonkeyPatch, answers: list[Delivery]) -> tuple[Closing, Delivery, int]:
    given = iter(answers)
    asked: list[Any] = []

    def deliver(project: Any) -> Delivery:
        asked.append(project)
        return next(given)

    monkeypatch.setattr(courier.delivery, "deliver", deliver)
    closed = Closing(len(answers) - 1)
    last = courier.follow(cast(Any, "project"), closed)
    return closed, last, len(asked)


def test_it_looks_often_while_all_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, _, _ = followed(monkeypatch, [NOTHING] * 5)
    assert set(closed.waits) == {courier.LOOK_EVERY}


def test_it_asks_an_absent_tracker_ever_less_often_and_at_once_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, _, _ = followed(monkeypatch, [AWAY] * 10 + [NOTHING, NOTHING])
    assert closed.waits[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert closed.waits[10] == courier.LONGEST_PAUSE
    assert closed.waits[11] == courier.LOOK_EVERY


def test_once_closed_it_delivers_the_rest_and_tries_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    _, last, asked = followed(monkeypatch, [AWAY])
    assert last is AWAY
    assert asked == 1


def test_the_end_of_its_input_closes_it() -> None:
    closed = threading.Event()
    courier._watch(io.BytesIO(b""), closed)
    assert closed.is_set()
