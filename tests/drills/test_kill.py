"""A turn killed at any point is resumed by the next one: nothing twice, nothing half-registered."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.drills.conftest import Zygote


def task(do: str, folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"do": do, "with": {"folder": str(folder), **options}}


@pytest.mark.timeout(1_200)  # some hundred turns: on a busy machine they take longer than other tests may
def test_killed_before_and_after_every_durable_operation(zygote: Zygote, tmp_path: Path) -> None:
    whole = zygote(task("take_turn", tmp_path / "whole"))[0]["answer"]
    expected = zygote(task("state", tmp_path / "whole"))[0]["answer"]
    assert expected["models"] == [["1.0.0", None, ["champion"]]]
    assert whole["operations"] > 20
    for point in range(1, whole["operations"] + 1):
        folder = tmp_path / f"point{point}"
        died = zygote(task("take_turn", folder, die_at=point))[0]
        assert died["died"], f"survived its death at operation {point}"
        zygote(task("take_turn", folder))
        found = zygote(task("state", folder))[0]["answer"]
        assert without_last_look(found) == without_last_look(expected), f"killed at operation {point}"


def without_last_look(state: dict[str, Any]) -> dict[str, Any]:
    """A turn killed after its last commit is complete: the next run is a turn of its own, which looks at the
    data once more and keeps the model. What a turn makes must be there exactly once all the same.
    """
    made = {key: state[key] for key in ("data", "runs", "models", "outbox")}
    firsts = ("trained", "judged", "registered", "promoted")
    return {**made, "events": [kind for kind in state["events"] if kind in firsts]}


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments_again_and_again(zygote: Zygote, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    zygote(task("take_turn", tmp_path / "whole"))
    expected = zygote(task("state", tmp_path / "whole"))[0]["answer"]
    for _ in range(4):
        zygote(task("die_while_running", tmp_path / "mortal", after=chance.uniform(0.02, 0.4)))
    zygote(task("take_turn", tmp_path / "mortal"))
    found = zygote(task("state", tmp_path / "mortal"))[0]["answer"]
    assert without_last_look(found) == without_last_look(expected)
    assert set(found["turns"]) == {"done"}


def test_resumed_on_postgresql(zygote: Zygote, tmp_path: Path, postgres_database: str) -> None:
    died = zygote(task("take_turn", tmp_path, url=postgres_database, die_at=24))[0]
    assert died["died"]
    answer = zygote(task("take_turn", tmp_path, url=postgres_database))[0]["answer"]
    assert answer["resumed"]
    found = zygote(task("state", tmp_path, url=postgres_database))[0]["answer"]
    assert found["models"] == [["1.0.0", None, ["champion"]]]
    assert found["turns"] == ["done"]


def test_two_turns_of_one_model_at_once(zygote: Zygote, tmp_path: Path, url: str | None) -> None:
    zygote(task("count_events", tmp_path, url=url))
    answers = zygote(*(task("race_turn", tmp_path, url=url) for _ in range(3)))
    refused = [a["answer"]["busy"] for a in answers if a["answer"]["busy"]]
    found = zygote(task("state", tmp_path, url=url))[0]["answer"]
    assert len(found["models"]) == 1
    assert len(refused) >= 1
    assert "at work on model/default" in refused[0]
