"""Nothing is undocumented: commands, settings, errors, tables; and no link leads nowhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from scripts import document_commands

import everloop
from everloop.cli import errors as exits
from everloop.cli.application import COMMANDS, loaded
from everloop.core import errors
from everloop.settings.schema import Model, Settings
from everloop.store import tables
from tests.docs.pages import ROOT, pages, prose

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"")
_SHARED = ("training", "monitoring", "gate")


@cache
def every_word() -> str:
    told = [page for page in pages() if page != document_commands.PAGE]  # that one is made, not told
    return "\n".join(page.read_text(encoding="utf-8") for page in told)


def commands() -> list[str]:
    """``data add``, ``run`` …: the leaves of the tree of commands."""
    found = []
    for name in COMMANDS:
        command = loaded(name)
        below = getattr(command, "commands", {})
        found += [f"{name} {inner}" for inner in below] if below else [name]
    return found


def settings_below(kind: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting that has a value of its own, by its path."""
    for name, field in kind.model_fields.items():
        path = f"{above}.{name}" if above else name
        if path in ("models", "name"):
            continue
        candidates = [field.annotation, *get_args(field.annotation)]
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if section is not None:
            yield from settings_below(section, path)
        else:
            yield path, field


def expected_settings() -> dict[str, FieldInfo]:
    of_model = {p: f for p, f in settings_below(Model) if p.split(".")[0] not in _SHARED}
    return {**dict(settings_below(Settings)), **of_model}


def table_rows(page: str) -> Iterator[list[str]]:
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def documented_settings() -> dict[str, str]:
    rows = table_rows("how-to/configuration.md")
    return {row[0].strip("`"): row[1] for row in rows if len(row) == 3 and row[0].startswith("`")}


def errors_of_the_tree() -> list[type[errors.MLOpsError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MLOpsError)
    ]


@pytest.mark.parametrize("command", commands())
def test_a_command_is_shown(command: str) -> None:
    assert re.search(rf"everloop {re.escape(command)}\b", every_word())


def test_the_page_of_commands_is_up_to_date() -> None:
    made = document_commands.page()
    assert document_commands.PAGE.read_text(encoding="utf-8") == made, "python -m scripts.document_commands"


def test_every_setting_is_in_the_table_and_no_other() -> None:
    assert set(documented_settings()) == set(expected_settings())


def test_defaults_are_as_the_table_says() -> None:
    wrong = []
    documented = documented_settings()
    for path, field in expected_settings().items():
        said, default = documented[path], _default(field)
        if said.startswith("*"):
            right = default in (None, ())  # depends on other settings
        else:
            right = said.strip("`") == _shown(default) if default is not ... else said == "required"
        if not right:
            wrong.append(f"{path}: the table says {said}, the schema {default!r}")
    assert not wrong, "\n".join(wrong)


def _default(field: FieldInfo) -> Any:
    return ... if field.is_required() else field.get_default(call_default_factory=True)


def _shown(default: Any) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) and default >= 10 else str(default)


def test_every_error_has_its_code_exit_and_remedy() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table_rows("troubleshooting.md") if len(row) == 4}
    expected = {kind.code: str(exits.exit_code(kind.__new__(kind))) for kind in errors_of_the_tree()}
    assert {code: rows[code][0] for code in expected if code in rows} == expected
    assert all(cause and remedy for code in expected for cause, remedy in [rows[code][1:]])


def test_every_exit_code_is_told() -> None:
    told = {row[0] for row in table_rows("troubleshooting.md") if len(row) == 2}
    own = {str(code) for name, code in vars(exits).items() if name.isupper() and isinstance(code, int)}
    assert own <= told
    assert len(own) > 5


def test_every_table_of_the_database_is_named() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert not [name for name in tables.metadata.tables if f"`{name}`" not in text]


def test_every_step_of_a_turn_is_named() -> None:
    source = ast.parse((ROOT / "src/everloop/flows/turn.py").read_text(encoding="utf-8"))
    steps = next(
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STEPS"
    )
    named = [row[0].strip("`") for row in table_rows("architecture.md") if row[0].strip("`") in steps]
    assert tuple(named) == steps


def test_every_public_name_is_in_the_python_pages() -> None:
    kinds = {kind.__name__ for kind in errors_of_the_tree()}
    silent = [n for n in everloop.__all__ if n not in kinds and n != "__version__" and n not in every_word()]
    assert not silent


def test_links_lead_somewhere() -> None:
    broken = []
    for page in pages():
        for match in _LINK.finditer(prose(page)):
            target, _, anchor = (match[1] or match[2]).partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
                broken.append(f"{page.relative_to(ROOT)} -> {match[1] or match[2]}")
    assert not broken


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        targets = (m[1] for m in _LINK.finditer(prose(page)) if m[1] and "://" not in m[1])
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in targets]
    assert not [str(page.relative_to(ROOT)) for page in pages() if page not in reached]


def test_the_example_environment_names_real_settings() -> None:
    known = {path.replace(".", "__").upper() for path in expected_settings()}
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.M)
    assert {"RANDOM_SEED", "CONFIG_PATH"} <= set(names)
    assert not [n for n in names if n.startswith("EVERLOOP_") and n.removeprefix("EVERLOOP_") not in known]


def test_help_of_every_command_has_an_example() -> None:
    for name in COMMANDS:
        command = loaded(name)
        for each in getattr(command, "commands", {name: command}).values():
            with typer.Context(each) as context:
                assert "Example" in each.get_help(context), each.name
