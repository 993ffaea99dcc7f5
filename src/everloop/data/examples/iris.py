"""Fisher's iris flowers (1936): 150 rows, the smallest real table there is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from everloop.data import reading


def iris() -> pa.Table:
    """Lengths and widths in centimetres, and the target ``species``, 50 rows of each of three."""
    return reading.read_file(Path(__file__).with_name("iris.csv"))
