"""Logical types and their families: what may stand in for what."""

from __future__ import annotations

import re

import pyarrow as pa

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
_ARROW_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "large_string": "string",
    "string_view": "string",
    "large_binary": "binary",
    "binary_view": "binary",
}


def logical_type(data_type: pa.DataType) -> str:
    """The type free of encodings: ``string`` for every string, dictionaries as their values, times without
    units."""
    if isinstance(data_type, pa.BaseExtensionType):
        return logical_type(data_type.storage_type)
    if pa.types.is_dictionary(data_type) or pa.types.is_run_end_encoded(data_type):
        return logical_type(data_type.value_type)
    if pa.types.is_timestamp(data_type):
        return f"timestamp[{data_type.tz}]" if data_type.tz else "timestamp"
    if pa.types.is_time(data_type):
        return "time"
    if pa.types.is_date(data_type):
        return "date"
    if pa.types.is_decimal(data_type):
        return f"decimal[{data_type.precision},{data_type.scale}]"
    return _ARROW_NAMES.get(str(data_type), str(data_type))


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
