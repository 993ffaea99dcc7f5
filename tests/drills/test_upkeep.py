"""Collections, repairs and registrations at once, and killed at any moment: no version is ever lost."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.drills.conftest import Zygote


def task(do: str, folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"do": f"upkeep_deeds.{do}", "with": {"folder": str(folder), **options}}


def ask(zygote: Zygote, do: str, folder: Path, **options: Any) -> Any:
    answer = zygote(task(do, folder, **options))[0]
    assert not answer["died"], do
    return answer["answer"]


def test_a_collection_killed_at_its_operations(zygote: Zygote, tmp_path: Path) -> None:
    begin = tmp_path / "begin"
    before = ask(zygote, "begin", begin)
    shutil.copytree(begin, tmp_path / "whole")
    done = ask(zygote, "collect", tmp_path / "whole")
    assert done["items"] > 3
    whole = ask(zygote, "look", tmp_path / "whole")
    assert whole["right"] == before["right"]
    for point in range(1, done["operations"] + 1, 3):
        folder = tmp_path / f"point{point}"
        shutil.copytree(begin, folder)
        assert zygote(task("collect", folder, die_at=point))[0]["died"]
        found = ask(zygote, "look", folder)
        assert (found["right"], found["damages"]) == (before["right"], []), point
        ask(zygote, "collect", folder)
        again = ask(zygote, "look", folder)
        assert {**again, "objects": None} == {**whole, "objects": None}, point
        assert len(again["objects"]) <= len(whole["objects"]), point
        shutil.rmtree(folder)


def test_a_removal_killed_at_every_operation(zygote: Zygote, tmp_path: Path) -> None:
    begin = tmp_path / "begin"
    before = ask(zygote, "begin", begin)
    shutil.copytree(begin, tmp_path / "whole")
    operations = ask(zygote, "remove", tmp_path / "whole")["operations"]
    for point in range(1, operations + 1):
        folder = tmp_path / f"point{point}"
        shutil.copytree(begin, folder)
        assert zygote(task("remove", folder, die_at=point))[0]["died"]
        found = ask(zygote, "look", folder)
        assert not found["damages"], point
        assert found["right"] in (before["right"], []), point


@pytest.mark.parametrize("memory", [10**9, 1], ids=["in memory", "in batches"])
def test_a_registration_killed_at_its_operations(zygote: Zygote, tmp_path: Path, memory: int) -> None:
    begin = tmp_path / "begin"
    first = ask(zygote, "register_file", begin, memory=memory)["name"]
    shutil.copytree(begin, tmp_path / "whole")
    second = ask(zygote, "register_file", tmp_path / "whole", more=3, memory=memory)
    assert second["operations"] > 8
    for point in range(1, second["operations"] + 1):
        folder = tmp_path / f"point{point}"
        shutil.copytree(begin, folder)
        assert zygote(task("register_file", folder, more=3, memory=memory, die_at=point))[0]["died"]
        found = ask(zygote, "look", folder)
        assert (found["damages"], first in found["right"], len(found["right"]) <= 2) == ([], True, True), (
            point
        )
        assert ask(zygote, "register_file", folder, more=3, memory=memory)["name"] == second["name"]
        found = ask(zygote, "look", folder)
        assert (found["damages"], found["right"]) == ([], sorted([first, second["name"]])), point
        shutil.rmtree(folder)


def test_a_repair_killed_at_its_operations(zygote: Zygote, tmp_path: Path) -> None:
    begin = tmp_path / "begin"
    ask(zygote, "begin", begin)
    before = ask(zygote, "look", begin)
    assert ask(zygote, "harm", begin)["harmed"] > 3
    shutil.copytree(begin, tmp_path / "whole")
    done = ask(zygote, "repair", tmp_path / "whole")
    assert not done["lost"]
    for point in range(1, done["operations"] + 1, 3):
        folder = tmp_path / f"point{point}"
        shutil.copytree(begin, folder)
        assert zygote(task("repair", folder, die_at=point))[0]["died"]
        assert ask(zygote, "repair", folder)["lost"] == 0, point
        found = ask(zygote, "look", folder)
        assert (found["right"], found["damages"]) == (before["right"], []), point
        shutil.rmtree(folder)


def test_registrations_removals_and_collections_at_once(
    zygote: Zygote, tmp_path: Path, url: str | None
) -> None:
    ask(zygote, "look", tmp_path, url=url)
    ask(zygote, "register_many", tmp_path, name="w", many=1, seed=9, url=url)
    writers = [task("register_many", tmp_path, name=f"w{n}", many=10, seed=n, url=url) for n in range(3)]
    *wrote, swept, also = zygote(
        *writers,
        task("collect_many", tmp_path, many=6, url=url),
        task("collect_many", tmp_path, many=6, url=url),
    )
    alive = sorted(name for answer in wrote for name in answer["answer"]["alive"])
    assert swept["answer"]["blocked"] + also["answer"]["blocked"] == 0
    rest = ask(zygote, "collect", tmp_path, url=url)["items"]  # they may have been done before the writers
    assert swept["answer"]["gone"] + also["answer"]["gone"] + rest > 0
    found = ask(zygote, "look", tmp_path, url=url)
    assert found["damages"] == []
    assert [name for name in found["right"] if not name.startswith("w@")] == alive


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_again_and_again(zygote: Zygote, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    ask(zygote, "begin", tmp_path)
    for round_ in range(5):
        times = [chance.uniform(0.05, 0.8) for _ in range(3)]
        died = zygote(
            *(
                task("churn_until_killed", tmp_path, seed=10 * round_ + n, after=t)
                for n, t in enumerate(times)
            )
        )
        assert all(each["died"] for each in died)
        assert ask(zygote, "look", tmp_path)["damages"] == []
    ask(zygote, "collect", tmp_path)
    assert ask(zygote, "look", tmp_path)["damages"] == []
