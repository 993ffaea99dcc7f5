"""Values of requests, in the order of a model's fields -> its scores by the fitted pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.serving import Field, Form, time_of

from . import fitting

_EXACT = 2**53
_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.string()}


def scores(model: Any, form: Form, rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """Probabilities (rows, classes) or values (rows,) of the pipeline: the rows become the table that it was
    trained on."""
    columns = zip(*rows, strict=True)
    table = pa.table(
        {field.name: column(field, values) for field, values in zip(form.fields, columns, strict=True)}
    )
    names = [field.name for field in form.fields]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that a model was fitted without
        return fitting.predict(model, table, names, form.task)


def column(field: Field, values: Sequence[Any]) -> pa.Array:
    """Whole numbers that float64 cannot hold stay whole: long ids are such. Times are read as for a compiled
    model, in nanoseconds or, as in data versions, microseconds where one lies beyond what these reach."""
    if field.kind == "any":
        return pa.array(values)
    if field.kind == "number" and any(type(value) is int and abs(value) > _EXACT for value in values):
        whole = all(value is None or (type(value) is int and abs(value) < 2**63) for value in values)
        return pa.array(values if whole else [None if v is None else float(v) for v in values])
    if field.kind.startswith("time"):
        zone = field.zone
        name = field.kind[5:-1].removeprefix("UTC") or "UTC"  # Arrow writes an offset without UTC
        times = [None if value is None else _stored(time_of(value, zone)) for value in values]
        found = pa.array(times, pa.timestamp("us", tz=name if zone else None))
        with suppress(pa.ArrowInvalid):
            return found.cast(pa.timestamp("ns", tz=found.type.tz))
        return found
    return pa.array(values, _TYPES.get(field.kind, pa.string()))


def _stored(when: datetime) -> datetime:
    """As Arrow keeps it, a time with a zone in UTC: by itself it was seen to leave out the offset."""
    return when if when.tzinfo is None else when.astimezone(UTC).replace(tzinfo=None)
