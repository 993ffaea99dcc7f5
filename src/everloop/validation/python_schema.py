"""A table against a schema that a user wrote in Python with Pandera."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Collection
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from everloop.core.contracts import ContractVerdict, Finding, Severity
from everloop.core.errors import InvalidSettings

from .checking import verdict
from .findings import SHOWN, failures, name_values, outcome


def check_python(
    table: pa.Table,
    schema: object,
    origin: str,
    *,
    frame: pd.DataFrame | None = None,
    inputs: Collection[str] | None = None,
    gaps: Collection[str] = (),
) -> ContractVerdict:
    """Whether ``table``, as pandas reads it (``frame``), fits ``schema``, a ``pandera.DataFrameSchema`` or a
    subclass of ``pandera.DataFrameModel``. Checks with ``raise_warning=True`` give warnings, all others
    errors. ``origin`` is named in the verdict, for example ``python:contracts.py:Flights``.

    ``inputs``: the table holds what a model was asked, not what it is trained on. Columns that are no inputs
    may be absent, with the checks that need them, and rows may come twice. Types are those that pandas gave
    the data it is trained on: columns that lacked values there (``gaps``) have the type for such, and of
    others a missing value is told as that, and not as another type.

    The schema's own code runs: it is the user's. Raises InvalidSettings when ``schema`` is something else or
    cannot be made.
    """
    made = _cut_short(_as_schema(schema, origin))
    absent = [] if inputs is None else [n for n in made.columns if n not in {*inputs, *table.column_names}]
    frame = table.to_pandas() if frame is None else frame.copy(deep=False)
    if inputs is not None:
        made = _of_inputs(made, absent)
        _as_read(frame, table, made, gaps)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        failed = failures(made, frame)
    findings = [_finding(table, error) for error in failed if not _needs(error, absent)]
    findings += [
        Finding("check", "", "warning", 0, str(warning.message).splitlines()[0])
        for warning in caught
        if issubclass(warning.category, pandera.errors.SchemaWarning)
    ]
    return verdict(table, origin, findings)


def _as_schema(schema: object, origin: str) -> pandera.DataFrameSchema:
    try:
        if inspect.isclass(schema) and issubclass(schema, pandera.DataFrameModel):
            model: Any = schema
            return model.to_schema()
    except (pandera.errors.SchemaInitError, pandera.errors.SchemaDefinitionError) as error:
        raise InvalidSettings(
            f"The schema {origin} cannot be used: {error}", remedy="Correct its definition."
        ) from error
    if isinstance(schema, pandera.DataFrameSchema):
        return schema
    raise InvalidSettings(
        f"{origin} is a {type(schema).__name__}, not a Pandera schema.",
        remedy="Name a pandera.pandas.DataFrameSchema or a subclass of pandera.pandas.DataFrameModel.",
    )


def _cut_short(schema: pandera.DataFrameSchema) -> pandera.DataFrameSchema:
    """A copy whose checks list their first failures only: Pandera writes each into text, which is slow."""
    schema = copy.deepcopy(schema)
    for part in (schema, *schema.columns.values()):
        for check in part.checks:
            if check.n_failure_cases is None:
                check.n_failure_cases = SHOWN
    return schema


def _of_inputs(schema: pandera.DataFrameSchema, absent: list[str]) -> pandera.DataFrameSchema:
    schema = schema.remove_columns(absent)
    schema.unique = None
    for column in schema.columns.values():
        column.unique = False
    return schema


def _as_read(
    frame: pd.DataFrame, table: pa.Table, schema: pandera.DataFrameSchema, gaps: Collection[str]
) -> None:
    """Whole numbers with missing values are floats in pandas, and booleans objects."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        is_whole = pa.types.is_integer(column.type)
        if not is_whole and not pa.types.is_boolean(column.type):
            continue
        if name in gaps:
            frame[name] = frame[name].astype(float if is_whole else object)
        elif column.null_count and name in schema.columns:
            schema.columns[name].dtype = None


def _needs(error: Any, absent: list[str]) -> bool:
    """Whether a check of the whole table failed because it looks at a column that is rightly absent."""
    cases = error.failure_cases
    return isinstance(cases, str) and any(cases in (f'KeyError("{n}")', f"KeyError('{n}')") for n in absent)


def _finding(table: pa.Table, error: Any) -> Finding:
    column = str(error.column_name or getattr(error.schema, "name", None) or "")
    rule = _rule(error)
    result = outcome(error)
    severity: Severity = "error"
    where = f"'{column}' breaks" if column else "The table breaks"
    if result.failed is None:
        message = f"{where} {rule}: {result.reason}."
        return Finding(rule, column, severity, table.num_rows, message)
    values = name_values(table, [column], result.rows) if column in table.column_names else ()
    first = f"; the first is row {result.rows[0]:,}" + (f": {values[0]}" if values else "")
    message = f"{where} {rule} in {result.failed:,} of {table.num_rows:,} rows{first}."
    return Finding(rule, column, severity, result.failed, message, result.rows, values)


def _rule(error: Any) -> str:
    check = error.check
    if isinstance(check, str):
        return check
    named = getattr(check, "error", None) or getattr(check, "name", None)
    return str(named or error.reason_code.value)
