"""A recorder that is killed at any commit, or meets another one, records each prediction once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drills.conftest import Zygote


def task(do: str, folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"do": f"recording_deeds.{do}", "with": {"folder": str(folder), **options}}


def written(zygote: Zygote, folder: Path, url: str | None = None) -> list[str]:
    """Two log files; the ids that are in them."""
    zygote(task("write_log", folder, url=url, first=0, last=30, name="a-000001.jsonl"))
    zygote(task("write_log", folder, url=url, first=25, last=50, name="b-000001.jsonl"))
    return [f"pred_{number:06}" for number in range(50)]


def test_killed_before_and_after_every_commit(zygote: Zygote, tmp_path: Path) -> None:
    expected = written(zygote, tmp_path / "whole")
    whole = zygote(task("record", tmp_path / "whole"))[0]["answer"]
    assert (whole["rows"], whole["known"]) == (50, 5)
    assert whole["operations"] > 10
    for point in range(1, whole["operations"] + 1):
        folder = tmp_path / f"point{point}"
        written(zygote, folder)
        assert zygote(task("record", folder, die_at=point))[0]["died"], f"survived operation {point}"
        zygote(task("record", folder))
        assert zygote(task("recorded", folder))[0]["answer"]["ids"] == expected, f"killed at {point}"


def test_several_at_once_record_each_prediction_once(zygote: Zygote, tmp_path: Path, url: str | None) -> None:
    expected = written(zygote, tmp_path, url)
    answers = zygote(*(task("record", tmp_path, url=url) for _ in range(3)))
    zygote(task("record", tmp_path, url=url))
    assert zygote(task("recorded", tmp_path, url=url))[0]["answer"]["ids"] == expected
    assert sum(answer["answer"]["rows"] for answer in answers) == 50
