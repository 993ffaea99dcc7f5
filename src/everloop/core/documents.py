"""Nouns to JSON-ready documents and back, with a format number in every document.

``dump`` writes a frozen dataclass as a dict of JSON types; ``load`` reads it back by its type hints.
A class whose shape has changed sets ``FORMAT`` (default 1) and ``UPGRADES = {old: function}``, where the
function turns a document of format ``old`` into one of ``old + 1``: every released format stays readable.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, partial
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import Corrupt

T = TypeVar("T")
Reader = Callable[[Any], Any]


def dump(noun: Any) -> dict[str, Any]:
    """The document of a dataclass: JSON types only, led by its format number."""
    return {"format": getattr(noun, "FORMAT", 1), **_plain_fields(noun)}


def load(kind: type[T], document: Mapping[str, Any]) -> T:
    """The noun that a document describes, whatever released format the document has."""
    current = getattr(kind, "FORMAT", 1)
    upgrades = getattr(kind, "UPGRADES", {})
    document = dict(document)
    number = document.pop("format", None)
    if not isinstance(number, int) or number < 1:
        raise Corrupt(
            f"A {kind.__name__} document is damaged: it has no format number.",
            remedy="Restore it from a backup: everloop backup restore.",
        )
    if number > current:
        raise Corrupt(
            f"A {kind.__name__} document has format {number!r}; this release reads 1 to {current}.",
            remedy="It was written by a newer release: upgrade everloop.",
        )
    try:
        while number < current:
            document = upgrades[number](document)
            number += 1
        noun: T = _build(kind, document)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Corrupt(
            f"A {kind.__name__} document is damaged: {error}.",
            remedy="Restore it from a backup: everloop backup restore.",
        ) from error
    return noun


def _plain_fields(noun: Any) -> dict[str, Any]:
    return {f.name: _plain(getattr(noun, f.name)) for f in fields(noun)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_fields(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _build(kind: Any, document: Mapping[str, Any]) -> Any:
    readers, found = _readers(kind), {}
    for name, value in document.items():
        if name in readers:
            read = readers[name]
            found[name] = value if read is None or value is None else read(value)
    return kind(**found)


@cache
def _readers(kind: type) -> dict[str, Reader | None]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


def _reader(hint: Any) -> Reader | None:
    """What makes a value of a type from one of JSON; None where that is the value itself."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        chosen = [a for a in args if a is not type(None)]
        return _reader(chosen[0]) if len(chosen) == 1 else None
    if is_dataclass(hint):
        return partial(_build, hint)
    if hint is datetime:
        return datetime.fromisoformat
    if hint is float or (isinstance(hint, type) and issubclass(hint, Enum)):
        return hint
    if origin is tuple:
        return _each(_reader(args[0]))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _each_named(_reader(args[1]))
    return None


def _each(read: Reader | None) -> Reader:
    if read is None:
        return tuple
    return lambda values: tuple([None if v is None else read(v) for v in values])


def _each_named(read: Reader | None) -> Reader:
    if read is None:
        return lambda values: dict(values.items())
    return lambda values: {k: None if v is None else read(v) for k, v in values.items()}
