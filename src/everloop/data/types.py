"""Names of logical types: what a value is, not how Arrow happens to hold it.

``string`` stands for string, large_string, string_view and unordered dictionaries of them; ``timestamp[UTC]``
for every unit; ``list<int64>`` for list, large_list and list views. An ordered dictionary keeps its order as
part of what it is: ``ordered<string>``.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.types as kinds

from everloop.core.errors import WrongType

_UTC = {"UTC", "Etc/UTC", "Z", "+00:00"}
_FLOATS = {pa.float16(): "float16", pa.float32(): "float32", pa.float64(): "float64"}


def type_name(field: pa.Field) -> str:
    """The logical type of ``field``. Raises WrongType for unions, for runs of what is itself nested or
    encoded, and for ordered categories within other values."""
    extension = (field.metadata or {}).get(b"ARROW:extension:name")
    if extension is not None and not isinstance(field.type, pa.BaseExtensionType):
        parameters = field.metadata.get(b"ARROW:extension:metadata", b"")
        return _extension(extension.decode(), _name(field.type), parameters)
    return _name(field.type)


def is_delicate(kind: pa.DataType) -> bool:
    """Whether values of this type are held in a way that is rarely met, and worth reading back at once."""
    plain = kinds.is_dictionary(kind) and not kinds.is_nested(kind.value_type)
    wrapped = kinds.is_nested(kind) or kinds.is_run_end_encoded(kind) or kinds.is_dictionary(kind)
    return bool((wrapped and not plain) or isinstance(kind, pa.BaseExtensionType))


def _name(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(kind.extension_name, _name(kind.storage_type), _parameters(kind))
    if kinds.is_dictionary(kind):
        value = _name(kind.value_type)
        return f"ordered<{value}>" if kind.ordered else value
    if kinds.is_run_end_encoded(kind):
        if is_delicate(kind.value_type) or kinds.is_dictionary(kind.value_type):
            raise unsupported(kind)
        return _name(kind.value_type)
    if kinds.is_nested(kind):
        return _nested(kind)
    return _simple(kind)


def _simple(kind: pa.DataType) -> str:
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return "string"
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
        return "binary"
    if kinds.is_fixed_size_binary(kind):
        return f"binary[{kind.byte_width}]"
    if kinds.is_timestamp(kind):
        return f"timestamp[{'UTC' if kind.tz in _UTC else kind.tz}]" if kind.tz else "timestamp"
    if kinds.is_date(kind):
        return "date"
    if kinds.is_time(kind):
        return "time"
    if kinds.is_duration(kind):
        return "duration"
    if kinds.is_interval(kind):
        return "interval"
    if kinds.is_decimal(kind):
        return f"decimal[{kind.precision},{kind.scale}]"
    if kinds.is_integer(kind) or kinds.is_boolean(kind) or kinds.is_null(kind):
        return str(kind)
    if kind in _FLOATS:
        return _FLOATS[kind]
    raise unsupported(kind)


def _nested(kind: pa.DataType) -> str:
    if kinds.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return f"struct<{', '.join(f'{_quoted(f.name)}: {_inner(f)}' for f in fields)}>"
    if kinds.is_map(kind):
        return f"map<{_inner(kind.key_field)}, {_inner(kind.item_field)}>"
    if kinds.is_fixed_size_list(kind):
        return f"list<{_inner(kind.value_field)}>[{kind.list_size}]"
    if kinds.is_union(kind):
        raise unsupported(kind)
    return f"list<{_inner(kind.value_field)}>"


def _inner(field: pa.Field) -> str:
    """Of a value within another. The order of levels is a part of a whole column's id only."""
    if kinds.is_dictionary(field.type) and field.type.ordered:
        raise WrongType(
            f"An ordered category within a list, map or struct ('{field.name}') cannot be versioned.",
            remedy="Make it a column of its own, or unordered.",
        )
    return type_name(field)


def _quoted(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def _parameters(kind: pa.BaseExtensionType) -> bytes:
    if isinstance(kind, pa.ExtensionType):
        return bytes(kind.__arrow_ext_serialize__())
    return str(list(kind.shape)).encode() if isinstance(kind, pa.FixedShapeTensorType) else b""


def _extension(name: str, storage: str, parameters: bytes) -> str:
    shown = parameters.decode("utf-8", "backslashreplace")
    return f"extension<{name}, {storage}{', ' + shown if shown else ''}>"


def unsupported(kind: pa.DataType) -> WrongType:
    return WrongType(
        f"Values of the Arrow type {kind} cannot be versioned.",
        remedy="Convert the column to a simpler type.",
    )
