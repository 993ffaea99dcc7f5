"""A history drawn with lines."""

from __future__ import annotations

from datetime import UTC, datetime

from everloop.cli.data.graph import draw
from everloop.core.data import DatasetVersion


def drawn(*history: tuple[str, str | None]) -> list[str]:
    """``history``: name and parent, oldest first."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    versions = [
        DatasetVersion("d", name, n, 0, (), {}, "sha256", at, "me", "memory", parent=parent)
        for n, (name, parent) in enumerate(history)
    ]
    return [
        f"{line} {version.version_id}" if version else line
        for line, version in draw(list(reversed(versions)))
    ]


def test_one_line_for_one_branch() -> None:
    assert drawn(("a", None), ("b", "a"), ("c", "b")) == ["● c", "● b", "● a"]


def test_branches_run_side_by_side_and_meet_where_they_began() -> None:
    history = ("a", None), ("b", "a"), ("x", "a"), ("c", "b"), ("y", "x")
    assert drawn(*history) == ["● y", "│ ● c", "● │ x", "│ ● b", "├─┘", "● a"]


def test_three_meet_at_once_and_lines_between_go_on() -> None:
    history = ("a", None), ("n", "a"), ("x", "a"), ("o", "n"), ("p", "n"), ("y", "a")
    assert drawn(*history) == [
        "● y",
        "│ ● p",
        "│ │ ● o",
        "│ │ │ ● x",
        "│ ├─┘ │",
        "│ ●   │ n",
        "├─┴───┘",
        "● a",
    ]


def test_what_is_left_out_ends_its_line() -> None:
    assert drawn(("b", "gone"), ("r", None), ("c", "b")) == ["● c", "│ ● r", "● b"]
