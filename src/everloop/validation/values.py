"""What single values must be like, checked by Pandera."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from everloop.core.contracts import ColumnRule, Finding, Severity

from .encodings import logical_type
from .expressions import RowRule
from .findings import SHOWN, failures, name_values, outcome
from .types import family

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


@dataclass(frozen=True)
class _Asked:
    """One Pandera check, with what is needed to tell of its failures in words."""

    check: pandera.Check
    rule: str
    columns: tuple[str, ...]
    severity: Severity
    says: str


def check_values(table: pa.Table, rules: Iterable[ColumnRule], row_rules: Iterable[RowRule]) -> list[Finding]:
    """Ranges, allowed values, uniqueness and row rules. Every column that is named must be in the table."""
    findings: list[Finding] = []
    asked: list[_Asked] = []
    for rule in rules:
        kind = family(logical_type(table.column(rule.name).type))
        refusals = list(_refusals(rule, kind))
        findings += refusals
        if not refusals:
            asked += _column_checks(rule, kind)
    per_column = len(asked)
    asked += [_row_check(rule) for rule in row_rules]
    if not table.num_rows or not asked:
        return findings
    checks: dict[str, list[pandera.Check]] = {}
    for one in asked[:per_column]:
        checks.setdefault(one.columns[0], []).append(one.check)
    schema = pandera.DataFrameSchema(
        {name: pandera.Column(checks=group, nullable=True) for name, group in checks.items()},
        checks=[one.check for one in asked[per_column:]],
    )
    names = dict.fromkeys(name for one in asked for name in one.columns)
    frame = pd.DataFrame({name: to_series(table.column(name)) for name in names}, copy=False)
    by_name = {one.check.name: one for one in asked}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed = failures(schema, frame)
    return findings + [_finding(table, by_name[error.check.name], error) for error in failed]


def to_series(column: pa.ChunkedArray) -> pd.Series[Any]:
    """As pandas: dictionaries as their values, decimals as floats, times in UTC without a zone, and whole
    numbers and booleans that miss values as pandas' nullable types, so that large identifiers stay exact."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return to_series(column.cast(kind.value_type))
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit))
    mapper = _NULLABLE.get if column.null_count else None
    series: pd.Series[Any] = column.to_pandas(date_as_object=False, types_mapper=mapper)
    return series


def _refusals(rule: ColumnRule, kind: str) -> Iterator[Finding]:
    """Rules that make no sense for the column's type."""
    for name, value in (("minimum", rule.minimum), ("maximum", rule.maximum)):
        if value is not None and kind not in ("number", "boolean", "time"):
            message = f"'{rule.name}' is {kind}; a {name} is for numbers and times."
            yield Finding(name, rule.name, "error", 0, message)
    if rule.allowed is not None and kind not in ("number", "boolean", "string"):
        message = f"'{rule.name}' is {kind}; allowed values are for text, numbers and booleans."
        yield Finding("allowed", rule.name, "error", 0, message)


def _column_checks(rule: ColumnRule, kind: str) -> Iterator[_Asked]:
    def ask(name: str, check: Any, says: str, *arguments: Any) -> _Asked:
        made = check(*arguments, name=f"{name} of {rule.name}", n_failure_cases=SHOWN)
        return _Asked(made, name, (rule.name,), rule.severity, f"'{rule.name}' {says}")

    if rule.minimum is not None:
        bound = _bound(rule.minimum, kind)
        yield ask("minimum", pandera.Check.ge, f"is under its minimum {_plain(bound)}", bound)
    if rule.maximum is not None:
        bound = _bound(rule.maximum, kind)
        yield ask("maximum", pandera.Check.le, f"is over its maximum {_plain(bound)}", bound)
    if rule.allowed is not None:
        shown = ", ".join(rule.allowed[:SHOWN]) + (", …" if len(rule.allowed) > SHOWN else "")
        says = f"is none of the {len(rule.allowed):,} allowed values ({shown})"
        yield ask("allowed", pandera.Check.isin, says, _as_kind(rule.allowed, kind))
    if rule.unique:
        yield ask("unique", pandera.Check, "has the value of another row", _is_unique)


def _row_check(rule: RowRule) -> _Asked:
    check = pandera.Check(
        partial(_holds, rule), name=f"rule {rule.expression}", n_failure_cases=SHOWN, ignore_na=False
    )
    return _Asked(
        check, rule.expression, rule.columns, "error", f"The rule '{rule.expression}' does not hold"
    )


def _holds(rule: RowRule, frame: pd.DataFrame) -> pd.Series[bool]:
    return rule.holds(frame)


def _is_unique(values: pd.Series[Any]) -> pd.Series[bool]:
    return ~values.duplicated(keep=False)


def _bound(value: float, kind: str) -> Any:
    """Bounds of times are seconds since 1970."""
    return pd.Timestamp(np.datetime64(round(value * 1e6), "us")) if kind == "time" else value


def _plain(bound: Any) -> str:
    return f"{bound:.15g}" if isinstance(bound, (int, float)) else str(bound)


def _as_kind(allowed: tuple[str, ...], kind: str) -> list[Any]:
    if kind == "boolean":
        return [text.lower() == "true" for text in allowed if text.lower() in ("true", "false")]
    if kind == "number":
        return [number for number in map(_number, allowed) if number is not None]
    return list(allowed)


def _number(text: str) -> float | int | None:
    for read in (int, float):
        try:
            number = read(text)
            return number if math.isfinite(number) else None
        except ValueError:
            continue
    return None


def _finding(table: pa.Table, asked: _Asked, error: Any) -> Finding:
    result = outcome(error)
    column = asked.columns[0] if len(asked.columns) == 1 else ""
    if result.failed is None:
        message = f"The {_what(asked)} could not be checked: {result.reason}."
        return Finding(asked.rule, column, "error", table.num_rows, message)
    values = name_values(table, asked.columns, result.rows)
    where = f" in {result.failed:,} of {table.num_rows:,} rows; the first is row {result.rows[0]:,}"
    message = f"{asked.says}{where if table.num_rows > 1 else ''}: {values[0]}."
    return Finding(asked.rule, column, asked.severity, result.failed, message, result.rows, values)


def _what(asked: _Asked) -> str:
    known = asked.rule in ("minimum", "maximum", "allowed", "unique")
    return f"{asked.rule} of '{asked.columns[0]}'" if known else f"rule '{asked.rule}'"
