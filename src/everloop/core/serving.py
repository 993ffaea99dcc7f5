"""Nouns of the serving room: how a model version is served, and what its inputs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from .contracts import ColumnRule
from .runs import Task

Route = Literal["onnx", "native"]
Layout = Literal["matrix", "columns"]


@dataclass(frozen=True)
class Field:
    """One input of a model.

    ``kind``: ``number``, ``boolean``, ``category``, ``time`` or ``time[ZONE]`` (see
    ``training.preparation.kind_of``), or ``any`` where nothing is known of it. ``levels`` of a category are
    those with a code of their own, in the order of their codes 1, 2 …; None where the model reads the text
    itself. ``nullable``: rows it was trained on missed the value. ``rule`` is what the contract asks.
    """

    name: str
    kind: str = "number"
    levels: tuple[str, ...] | None = None
    nullable: bool = False
    rule: ColumnRule | None = None

    @property
    def zone(self) -> tzinfo | None:
        """The time zone of a time that has one: its name, or an offset such as UTC+05:00."""
        name = self.kind[5:-1] if self.kind.startswith("time[") else ""
        if name.startswith(("UTC+", "UTC-")):
            return datetime.strptime(name[3:], "%z").tzinfo
        return ZoneInfo(name) if name else None


@dataclass(frozen=True)
class Agreement:
    """How far compiled and original answers lie apart on ``rows`` real rows: the largest absolute difference
    of a probability (of a value: relative to its size), and in how many rows the label differs."""

    rows: int
    largest: float
    labels: int
    tolerance: float


@dataclass(frozen=True)
class Form:
    """How a model version is served: compiled (``onnx``) or by the original (``native``), and why.

    ``layout`` says what the model takes: ``matrix``, one float64 tensor ``X`` of (rows, columns) as
    ``training.preparation.ColumnTypes`` makes them of the fields; or ``columns``, the values themselves, for
    originals with texts. ``artifact`` addresses the compiled model (empty: none).
    """

    route: Route
    reason: str
    task: Task
    classes: tuple[str, ...]
    fields: tuple[Field, ...]
    layout: Layout = "matrix"
    artifact: str = ""
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Prediction:
    """One predicted row, as it is logged. ``prediction`` is a label, or a number for regression, which has
    neither confidence nor probabilities. ``latency_ms`` is the time in the server, in milliseconds.
    ``probability`` is that with which the release ``release_id`` chose the variant. ``selection`` and
    ``inclusion`` say how the label comes about, where answers decide over labels (serving/feedback.py)."""

    prediction_id: str
    at: datetime
    model: str
    version: str
    inputs: Mapping[str, Any]
    prediction: str | float
    variant: str = "champion"
    request_id: str = ""
    latency_ms: float | None = None
    confidence: float | None = None
    probabilities: Mapping[str, float] | None = None
    warnings: tuple[str, ...] = ()
    label: str | None = field(default=None)
    labelled_at: datetime | None = None
    release_id: str | None = None
    probability: float | None = None
    selection: str | None = None
    inclusion: float | None = None


def time_of(text: str, zone: tzinfo | None) -> datetime:
    """An ISO 8601 time as a field with this ``zone`` has it; without a zone it is taken to be in the field's.
    A field that has none takes UTC, and no zone is told. Raises ValueError, OverflowError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        return when.replace(tzinfo=zone)
    return when.astimezone(zone) if zone else when.astimezone(UTC).replace(tzinfo=None)


def codes_of(classes: Sequence[str]) -> list[int]:
    """Classes as numbers: their own values where all are whole numbers, else their places."""
    whole = bool(classes) and all(_is_whole(name) for name in classes)
    return [int(name) if whole else place for place, name in enumerate(classes)]


def class_of(code: object, classes: Sequence[str]) -> str | None:
    """The class with a number, as ``codes_of`` gives them."""
    if type(code) is not int:
        return None
    codes = codes_of(classes)
    return classes[codes.index(code)] if code in codes else None


def _is_whole(name: str) -> bool:
    return name.lstrip("-").isdecimal() and str(int(name)) == name
