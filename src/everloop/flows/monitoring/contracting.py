"""The rows of a window against what was agreed about them: the model's contract, and a suite of Great
Expectations where the settings name one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from everloop import validation
from everloop.core.contracts import Contract, ContractVerdict, Finding
from everloop.core.data import DatasetVersion
from everloop.core.errors import MLOpsError, NotFound
from everloop.core.monitoring import Result
from everloop.core.runs import Run
from everloop.flows import agreed, data
from everloop.flows.project import Project
from everloop.store import monitors
from everloop.validation import expressions

from . import expecting
from .referring import References
from .spans import Span, rules_of

MOST_ROWS = 20_000  # of a window, the newest
BY_VALUE = ("minimum", "maximum", "allowed")


def of_window(project: Project, known: References, version: str, span: Span) -> list[Result]:
    """The newest rows of a window."""
    model = known.run.model
    with project.store.snapshot() as tx:
        found = monitors.answers(tx, model, version, span.since, span.until, newest=MOST_ROWS)
        table = known.table(found)
    return check(project, known.run, table, until=span.until)


def check(project: Project, run: Run, table: pa.Table, until: datetime | None = None) -> list[Result]:
    """A result per rule, and ``unable`` where contract or suite cannot be used. ``until``: the end of the
    window, for which Data Docs get a page."""
    trained = _trained_on(project, run)
    table = _as_trained(trained, table)
    results = _able("contract", lambda: _contract(project, run, table, trained))
    if suite := rules_of(project, run.model).suite:
        results += _able("suite", lambda: expecting.check(project, run, suite, table, until))
    return results


def _able(subject: str, judge: Callable[[], list[Result]]) -> list[Result]:
    try:
        return judge()
    except MLOpsError as error:
        return [
            Result("check", subject, subject, False, f"{error}", unable=True, details={"code": error.code})
        ]


def _trained_on(project: Project, run: Run) -> DatasetVersion | None:
    try:
        return data.find(project, run.data_version, run.dataset) if run.dataset else None
    except NotFound:
        return None


def _as_trained(version: DatasetVersion | None, table: pa.Table) -> pa.Table:
    """JSON knows one kind of number and no dates: both become what they were in the data of the run."""
    types = {column.name: column.type for column in version.columns} if version else {}
    fields, columns = list(table.schema), table.columns
    for at, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
        if field.name in types:
            try:
                columns[at] = _as(column, types[field.name])
            except pa.ArrowInvalid:
                continue  # the rule about its type says so
            fields[at] = pa.field(field.name, columns[at].type)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def _as(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """A column as of a logical type; raises ArrowInvalid where that would change a value."""
    given, bare = column.type, kind.partition("[")[0]
    if kind.startswith(("int", "uint", "float")) and (
        pa.types.is_floating(given) or pa.types.is_integer(given)
    ):
        return column.cast(pa.type_for_alias(kind))
    if bare not in ("date", "timestamp") or not (pa.types.is_string(given) or pa.types.is_timestamp(given)):
        return column
    if pa.types.is_string(given):
        column = _moments(column)
    if bare == "date":
        return column.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    return column.cast(pa.timestamp("us", kind[len(bare) + 1 : -1] or None))


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Of texts, all with a zone or all without one."""
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return column.cast(pa.timestamp("us", "UTC"))


def _contract(project: Project, run: Run, table: pa.Table, trained: DatasetVersion | None) -> list[Result]:
    settings = project.settings.models.get(run.model)
    if settings and isinstance(settings.contract, str):
        return _python(project, run, settings.contract, table, trained)
    contract = agreed.contract(project, run.model)
    if contract is None:
        return []
    asked = _of_inputs(contract, run, table)
    verdict = validation.checking.check(table, asked)
    found = {(each.column, each.rule): each for each in verdict.findings}
    limits = {rule.name: rule.max_missing for rule in asked.columns}
    results = [
        _result(each, verdict, limits[each.column] if each.rule == "max_missing" else None)
        for each in verdict.findings
    ]
    for subject, rule, share in _asked(asked, table):
        if (subject, rule) not in found and (subject, "type") not in found:
            text = f"{_where(subject)} keeps '{rule}' of the contract."
            results.append(Result("check", subject or "rows", rule, False, text, value=share))
    return results


def _of_inputs(contract: Contract, run: Run, table: pa.Table) -> Contract:
    """What of a contract about training data also holds for what a model is asked: not that there is a
    target, that rows are many or no two alike; nor bounds and levels that were only read off the data, of
    which drift tells what matters."""
    inferred = contract.origin.startswith("inferred:")
    columns = []
    for rule in contract.columns:
        rule = replace(rule, required=rule.required and rule.name in run.features, unique=False)
        columns.append(replace(rule, minimum=None, maximum=None, allowed=None) if inferred else rule)
    known = set(table.column_names)
    rows = [e for e in contract.expressions if known.issuperset(expressions.read_expression(e).columns)]
    return replace(contract, columns=tuple(columns), expressions=tuple(rows), min_rows=0)


def _asked(contract: Contract, table: pa.Table) -> Iterator[tuple[str, str, float]]:
    """Column and name of each rule, and the share of rows that break one that is kept all the same."""
    here = set(table.column_names)
    for rule in contract.columns:
        if rule.required:
            yield rule.name, "required", 0.0
        if rule.name not in here:
            continue
        if rule.type is not None:
            yield rule.name, "type", 0.0
        if rule.max_missing is not None:
            yield rule.name, "max_missing", _missing(table.column(rule.name))
        for name in BY_VALUE:
            if getattr(rule, name) is not None:
                yield rule.name, name, 0.0
    for expression in contract.expressions:
        columns = dict.fromkeys(expressions.read_expression(expression).columns)
        yield next(iter(columns)) if len(columns) == 1 else "", expression, 0.0


def _missing(column: pa.ChunkedArray) -> float:
    return float(pc.mean(column.is_null(nan_is_null=True).cast(pa.int8())).as_py() or 0.0)


def _python(
    project: Project, run: Run, name: str, table: pa.Table, trained: DatasetVersion | None
) -> list[Result]:
    gaps = [column for column, each in trained.statistics.items() if each.missing] if trained else []
    verdict = agreed.check_python(project, name, table, inputs=run.features, gaps=gaps)
    if not verdict.findings:
        return [Result("check", "contract", "contract", False, f"The rows keep {name}.", value=0.0)]
    return [_result(each, verdict, None) for each in verdict.findings]


def _result(finding: Finding, verdict: ContractVerdict, limit: float | None) -> Result:
    """Of a broken rule, or of one that makes no sense for the column as it is now."""
    judged = finding.failed_rows > 0
    details: dict[str, Any] = {"values": finding.values} if finding.values else {}
    if not finding.column:
        details["columns"] = []  # the subject is no column
    return Result(
        "check",
        finding.column or "rows",
        finding.rule,
        judged,
        finding.message,
        level="warning" if finding.severity == "error" else "info",
        value=finding.failed_rows / max(1, verdict.rows) if judged else None,
        floor=limit,
        unable=not judged,
        details=details,
    )


def _where(subject: str) -> str:
    return f"'{subject}'" if subject else "Each row"
