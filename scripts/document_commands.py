"""Write docs/commands.md from the commands themselves: ``python -m scripts.document_commands``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from everloop.cli.application import COMMANDS, loaded
from everloop.cli.call import SHARED

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
_BEGIN = """# Commands

Made from the commands themselves by `scripts/document_commands.py`; a test compares the two.

`everloop --help` lists the commands, `everloop COMMAND --help` shows one, with an example, and
`everloop --version` the release. `everloop --install-completion` makes the shell complete what you type.

These options may stand before or after the name of every command:

"""
_END = """
What a command answers goes to standard output, progress and remarks to standard error. Exit codes are in
[troubleshooting](troubleshooting.md#exit-codes).
"""
_TYPES = {
    "<int range>": "NUMBER",
    "INTEGER RANGE": "NUMBER",
    "<str>": "TEXT",
    "<path>": "FILE",
    "PATH": "FILE",
}
_HIDDEN = {"help", "install_completion", "show_completion"}


def page() -> str:
    commands = list(_commands())
    shared = [p for p in commands[0][1].params if p.name in SHARED]
    parts = [_BEGIN, _table(shared), _END]
    return "".join([*parts, *(_section(name, command) for name, command in commands)])


def _commands() -> Iterator[tuple[str, Any]]:
    for name in COMMANDS:
        command = loaded(name)
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        else:
            yield from ((f"{name} {inner}", each) for inner, each in below.items())


def _section(name: str, command: Any) -> str:
    text, _, example = inspect.cleandoc(command.help).partition("\b\n")
    lines = [line for line in inspect.cleandoc(example.removeprefix("Example:\n")).splitlines() if line]
    own = [p for p in command.params if p.name not in SHARED | dict.fromkeys(_HIDDEN)]
    shown = "\n".join(f"    {line}" for line in lines)
    return f"\n## everloop {name}\n\n{text.strip()}\n\n{_table(own)}{shown}\n"


def _table(parameters: list[Any]) -> str:
    if not parameters:
        return ""
    rows = [f"| {_name(p)} | {_meaning(p)} |" for p in parameters]
    return "\n".join(["| | |", "|---|---|", *rows]) + ("\n\n" if parameters[0].name not in SHARED else "\n")


def _name(parameter: Any) -> str:
    with typer.Context(typer.core.TyperCommand("everloop")) as context:
        record = parameter.get_help_record(context)
    text = record[0]
    for typed, word in _TYPES.items():
        text = text.replace(typed, word)
    return "`" + text.replace("|", "\\|") + "`"


def _meaning(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|").strip()
    default = parameter.default
    if isinstance(default, (str, int, Path)) and str(default) not in ("", ".", "True", "False"):
        text = f"{text} [{getattr(default, 'value', default)}]"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
