"""What every section of the settings is: frozen, and without unknown keys. And the spans of time in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from everloop.core import spans
from everloop.core.errors import Invalid


def _bounded(span: str) -> str:
    try:
        spans.seconds(span)
    except Invalid as error:
        raise ValueError(error.message) from error
    return span


Span = Annotated[str, Field(pattern=spans.PATTERN), AfterValidator(_bounded)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), coerce_numbers_to_str=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        """``true`` is no number, though Python takes it for 1."""
        kinds = set(_kinds(cls.model_fields[info.field_name or ""].annotation))
        if isinstance(value, bool) and kinds & {int, float} and not kinds & {bool, Any}:
            raise ValueError(f"it is {value}, a switch, and a number is wanted")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation names."""
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)
