"""Logical types and their families: what may stand in for what."""

from __future__ import annotations

import re

from everloop.core.errors import InvalidSettings, nearest

FAMILIES = ("number", "string", "boolean", "time")
_NUMBERS = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_NUMBERS += ("float16", "float32", "float64")
_FAMILY_OF = dict.fromkeys(_NUMBERS, "number") | {
    "decimal": "number",
    "string": "string",
    "bool": "boolean",
    "timestamp": "time",
    "date": "time",
}
_OTHERS = ("duration", "binary", "list", "struct", "map", "extension", "null")


def family(name: str) -> str:
    """``number``, ``string``, ``boolean`` or ``time`` for types that have a family; else the bare name."""
    if name in FAMILIES:
        return name
    if name.startswith("ordered<"):
        return family(name.removeprefix("ordered<").removesuffix(">"))
    bare = re.split(r"[\[(<]", name)[0]
    return _FAMILY_OF.get(bare, bare)


def know_type(name: str) -> str:
    """``name`` when it is a family or a logical type; raises InvalidSettings otherwise."""
    if family(name) in (*FAMILIES, *_OTHERS):
        return name
    known = (*FAMILIES, *_FAMILY_OF, *_OTHERS)
    raise InvalidSettings(f"There is no column type '{name}'.", remedy=nearest(name, known))
