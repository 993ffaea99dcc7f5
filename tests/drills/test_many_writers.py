"""Fifty processes writing at once lose nothing and see no 'database is locked'."""

from __future__ import annotations

from pathlib import Path

from tests.drills.conftest import Zygote
from tests.drills.test_kill import task


def test_fifty_processes_write_at_once(zygote: Zygote, tmp_path: Path, url: str | None) -> None:
    """They even meet on the very first start, when the database does not exist yet."""
    writers = [task("write_events", tmp_path, name=f"m{n}", many=20, url=url) for n in range(50)]
    answers = zygote(*writers)
    assert [a["answer"] for a in answers] == [{"wrote": 20}] * 50
    counts = zygote(task("count_events", tmp_path, url=url))[0]["answer"]
    assert counts == {f"m{n}": 20 for n in range(50)}


def test_twelve_processes_register_versions_of_one_dataset(
    zygote: Zygote, tmp_path: Path, url: str | None
) -> None:
    tasks = [task("register_rows", tmp_path, seed=n % 6, url=url) for n in range(12)]
    answers = [a["answer"] for a in zygote(*tasks)]
    assert len({a["version"] for a in answers}) == 6
    assert {a["sequence"] for a in answers} == set(range(1, 7))
