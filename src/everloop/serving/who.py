"""What a request says of who asks, for the choice of a version. Of a body that cannot be read: nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from everloop.core.errors import Invalid

from . import openinference
from .routing import NOTHING, Said, entity_of

_UNREADABLE = (Invalid, msgspec.MsgspecError, ValueError, RecursionError)


class _Plain(msgspec.Struct):
    entity_id: Any = None
    context: Any = None
    features: msgspec.Raw = msgspec.Raw(b"")


class _V2(msgspec.Struct):
    parameters: Any = None


_plain = msgspec.json.Decoder(_Plain)
_v2 = msgspec.json.Decoder(_V2)
_named = msgspec.json.Decoder(dict[str, Any])


def plain(body: bytes | bytearray, features: bool) -> Said:
    """Of the plain protocol; with the ``features`` of a single row by name, where they are wanted."""
    try:
        who = _plain.decode(body)
        named = _named.decode(who.features) if features and bytes(who.features)[:1] == b"{" else {}
    except _UNREADABLE:
        return NOTHING
    return Said(entity_of(who.entity_id), who.context if isinstance(who.context, dict) else {}, named)


def v2(body: bytes | bytearray, header: int | None, features: bool) -> Said:
    """Of the inference protocol, by the request's parameters; likewise."""
    named: dict[str, Any] = {}
    try:
        if features:
            asked = openinference.request(body, header)
            parameters: Any = asked.parameters
            named = {one.name: one.data[0] for one in asked.inputs if one.data and len(one.data) == 1}
        else:
            parameters = _v2.decode(body if header is None else body[:header]).parameters
    except _UNREADABLE:
        return NOTHING
    parameters = parameters if isinstance(parameters, dict) else {}
    return Said(entity_of(parameters.get("entity_id")), parameters, named)
