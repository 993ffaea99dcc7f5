"""Nouns of the validation room: what data must be like, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class ColumnRule:
    """What one column must be like. ``None`` means: not asked.

    ``type`` is a logical type or one of the families ``number``, ``string``, ``boolean``, ``time``.
    ``max_missing`` is the largest share (0 to 1) of missing values. A broken ``minimum``, ``maximum``,
    ``allowed`` or ``unique`` counts with the column's ``severity``; a missing column, a wrong type and a
    broken ``max_missing`` are always errors. Bounds of times are seconds since 1970.
    """

    name: str
    type: str | None = None
    required: bool = True
    max_missing: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    unique: bool = False
    severity: Severity = "error"


@dataclass(frozen=True)
class Contract:
    """``origin`` says where it comes from: ``inferred:<version>``, ``settings`` or ``python:<file:name>``.

    ``expressions`` are row rules in pandas ``eval`` syntax, for example ``dep_time <= arr_time``.
    """

    columns: tuple[ColumnRule, ...] = ()
    expressions: tuple[str, ...] = ()
    min_rows: int = 1
    allow_extra_columns: bool = True
    origin: str = "settings"


@dataclass(frozen=True)
class Finding:
    """One broken rule: in which column, in how many rows, the first of them (0-based) and their values."""

    rule: str
    column: str
    severity: Severity
    failed_rows: int
    message: str
    rows: tuple[int, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContractVerdict:
    passed: bool
    rows: int
    origin: str
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "error")
