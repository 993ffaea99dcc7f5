"""What can be checked without looking at single values: rows, columns, types, missing shares."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.contracts import ColumnRule, Contract, Finding
from everloop.core.errors import nearest

from .encodings import logical_type
from .findings import SHOWN
from .types import family


def check_structure(table: pa.Table, contract: Contract) -> Iterator[Finding]:
    if table.num_rows < contract.min_rows:
        message = (
            f"The table has too few rows: {table.num_rows:,}; at least {contract.min_rows:,} are needed."
        )
        yield Finding("min_rows", "", "error", table.num_rows, message)
    if not contract.allow_extra_columns:
        yield from _extra_columns(table, contract)
    present = set(table.column_names)
    for rule in contract.columns:
        if rule.name in present:
            yield from _column(table, rule)
        elif rule.required:
            left = present - {other.name for other in contract.columns}
            near = f" {nearest(rule.name, left)}" if left else ""
            message = f"The column '{rule.name}' is not in the table.{near}"
            yield Finding("required", rule.name, "error", table.num_rows, message)


def _extra_columns(table: pa.Table, contract: Contract) -> Iterator[Finding]:
    known = [rule.name for rule in contract.columns]
    for name in table.column_names:
        if name not in known:
            message = f"The column '{name}' is not in the contract. {nearest(name, known)}"
            yield Finding("extra_column", name, "error", table.num_rows, message)


def _column(table: pa.Table, rule: ColumnRule) -> Iterator[Finding]:
    column = table.column(rule.name)
    actual = logical_type(column.type)
    if rule.type is not None and family(actual) not in (family(rule.type), "null"):
        message = f"'{rule.name}' is {actual}; the contract asks for {rule.type}."
        yield Finding("type", rule.name, "error", table.num_rows, message)
    if rule.max_missing is None or not table.num_rows:
        return
    missing = column.is_null(nan_is_null=True)
    count = pc.sum(missing).as_py() or 0
    share = count / table.num_rows
    if share > rule.max_missing:
        rows = pc.indices_nonzero(missing)[:SHOWN].to_pylist()
        message = (
            f"{share:.1%} of '{rule.name}' is missing ({count:,} of {table.num_rows:,} rows); "
            f"at most {rule.max_missing:.1%} may be."
        )
        yield Finding("max_missing", rule.name, "error", count, message, tuple(rows))
