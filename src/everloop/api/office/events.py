"""CloudEvents 1.0 over HTTP, one event a request: structured (all in the body), binary (attributes are
headers), or what is needed of one as plain JSON.

https://github.com/cloudevents/spec, ``spec.md`` and ``bindings/http-protocol-binding.md``.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError

from everloop.api.media import EVENT_TYPE, is_json, unsupported
from everloop.core.errors import Invalid

from .descriptions import SAYS, Shape

PREFIX = "ce-"
ATTRIBUTES = ("id", "source", "type", "specversion")
Word = Annotated[str, Field(pattern=SAYS, max_length=200)]
_EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "type": "warehouse.loaded",
    "source": "warehouse",
    "id": "2026-11-21",
}
_REMEDY = (
    f"Send one event a request: as 'Content-Type: {EVENT_TYPE.decode()}' or 'application/json' in UTF-8, or "
    "its attributes as the headers ce-id, ce-source, ce-type and ce-specversion."
)


class TellingTrigger(Shape):
    """What is needed of a CloudEvent (1.0): the same `source` and `id` count once."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})
    id: Word
    source: Word
    type: Word = "told"
    specversion: Literal["1.0"] = "1.0"
    reason: Annotated[str, Field(max_length=500)] = ""


class CloudEvent(TellingTrigger):
    """A CloudEvent (1.0), with all that it has to have."""

    type: Word
    specversion: Literal["1.0"]


# No parameters: OpenAPI cannot say that, where these headers are sent, the body need not fit its schema.
DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "description": "In binary mode the attributes are the headers "
        + ", ".join(f"`{PREFIX}{name}`" for name in ATTRIBUTES)
        + "; the body is then the event's data, of any type, and none of these schemas.",
        "content": {
            "application/json": {"schema": TellingTrigger.model_json_schema()},
            EVENT_TYPE.decode(): {"schema": CloudEvent.model_json_schema()},
        },
    },
}


async def event(request: Request) -> TellingTrigger:
    """The event of a request. Raises HttpError for another media type, RequestValidationError and Invalid."""
    kind = request.headers.get("content-type", "").strip().encode("latin-1")
    if is_json(kind, EVENT_TYPE):
        return _valid(CloudEvent, _body(await request.body()))
    if not kind.lower().startswith(b"application/cloudevents"):  # another format, or several at once
        headers = {f"{PREFIX}{name}" for name in ATTRIBUTES} & {*request.headers}
        if headers:
            return _valid(CloudEvent, _attributes(request))
        if is_json(kind):
            return _valid(TellingTrigger, _body(await request.body()))
    raise unsupported(kind, _REMEDY)


def _attributes(request: Request) -> dict[str, str]:
    """Those of the headers, which are quoted and percent-encoded where that is needed."""
    found = {
        name.removeprefix(PREFIX): unquote(value.strip('"'))
        for name, value in request.headers.items()
        if name.startswith(PREFIX)
    }
    for name, value in found.items():
        if "\0" in value:
            raise Invalid(
                f"The header {PREFIX}{name} holds a NUL character.",
                remedy="Leave it out: no database keeps it.",
            )
    return found


def _body(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The body is no JSON: {error}.", remedy=_REMEDY) from error


def _valid(kind: type[TellingTrigger], found: Any) -> TellingTrigger:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        wrong = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(wrong) from error
