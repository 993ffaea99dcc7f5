"""Typer's commands, whose completion gives names alone: to show a hint beside each, Typer would load rich."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        return _bare(super().shell_complete(ctx, incomplete))


class Group(TyperGroup):
    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        return _bare(super().shell_complete(ctx, incomplete))


def _bare(items: Any) -> Any:
    for item in items:
        item.help = None
    return items
