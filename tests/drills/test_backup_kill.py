"""kill -9 at any moment of a backup, a restore or a pruning: the old state or the new, nothing to tidy."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.drills.conftest import Zygote

MANY = int(os.environ.get("DRILL_POINTS", "5"))


def task(do: str, folder: Path, **options: Any) -> dict[str, Any]:
    return {"do": f"backup_deeds.{do}", "with": {"folder": str(folder), **options}}


def ask(zygote: Zygote, do: str, folder: Path, **options: Any) -> Any:
    answer = zygote(task(do, folder, **options))[0]
    assert not answer["died"], do
    return answer["answer"]


def kill(zygote: Zygote, do: str, folder: Path, point: int, **options: Any) -> None:
    died = zygote(task(do, folder, die_at=point, **options))[0]
    assert died["died"], f"{do} survived its death at operation {point}"


def points(operations: int) -> list[int]:
    """``DRILL_POINTS`` many [5] between the first operation and the last; each costs a second."""
    assert operations > 3
    return sorted({1 + round(n * (operations - 1) / (MANY - 1)) for n in range(MANY)})


@pytest.fixture
def saved(zygote: Zygote, tmp_path: Path) -> tuple[Path, Any, Any]:
    """A project with one backup and something written since: the folder, the state then, the state now."""
    folder = tmp_path / "begin"
    ask(zygote, "write", folder, seed=1)
    then = ask(zygote, "write", folder, seed=2)
    ask(zygote, "create", folder)
    return folder, then, ask(zygote, "write", folder, seed=3)


def copy_of(folder: Path, name: str) -> Path:
    """The same project in the same place, as it was: a backup knows whose it is by that."""
    kept = folder.with_name("kept")
    if not kept.exists():
        shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    return folder


def test_a_backup_killed_at_every_operation(zygote: Zygote, saved: tuple[Path, Any, Any]) -> None:
    begin, _, now = saved
    operations = ask(zygote, "create", copy_of(begin, "whole"))["operations"]
    for point in points(operations):
        folder = copy_of(begin, f"point{point}")
        kill(zygote, "create", folder, point)
        found = ask(zygote, "look", folder)
        assert found["problems"] == [], point
        assert len(found["backups"]) in (1, 2)  # absent or complete
        ask(zygote, "create", folder)
        assert ask(zygote, "look", folder)["problems"] == []
        assert state(zygote, folder) == without_version(now)
        ask(zygote, "restore", folder)  # the changes from before the kill are in the next backup
        assert state(zygote, folder) == without_version(now), point


def without_version(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("rows", "loaded")}


def state(zygote: Zygote, folder: Path, **options: Any) -> dict[str, Any]:
    return without_version(ask(zygote, "state", folder, **options))


def test_a_restore_in_place_killed_at_every_operation(zygote: Zygote, saved: tuple[Path, Any, Any]) -> None:
    begin, then, now = saved
    ask(zygote, "missing", begin, name=now["loaded"][0])  # so that a restore has something to bring
    operations = ask(zygote, "restore", copy_of(begin, "whole"))["operations"]
    old, new = set(), 0
    for point in points(operations):
        folder = copy_of(begin, f"point{point}")
        kill(zygote, "restore", folder, point)
        rows = ask(zygote, "rows", folder)
        assert rows in (then["rows"], now["rows"]), point
        old.add(rows == now["rows"])
        new += rows == then["rows"]
        ask(zygote, "restore", folder)  # what the first one put aside is not the newest
        assert state(zygote, folder) == without_version(then), point
        assert ask(zygote, "look", folder) | {"backups": []} == {"problems": [], "left": [], "backups": []}
    assert old == {True, False}
    assert new < 5  # only what comes after the one commit


def test_a_restore_beside_killed_at_every_operation(zygote: Zygote, saved: tuple[Path, Any, Any]) -> None:
    begin, then, _ = saved
    operations = ask(zygote, "restore", begin, into=str(begin.parent / "whole"))["operations"]
    for point in points(operations):
        into = begin.parent / f"point{point}"
        kill(zygote, "restore", begin, point, into=str(into))
        if not into.exists():
            ask(zygote, "restore", begin, into=str(into))
        assert {path.name for path in into.iterdir()} >= {"everloop.yaml", ".everloop"}
        assert not (begin.parent / f".{into.name}.restoring").exists()
    found = ask(zygote, "rows", into, itself=True)
    assert found == then["rows"]


def test_a_pruning_killed_at_every_operation(zygote: Zygote, saved: tuple[Path, Any, Any]) -> None:
    begin, _, now = saved
    ask(zygote, "create", begin, full=True)
    operations = ask(zygote, "prune", copy_of(begin, "whole"))["operations"]
    for point in points(operations):
        folder = copy_of(begin, f"point{point}")
        kill(zygote, "prune", folder, point)
        assert ask(zygote, "look", folder)["problems"] == [], point
        ask(zygote, "prune", folder)
        found = ask(zygote, "look", folder)
        assert (len(found["backups"]), found["problems"]) == (1, [])
        assert state(zygote, folder) == without_version(now)


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_while_another_writes(
    zygote: Zygote, tmp_path: Path, url: str | None, seed: int
) -> None:
    chance = random.Random(seed)
    for life in range(3):
        died = zygote(
            task(
                "write_and_save_for",
                tmp_path,
                seconds=chance.uniform(0.3, 1.0),
                seed=100 * life,
                url=url,
            )
        )
        assert died[0]["died"]
    assert ask(zygote, "look", tmp_path, url=url)["problems"] == []
    ask(zygote, "create", tmp_path, url=url)
    before = state(zygote, tmp_path, url=url)
    ask(zygote, "restore", tmp_path, url=url)
    assert state(zygote, tmp_path, url=url) == before
    assert len(before["loaded"]) == len(before["rows"]["dataset_versions"]) > 0
