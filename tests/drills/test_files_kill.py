"""A registration or a restore of files that is killed: what was there is whole, and the next one goes on."""

from __future__ import annotations

from pathlib import Path

from tests.drills.conftest import Zygote
from tests.drills.test_kill import task


def test_a_registration_killed_at_every_other_operation(zygote: Zygote, tmp_path: Path) -> None:
    """The earlier version stays whole, the interrupted one is absent or complete, and done again it is there,
    the same."""
    whole, mortal = tmp_path / "whole", tmp_path / "mortal"
    for folder in (whole, mortal):
        zygote(task("files_deeds.write_folder", folder, seed=1))
        first = zygote(task("files_deeds.register", folder))[0]["answer"]["version"]
        zygote(task("files_deeds.write_folder", folder, seed=2))
    answer = zygote(task("files_deeds.register", whole))[0]["answer"]
    second = answer["version"]
    assert answer["operations"] > 20
    for point in range(1, answer["operations"] + 1, 2):
        died = zygote(task("files_deeds.register", mortal, die_at=point))[0]
        found = zygote(task("files_deeds.state", mortal))[0]["answer"]
        assert found["versions"] in ([first], [first, second])
        assert found["faults"] == found["damages"] == [], f"killed at operation {point}"
        if not died["died"]:
            break
    assert zygote(task("files_deeds.register", mortal))[0]["answer"]["version"] == second
    assert zygote(task("files_deeds.state", mortal))[0]["answer"] == {
        "versions": [first, second],
        "faults": [],
        "damages": [],
    }


def test_a_restore_killed_at_every_operation(zygote: Zygote, tmp_path: Path) -> None:
    """Each file has its old content or its new one, never a part; done again all are there, and no draft."""
    zygote(task("files_deeds.write_folder", tmp_path, seed=1))
    zygote(task("files_deeds.register", tmp_path))
    zygote(task("files_deeds.restore", tmp_path))
    old = zygote(task("files_deeds.tree", tmp_path, name="out"))[0]["answer"]
    zygote(task("files_deeds.write_folder", tmp_path, seed=2))
    zygote(task("files_deeds.register", tmp_path))
    new = zygote(task("files_deeds.tree", tmp_path, name="in"))[0]["answer"]
    assert old.keys() == new.keys()
    point, died = 0, True
    while died:
        point += 1
        died = zygote(task("files_deeds.restore", tmp_path, die_at=point))[0]["died"]
        found = zygote(task("files_deeds.tree", tmp_path, name="out"))[0]["answer"]
        for path in old:
            assert found[path] in (old[path], new[path]), f"{path}, killed at operation {point}"
    assert point > 10
    assert found == new
