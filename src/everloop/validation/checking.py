"""A table against a contract."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from everloop.core.contracts import Contract, ContractVerdict, Finding
from everloop.core.errors import DuplicateColumns

from .expressions import read_expression, require_known
from .structure import check_structure
from .values import check_values


def check(table: pa.Table, contract: Contract) -> ContractVerdict:
    """Whether ``table`` is what ``contract`` asks for, with every rule that it breaks, errors first.

    Rows and columns, types and missing shares are checked on the Arrow table, values by Pandera. A type is
    right when its family is: whole numbers where floats stood (or the reverse) pass, text does not.
    ``severity`` is of a column's minimum, maximum, allowed values and uniqueness; all else is an error.
    Missing values break ``max_missing`` only. Values of a column of the wrong type, and row rules that need
    it or a column that is not there, are not judged.

    Raises InvalidSettings for an expression that is not a row rule or names a column that neither table nor
    contract knows, DuplicateColumns for a table with two columns of one name.
    """
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DuplicateColumns(
            f"The table has more than one column named '{twice[0]}'.", remedy="Rename one of them."
        )
    rules = [read_expression(expression) for expression in contract.expressions]
    known = {*table.column_names, *(rule.name for rule in contract.columns)}
    for rule in rules:
        require_known(rule, known)
    findings = list(check_structure(table, contract))
    wrong = {finding.column for finding in findings if finding.rule == "type"}
    sound = {f.name for f in table.schema if f.name not in wrong and not pa.types.is_null(f.type)}
    findings += check_values(
        table,
        [rule for rule in contract.columns if rule.name in sound],
        [rule for rule in rules if sound.issuperset(rule.columns)],
    )
    return verdict(table, contract.origin, findings)


def verdict(table: pa.Table, origin: str, findings: list[Finding]) -> ContractVerdict:
    """Errors first; without any the table passes."""
    ordered = tuple(sorted(findings, key=lambda finding: finding.severity != "error"))
    passed = not any(finding.severity == "error" for finding in ordered)
    return ContractVerdict(passed=passed, rows=table.num_rows, origin=origin, findings=ordered)
