"""Answers that are mappings, and that a notebook shows as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from everloop import dashboard

Answer = TypeVar("Answer", bound=Mapping[str, Any])


class Shown(dict[str, Any]):
    """A dict like any other; a notebook calls ``_repr_html_`` to show it."""

    def _repr_html_(self) -> str:
        html: str = dashboard.notebook.of_mapping(self)
        return html


def shown(found: Answer) -> Answer:
    """The same answer, which shows itself."""
    return cast("Answer", Shown(found))
