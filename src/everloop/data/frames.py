"""Tables as the frames that people work with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pyarrow as pa

from everloop.core.errors import Invalid, MissingExtra, nearest

KINDS = ("arrow", "pandas", "polars")


def convert(table: pa.Table, into: str) -> Any:
    """``table`` as it is ("arrow"), as a pandas DataFrame with the index and attributes that its content
    had when it was first registered, or as a Polars one. Raises Invalid for another kind, MissingExtra."""
    if into not in KINDS:
        raise Invalid(f"'{into}' is no kind of table.", remedy=nearest(str(into), KINDS))
    if into == "arrow":
        return table
    if into == "pandas":
        return table.to_pandas()
    try:
        polars = import_module("polars")
    except ImportError as error:
        raise MissingExtra("polars", "polars") from error
    return polars.from_arrow(table)
