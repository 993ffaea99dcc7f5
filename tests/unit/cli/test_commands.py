"""The tree of commands: each explains itself, takes the shared options, and is listed as it calls itself."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Any

import pytest
import typer

from everloop.cli import application, call
from everloop.cli.call import Call, command, group


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be called, with its full name."""
    for name in application.COMMANDS:
        found = application.loaded(name)
        below = getattr(found, "commands", None)
        if below is None:
            yield name, found
        else:
            yield from ((f"{name} {sub}", one) for sub, one in below.items())


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        application.main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("name", "found"), list(commands()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_each_command_has_an_example_and_json(name: str, found: Any) -> None:
    text = inspect.cleandoc(found.help)
    assert "Example:" in text
    assert f"everloop {name}" in text
    options = {option for parameter in found.params for option in parameter.opts}
    assert {"--json", "--config", "--set", "--tenant", "--debug", "--quiet"} <= options


@pytest.mark.parametrize("name", application.COMMANDS)
def test_the_table_says_what_the_command_says_of_itself(name: str) -> None:
    module, listed = application.COMMANDS[name]
    assert import_module(module).app.info.help == listed


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in application.COMMANDS)


def test_a_mistyped_command_is_a_usage_error_with_the_nearest_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("histroy") == 2
    assert "Did you mean 'history'?" in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "list", "--frobnicate") == 2
    assert "--frobnicate" in capsys.readouterr().err


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls that a command 'hear' gets when it stands where 'status' stands."""
    calls: list[Call] = []
    app = group("Hear.")

    @command(app)
    def hear(call: Call, what: Annotated[str | None, typer.Argument()] = None) -> int:
        calls.append(call)
        call.answer({"what": what}, lambda: typer.echo(f"heard {what}"))
        call.note("a remark")
        return 7

    del hear
    monkeypatch.setattr("everloop.cli.status.app", app)
    return calls


def test_shared_options_may_stand_before_or_after_the_command(heard: list[Call]) -> None:
    before = ["-c", "a.yaml", "--set", "x=1", "--tenant", "t", "--json", "--quiet", "--debug"]
    assert run(*before, "status") == 7
    assert run("status", *before) == 7
    expected = Call("a.yaml", ("x=1",), "t", json=True, quiet=True, debug=True)
    assert heard == [expected, expected]


def test_what_stands_nearer_to_the_command_wins(heard: list[Call]) -> None:
    run("-c", "a.yaml", "--set", "x=1", "status", "-c", "b.yaml", "--set", "x=2", "--set", "y=3")
    assert heard[0].config == "b.yaml"
    assert heard[0].flags == ("x=1", "x=2", "y=3")


@pytest.mark.usefixtures("heard")
def test_the_answer_is_on_stdout_and_remarks_are_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    run("status", "this")
    assert capsys.readouterr() == ("heard this\n", "a remark\n")
    run("status", "this", "--json", "--quiet")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"what": "this"}
    assert err == ""


def test_help_does_not_run_the_command(heard: list[Call]) -> None:
    assert run("status", "--help") == 0
    assert not heard


def test_the_shared_options_are_the_fields_of_a_call() -> None:
    assert list(call.SHARED) == list(Call.__dataclass_fields__)
