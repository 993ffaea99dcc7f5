"""What a registration gives back."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from everloop.core.data import DatasetVersion


@dataclass(frozen=True)
class Registered:
    """A registered version with its table (of files: their listing). ``new`` is false when the same content
    was there already."""

    version: DatasetVersion
    table: pa.Table
    new: bool
