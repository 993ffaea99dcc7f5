"""Predictions of a model and a period as a data version: inputs, answers, probabilities and labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from everloop.core.errors import EmptyTable
from everloop.core.ids import token
from everloop.core.moments import check_period
from everloop.data import writing
from everloop.flows import data
from everloop.flows.project import Project
from everloop.store import predictions
from everloop.store.database import Row, Tx
from everloop.store.predictions import Wanted

_ROWS = 10_000  # in memory at once
_LARGEST = 2**53  # whole numbers up to here are exact as floats
_decode = msgspec.json.decode

_ABOUT = (
    *("prediction_id", "at", "model", "version", "variant", "request_id", "latency_ms"),
    *("prediction", "confidence", "label", "labelled_at", "selection", "inclusion"),
)


def export(
    project: Project,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    dataset: str | None = None,
    version: str | None = None,
) -> data.Registered:
    """Register the predictions of a model from ``since`` to before ``until`` [all], oldest first, as a
    version of ``dataset`` [MODEL.predictions].

    Columns: the inputs under their names (``input_NAME`` where another column is called so), numbers,
    booleans or texts by what all their values are; ``prediction`` (a number for regression), ``confidence``,
    ``probability_CLASS``, the latest ``label`` and ``labelled_at``, and what is known of the request. Memory
    holds some thousand rows at a time. Raises EmptyTable where there is no prediction.
    """
    check_period(since, until)
    dataset = dataset or f"{model}.predictions"
    data.check_name(project, dataset)
    wanted = Wanted(model=model, version=version, since=since, until=until)
    path = project.settings.state / "exports" / project.tenant / f"{token()}.parquet"
    try:
        with project.store.snapshot() as tx:
            shape = _Shape(tx, wanted)
            if not shape.rows:
                raise EmptyTable(
                    f"There are no predictions of '{model}' to export.", remedy=_said(since, until)
                )
            project.write_file(path, writing.pieces(shape.schema, shape.tables(tx, wanted), ".parquet"))
        return _register(project, path, dataset, model, shape, since, until)
    finally:
        path.unlink(missing_ok=True)


def _register(
    project: Project,
    path: Path,
    dataset: str,
    model: str,
    shape: _Shape,
    since: datetime | None,
    until: datetime | None,
) -> data.Registered:
    origin = {"model": model, "first": shape.first, "last": shape.last}
    if shape.damaged:
        origin["left_out"] = predictions.told(shape.damaged)
    return data.register(
        project,
        path,
        dataset,
        described_as=f"predictions of {model}",
        origin=origin,
        tags=_span(since, until),
    )


class _Shape:
    """The columns that some predictions need, read off all of them once, and their rows as tables."""

    def __init__(self, tx: Tx, wanted: Wanted) -> None:
        self.rows = 0
        self.first = self.last = ""
        self.damaged: list[str] = []
        kinds: dict[str, str] = {}
        classes: dict[str, None] = {}
        numeric = True
        for row in predictions.intact(predictions.each(tx, wanted), self.damaged):
            self.first = self.first or row["at"]
            self.last = row["at"]
            self.rows += 1
            numeric = numeric and row["value"] is not None
            for name, value in _inputs(row).items():
                kinds[name] = _wider(kinds.get(name, "null"), value)
            if row["probabilities"]:
                classes |= dict.fromkeys(_decode(row["probabilities"]))
        probabilities = {f"probability_{name}": name for name in classes}
        taken = {*_ABOUT, *probabilities}
        self._columns: dict[str, Callable[[Row, dict[str, Any], dict[str, float]], Any]] = {}
        fields = []
        for name, kind in kinds.items():
            called = f"input_{name}" if name in taken else name
            while called in self._columns or called in taken:
                called = f"input_{called}"
            self._columns[called] = _reader(name, kind)
            fields.append(pa.field(called, _ARROW[kind]))
        for name, kind in _about(numeric=numeric).items():
            self._columns[name] = _about_reader(name, numeric=numeric)
            fields.append(pa.field(name, kind))
        for called, name in probabilities.items():
            self._columns[called] = _probability(name)
            fields.append(pa.field(called, pa.float64()))
        self.schema = pa.schema(fields)

    def tables(self, tx: Tx, wanted: Wanted) -> Iterator[pa.Table]:
        found = predictions.intact(predictions.each(tx, wanted))
        while several := list(islice(found, _ROWS)):
            values: dict[str, list[Any]] = {name: [] for name in self._columns}
            for row in several:
                inputs = _inputs(row)
                probabilities = _decode(row["probabilities"]) if row["probabilities"] else {}
                for name, read in self._columns.items():
                    values[name].append(read(row, inputs, probabilities))
            yield pa.table(values, schema=self.schema)


# -- columns -------------------------------------------------------------------------------------------------

_ARROW = {
    "null": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
}


def _inputs(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = _decode(row["inputs"])
    return found


def _wider(known: str, value: Any) -> str:
    """The kind of a column that holds one more value. Numbers that are too large for either kind are text."""
    if value is None:
        return known
    if isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, int):
        kind = "integer" if abs(value) <= _LARGEST else "text"
    else:
        kind = "number" if isinstance(value, float) else "text"
    if known in ("null", kind):
        return kind
    return "number" if {known, kind} == {"integer", "number"} else "text"


def _reader(name: str, kind: str) -> Callable[[Row, dict[str, Any], dict[str, float]], Any]:
    def read(_: Row, inputs: dict[str, Any], __: dict[str, float]) -> Any:
        value = inputs.get(name)
        if value is None or kind not in ("text", "null"):
            return value
        return value if isinstance(value, str) else json.dumps(value)

    return read


def _about(*, numeric: bool) -> dict[str, pa.DataType]:
    numbers, times = {"latency_ms", "confidence", "inclusion"}, {"at", "labelled_at"}
    if numeric:
        numbers.add("prediction")
    found = {}
    for name in _ABOUT:
        found[name] = pa.float64() if name in numbers else pa.string()
        if name in times:
            found[name] = pa.timestamp("us", "UTC")
    return found


def _about_reader(name: str, *, numeric: bool) -> Callable[[Row, dict[str, Any], dict[str, float]], Any]:
    column = "value" if name == "prediction" and numeric else name

    def read(row: Row, _: dict[str, Any], __: dict[str, float]) -> Any:
        value = row[column]
        return datetime.fromisoformat(value) if value and name in ("at", "labelled_at") else value

    return read


def _probability(name: str) -> Callable[[Row, dict[str, Any], dict[str, float]], Any]:
    return lambda row, inputs, probabilities: probabilities.get(name)


def _span(since: datetime | None, until: datetime | None) -> dict[str, str]:
    return {name: moment.isoformat() for name, moment in (("since", since), ("until", until)) if moment}


def _said(since: datetime | None, until: datetime | None) -> str:
    named = " ".join(f"{name} {moment}" for name, moment in _span(since, until).items())
    return f"Ask for another period than {named}." if named else "Ask the model something first."
