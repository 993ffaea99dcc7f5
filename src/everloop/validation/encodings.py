"""The logical type of an Arrow column: what its values are, however they are encoded."""

from __future__ import annotations

import pyarrow as pa

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
