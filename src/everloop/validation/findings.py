"""What Pandera found, as numbers of rows and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

SHOWN = 10
_LONGEST = 80


@dataclass(frozen=True)
class Outcome:
    """Of one failed check: in how many rows it failed and the first of them. ``failed`` is None when the
    check could not be made or speaks of the table as a whole; then ``reason`` tells."""

    failed: int | None
    rows: tuple[int, ...] = ()
    reason: str = ""


def failures(schema: pandera.DataFrameSchema, frame: pd.DataFrame) -> list[Any]:
    """One pandera SchemaError per check that failed. The frame is not copied."""
    try:
        schema.validate(frame, lazy=True, inplace=True)
    except pandera.errors.SchemaErrors as errors:
        return list(errors.schema_errors)
    return []


def outcome(error: Any) -> Outcome:
    """Counted from the check's own output: failure cases are cut short, because text of many is slow."""
    passed = error.check_output
    if isinstance(passed, pd.DataFrame):
        passed = passed.all(axis=1)
    if isinstance(passed, pd.Series):
        broken = passed.index[~passed.astype(bool)]
        if len(broken):
            return Outcome(len(broken), _row_numbers(broken))
    cases = error.failure_cases
    if isinstance(cases, pd.DataFrame) and "index" in cases and cases["index"].notna().any():
        index = cases["index"].drop_duplicates()
        return Outcome(len(index), _row_numbers(index))
    return Outcome(None, reason=_first_line(str(error)))


def name_values(table: pa.Table, columns: Sequence[str], rows: Sequence[int]) -> tuple[str, ...]:
    """The values of ``columns`` in ``rows`` as text; with their names when there are several."""
    picked = {name: [table.column(name)[row].as_py() for row in rows] for name in columns}
    if len(columns) == 1:
        return tuple(_text(value) for value in picked[columns[0]])
    return tuple(
        ", ".join(f"{name}={_text(values[i])}" for name, values in picked.items()) for i in range(len(rows))
    )


def _row_numbers(index: Any) -> tuple[int, ...]:
    return tuple(int(row) for row in index[:SHOWN])


def _text(value: Any) -> str:
    text = value.isoformat() if isinstance(value, (date, datetime)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else "no reason given"
    return line.rstrip(".")[:300]
