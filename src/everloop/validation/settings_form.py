"""Contracts as people write them in YAML, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, time
from typing import Any

from everloop.core.contracts import ColumnRule, Contract
from everloop.core.errors import InvalidSettings, nearest

from .expressions import read_expression
from .types import family, know_type

_KEYS = ("min_rows", "allow_extra_columns", "columns", "rules")
_COLUMN_KEYS = tuple(field.name for field in fields(ColumnRule) if field.name != "name")


def contract_from_mapping(mapping: Mapping[str, Any]) -> Contract:
    """The contract that the mapping under ``contract:`` describes::

        min_rows: 100
        allow_extra_columns: true
        columns:
          distance: {type: number, minimum: 0, maximum: 6000, max_missing: 0.01}
          carrier: {type: string, allowed: [UA, AA], severity: warning}
          id: {unique: true}
        rules: ["dep_time <= arr_time"]

    Bounds of times may be written as dates. Raises InvalidSettings, naming the key, for one that is not known
    or a value that cannot be.
    """
    _require_mapping(mapping, "contract")
    _require_keys(mapping, _KEYS, "contract")
    columns = mapping.get("columns") or {}
    _require_mapping(columns, "contract.columns")
    rules = mapping.get("rules") or []
    if not isinstance(rules, (list, tuple)) or not all(isinstance(rule, str) for rule in rules):
        raise _wrong("contract.rules", rules, 'a list of texts, such as ["dep_time <= arr_time"]')
    for rule in rules:
        read_expression(rule)
    return Contract(
        columns=tuple(_column(str(name), rule) for name, rule in columns.items()),
        expressions=tuple(rules),
        min_rows=_count(mapping.get("min_rows", 1), "contract.min_rows"),
        allow_extra_columns=_flag(mapping.get("allow_extra_columns", True), "contract.allow_extra_columns"),
    )


def contract_to_mapping(contract: Contract) -> dict[str, Any]:
    """The form that ``contract_from_mapping`` reads, without what is not asked. ``origin`` is left out: what
    is read back is the user's own."""
    mapping: dict[str, Any] = {"min_rows": contract.min_rows}
    if not contract.allow_extra_columns:
        mapping["allow_extra_columns"] = False
    mapping["columns"] = {rule.name: _column_mapping(rule) for rule in contract.columns}
    if contract.expressions:
        mapping["rules"] = list(contract.expressions)
    return mapping


def _column_mapping(rule: ColumnRule) -> dict[str, Any]:
    asked = {}
    for field in fields(ColumnRule):
        value = getattr(rule, field.name)
        if field.name != "name" and value != field.default:
            asked[field.name] = list(value) if isinstance(value, tuple) else value
    return asked


def _column(name: str, given: Any) -> ColumnRule:
    where = f"contract.columns.{name}"
    given = {} if given is None else given
    _require_mapping(given, where)
    _require_keys(given, _COLUMN_KEYS, where)
    kind = given.get("type")
    if kind is not None and not isinstance(kind, str):
        raise _wrong(f"{where}.type", kind, "the name of a type")
    rule = ColumnRule(
        name=name,
        type=know_type(kind) if kind is not None else None,
        required=_flag(given.get("required", True), f"{where}.required"),
        max_missing=_share(given.get("max_missing"), f"{where}.max_missing"),
        minimum=_bound(given.get("minimum"), f"{where}.minimum"),
        maximum=_bound(given.get("maximum"), f"{where}.maximum"),
        allowed=_allowed(given.get("allowed"), f"{where}.allowed"),
        unique=_flag(given.get("unique", False), f"{where}.unique"),
        severity=given.get("severity", "error"),
    )
    if rule.severity not in ("error", "warning"):
        raise _wrong(f"{where}.severity", rule.severity, "'error' or 'warning'")
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        raise _wrong(f"{where}.minimum", given["minimum"], f"at most the maximum, {given['maximum']}")
    if kind is not None and family(kind) == "string" and (rule.minimum, rule.maximum) != (None, None):
        raise InvalidSettings(f"{where} is a string and has a minimum or maximum.", remedy="Use 'allowed'.")
    return rule


def _require_mapping(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(where, value, "a mapping of names to values")


def _require_keys(mapping: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in mapping:
        if key not in known:
            raise InvalidSettings(f"{where} has no setting '{key}'.", remedy=nearest(str(key), known))


def _count(value: Any, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise _wrong(where, value, "a whole number, 0 or more")


def _flag(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(where, value, "true or false")


def _share(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise _wrong(where, value, "a share from 0 to 1")


def _bound(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC).timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf"):
        return float(value)
    raise _wrong(where, value, "a number or a date")


def _allowed(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    scalar = isinstance(value, (list, tuple)) and all(isinstance(v, (str, int, float)) for v in value)
    if not scalar or not value:
        raise _wrong(where, value, "a list of texts, numbers or true and false, with at least one")
    return tuple(str(v).lower() if isinstance(v, bool) else str(v) for v in value)


def _wrong(where: str, value: Any, expected: str) -> InvalidSettings:
    return InvalidSettings(f"{where} is {value!r}.", remedy=f"It must be {expected}.")
