"""Bodies of requests: JSON read strictly, with an error that says what is wrong and where."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

from everloop.core.errors import Invalid

Body = bytes | bytearray | memoryview
T = TypeVar("T")
_SHOWN = 80
_LONGEST = 400  # digits of a whole number


class _Twice(Exception):
    pass


def decode(decoder: msgspec.json.Decoder[T], body: Body, example: str) -> T:
    """Raises Invalid; its remedy is ``example``."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(f"The body is not as expected: {_said(error)}.", remedy=example) from None
    except RecursionError:
        raise Invalid("The body is nested too deeply.", remedy=example) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = f"is no JSON: {_said(error)}" if len(body) else "is empty"
        raise Invalid(f"The body {said}.", remedy=example) from None


def leniently(kind: type[T], body: Body) -> T | None:
    """The body with what JSON has no numbers for (NaN, Infinity, 1e999) as floats, to tell which field holds
    it; None where something else is wrong, too."""
    try:
        text = bytes(body).decode()
        return msgspec.convert(json.loads(text, parse_int=_whole), kind)
    except (ValueError, RecursionError):
        return None


def count_keys(body: bytes | bytearray) -> int:
    """How many keys the objects of a JSON text have, or another number where texts or spaces hide it."""
    colons = body.count(b":")
    written = body.count(b'":')
    if written == colons or any(space in body for space in (b" :", b"\t:", b"\n:", b"\r:")):
        return colons
    return written


def refuse_duplicates(body: Body, example: str) -> None:
    """Raises Invalid where an object has a key twice: which of the values is meant nobody knows."""
    try:
        json.loads(bytes(body), object_pairs_hook=_once, parse_int=_whole)
    except _Twice as twice:
        raise Invalid(f"{twice} is given twice.", remedy="Send each once.") from None
    except (ValueError, RecursionError):
        raise Invalid("The body cannot be read.", remedy=example) from None


def short(text: object) -> str:
    """What a client sent, for an error: in quotes, on one line, not longer than a line."""
    shown = repr(str(text)[: _SHOWN + 1])
    return shown if len(str(text)) <= _SHOWN else f"{shown[:_SHOWN]}…'"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(short(key))
        found[key] = value
    return found


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST else math.inf


def _said(error: Exception) -> str:
    text = str(error)
    if not text.startswith("JSON"):
        text = text[:1].lower() + text[1:]
    return text[:200].rstrip(".") or "unreadable"
