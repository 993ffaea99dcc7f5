"""``everloop settings``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from . import late
from .call import Call, command, group

app = group("Show each setting and where it came from.")


@command(app)
def settings(
    call: Call,
    every: Annotated[bool, typer.Option("--all", help="Also those that have their default.")] = False,
) -> None:
    """Show each setting, its value and where it came from: file, .env, environment, flag.

    \b
    Example:
      everloop settings --all
    """
    found = call.settings()
    entries = [
        {"setting": path, "value": _safe(path, value), "from": found.origins.get(path, "default")}
        for path, value in _leaves(found.model_dump(mode="json"))
    ]
    chosen = [entry for entry in entries if every or entry["from"] != "default"]
    document = {"file": found.file, "root": found.root, "settings": chosen}

    def show() -> None:
        late.output.line(f"File: {found.file or 'none; these are the defaults'}")
        rows = [(entry["setting"], _text(entry["value"]), entry["from"]) for entry in chosen]
        late.output.table(("setting", "value", "from"), rows, fold=("setting", "value"))
        if not every:
            late.output.line(f"{len(entries) - len(chosen)} more have their default: everloop settings --all")

    call.answer(document, show)


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        path = f"{above}.{name}" if above else name
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _safe(path: str, value: object) -> object:
    if path.startswith("alerts.channels.") and isinstance(value, str):
        return late.settings.masked(value)
    return late.output.without_password(value) if isinstance(value, str) else value


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "–"
    return (
        "–" if value is None or value == {} else str(value).lower() if isinstance(value, bool) else str(value)
    )
