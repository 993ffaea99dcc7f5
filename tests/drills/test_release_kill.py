"""Operators that are killed in the middle of a change, or meet others: who answers is the old or the new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drills.conftest import Zygote


def task(do: str, folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"do": f"release_deeds.{do}", "with": {"folder": str(folder), **options}}


def ask(zygote: Zygote, do: str, folder: Path, **options: Any) -> Any:
    answer = zygote(task(do, folder, **options))[0]
    assert not answer["died"], do
    assert not (answer["answer"] or {}).get("error"), answer["answer"]
    return answer["answer"]


def is_whole(found: dict[str, Any]) -> None:
    assert found["numbers"] == list(range(len(found["numbers"]), 0, -1))
    assert found["champion"] == found["alias"]
    assert found["answers"]
    assert found["of"]


def test_killed_before_and_after_every_commit(zygote: Zygote, tmp_path: Path) -> None:
    ask(zygote, "begin", tmp_path / "whole")
    operations = ask(zygote, "life", tmp_path / "whole")["operations"]
    assert operations >= 10
    assert ask(zygote, "look", tmp_path / "whole")["champion"] == "1.0.0"
    seen = set()
    for point in range(1, operations + 1):
        folder = tmp_path / f"point{point}"
        ask(zygote, "begin", folder)
        assert zygote(task("life", folder, die_at=point))[0]["died"], point
        found = ask(zygote, "look", folder)
        is_whole(found)
        seen.add((len(found["numbers"]), found["champion"], found["open"]))
    assert len(seen) >= 6  # each state on the way was met


def test_operators_at_once(zygote: Zygote, tmp_path: Path, url: str | None) -> None:
    ask(zygote, "begin", tmp_path, url=url)
    answers = zygote(*(task("attempt", tmp_path, name="x" * n, url=url) for n in range(6)))
    said = [word for answer in answers for word in answer["answer"]["said"]]
    assert set(said) <= {"done", "conflict", "deployment_error"}, said
    assert {"done", "conflict"} <= set(said)
    is_whole(ask(zygote, "look", tmp_path, url=url))
