"""A table that arrives bit by bit, as it did in life."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.errors import AllMissing, Invalid, UnknownColumn, WrongType, nearest


def arrivals(table: pa.Table, time_column: str, days: int = 7) -> Iterator[tuple[datetime, pa.Table]]:
    """Periods of ``days`` days in order of time: when each begins (midnight), and its rows.

    The first period begins on the day of the earliest row. Periods without rows are left out, and so are rows
    without a time. Raises UnknownColumn, WrongType if the column holds no times, AllMissing, Invalid.
    """
    if time_column not in table.column_names:
        remedy = nearest(time_column, table.column_names)
        raise UnknownColumn(f"The table has no column '{time_column}'.", remedy=remedy)
    kind = table.schema.field(time_column).type
    if not (kinds.is_timestamp(kind) or kinds.is_date(kind)):
        raise WrongType(f"Column '{time_column}' holds {kind}, not times.", remedy="Name a column of times.")
    if days < 1:
        raise Invalid(f"A period of {days} days is not possible.", remedy="Give 1 or more.")
    zone = kind.tz if kinds.is_timestamp(kind) else None
    table = table.filter(pc.is_valid(table[time_column])).sort_by(time_column)
    if not table.num_rows:
        raise AllMissing(f"Column '{time_column}' has no value.", remedy="Name a column of times.")
    return _periods(table, table[time_column].cast(pa.timestamp("us", zone)), days)


def _periods(table: pa.Table, times: pa.ChunkedArray, days: int) -> Iterator[tuple[datetime, pa.Table]]:
    ticks = times.cast(pa.int64()).to_numpy()
    start: datetime = pc.floor_temporal(times[0], unit="day").as_py()
    row = 0
    while row < len(ticks):
        end = start + timedelta(days=days)
        stop = int(np.searchsorted(ticks, pa.scalar(end, times.type).cast(pa.int64()).as_py()))
        if stop > row:
            yield start, table.slice(row, stop - row)
        row, start = stop, end
