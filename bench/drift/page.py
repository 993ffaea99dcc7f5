"""The page of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def page(lines: Sequence[Any]) -> str:
    return "\n".join(f"{each.part} | {each.key} | {each.tool} | {each.found} {each.error}" for each in lines)
