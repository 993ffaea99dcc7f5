"""What every section of the settings is: frozen, and without unknown keys. And the spans of time in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from everloop.core.spans import PATTERN

Span = Annotated[str, Field(pattern=PATTERN)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), coerce_numbers_to_str=True
    )
