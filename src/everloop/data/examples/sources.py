"""The built-in sources, by name."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from .customers import customers
from .flights import flights
from .iris import iris

Source = Literal["customers", "iris", "flights"]


def table(name: Source, **options: Any) -> pa.Table:
    """``options`` (rows, seed, drift, label_noise, missing) are the dials of ``customers``; the others are as
    they are."""
    if name == "customers":
        return customers(**options)
    return iris() if name == "iris" else flights()
