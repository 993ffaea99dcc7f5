"""Values as people read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from rich.console import Console

from everloop.cli import errors, monitor, output, plain
from everloop.core.errors import Invalid
from everloop.core.monitoring import Result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        ((), "–"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (12345.678, "12,345.7"),
        (2.0, "2"),
        (1e-7, "1e-07"),
        (("a", "b"), "a, b"),
        (datetime(2026, 1, 2, 3, 4, 59, tzinfo=UTC), "2026-01-02 03:04"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2))), "2026-01-02 01:04"),
    ],
)
def test_values_are_short_and_clear(value: object, text: str) -> None:
    assert output.shown(value) == text


LONG = "L" * 5000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("new\nline\ttab\r\n", r"new\nline\ttab\r\n"),
        ("\x1b[2Jgone\x07\x9b31m", r"\x1b[2Jgone\x07\x9b31m"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        (f"a {LONG} b", f"a {'L' * 299}… b"),
        ("größe 温度 👩‍🔬 \\n", "größe 温度 👩‍🔬 \\n"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_came_with_data_cannot_command_the_terminal(
    given: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert output.shown(given) == told
    output.line(given)
    output.pairs({"name": given})
    output.table(("name", "rows"), [(given, 1)], fold=["name"])
    seen = capsys.readouterr().out
    assert seen.count(told) >= 2
    said = errors.rendered(Invalid(given, remedy=given))
    assert LONG not in seen + said
    assert not set(seen + said) & {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028", "\udcff"}


def test_a_long_name_leaves_room_for_the_other_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "rows"), [(plain.name(LONG), 1)])
    assert f"{'L' * 59}…  1" in capsys.readouterr().out
    assert plain.cut("four", 4) == "four"
    assert output.to_json({"name": f"{LONG}\n"}) == f'{{\n  "name": "{LONG}\\n"\n}}'


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (26_300, "26.3 kB"), (3_000_000, "3 MB"), (5e13, "50 TB")]
)
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "12 ms"), (1.84, "1.8 s"), (119, "119.0 s"), (600, "10 min")]
)
def test_durations(value: float, text: str) -> None:
    assert output.seconds(value) == text


def test_passwords_are_not_shown() -> None:
    assert output.without_password("postgresql://me:secret@host/db") == "postgresql://me:…@host/db"
    assert output.without_password("https://host/path") == "https://host/path"


def test_json_takes_nouns_times_and_paths() -> None:
    @dataclass(frozen=True)
    class Noun:
        at: datetime
        parts: tuple[int, ...]

    document = {"noun": Noun(datetime(2026, 1, 2, tzinfo=UTC), (1, 2)), "path": Path("/x")}
    assert json.loads(output.to_json(document)) == {
        "noun": {"at": "2026-01-02T00:00:00+00:00", "parts": [1, 2]},
        "path": "/x",
    }
    with pytest.raises(TypeError):
        output.to_json({"what": object()})


@pytest.mark.parametrize("width", [40, 60, 120])
def test_a_table_is_not_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "_console", lambda: Console(width=width, highlight=False))
    rows = [("model", 12345, "a text that is long enough to need several lines on a narrow terminal " * 2)]
    output.table(("name", "rows", "what"), rows, right=("rows",), fold=("what",))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert "12,345" in "".join(lines)


def test_markup_in_data_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_without_a_terminal_lines_end_where_their_text_does(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "why"), [("a", "long " * 60), ("b", None)], fold=("why",))
    output.pairs({"name": "a", "why": "long " * 60})
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "why"]
    assert len(heading) < 12
    assert all(each == each.rstrip() for each in rows)


def test_a_finding_is_one_line_whatever_its_column_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    found = Result("data", "a", "ks", True, "'a\n  critical: b' moved")
    monitor._show_results([found])
    assert capsys.readouterr().out == "  info: 'a\\n  critical: b' moved\n"
