"""Lines of the prediction log, read strictly into rows of the database."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

import msgspec

from everloop.serving.feedback import Selection
from everloop.store import failures, predictions
from everloop.store.database import Tx

REQUEST_LENGTH = 500  # characters of a request id that are kept
DAMAGE = (msgspec.MsgspecError, ValueError, RecursionError)
_SHORT = 200  # characters of an id or a name
_START = b'{"prediction_id":'
_START_FAILURE = b'{"failure_id":'


class _Line(msgspec.Struct):
    prediction_id: str
    at: datetime
    model: str
    version: str
    inputs: msgspec.Raw
    prediction: str | float
    variant: str = "champion"
    request_id: str = ""
    latency_ms: float | None = None
    confidence: float | None = None
    probabilities: msgspec.Raw = msgspec.Raw(b"null")
    warnings: msgspec.Raw = msgspec.Raw(b"null")
    release_id: str | None = None
    probability: float | None = None
    unit: str | None = None
    selection: Selection | None = None
    inclusion: float | None = None


class _Failure(msgspec.Struct):
    failure_id: str
    at: datetime
    model: str
    version: str
    variant: str
    release_id: str
    unit: str
    kind: Literal["failed", "refused"]
    request_id: str
    error: str


_Row = tuple[Any, ...]


@dataclass
class Read:
    """What lines hold: rows of predictions and of failures, and by model the inputs and the predictions."""

    predictions: list[_Row] = field(default_factory=list)
    failures: list[_Row] = field(default_factory=list)
    values: dict[str, tuple[list[Any], list[Any]]] = field(default_factory=dict)


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode
_decode_inputs = msgspec.json.Decoder(dict[str, Any]).decode
_decode_outputs = msgspec.json.Decoder(dict[str, float] | None).decode
_decode_warnings = msgspec.json.Decoder(list[str] | None).decode


def take(line: bytes, read: Read) -> None:
    """Read a line. Raises ValueError and MsgspecError for what is neither prediction nor failure, or what a
    database cannot take."""
    if b"\\u0000" in line or b"\0" in line:
        raise ValueError("a text holds the character 0")
    if line.startswith(_START_FAILURE):
        read.failures.append(_failure(_decode_failure(line)))
        return
    found = _decode_line(line)
    row, inputs = _prediction(found)
    read.predictions.append(row)
    values, predicted = read.values.setdefault(found.model, ([], []))
    values.append(inputs)
    predicted.append(found.prediction)


def _failure(found: _Failure) -> _Row:
    """A row of ``failures.COLUMNS``."""
    _check_names(found.failure_id, found.model, found.version, found.variant, found.release_id, found.unit)
    return (
        found.failure_id,
        _moment(found.at),
        found.model,
        found.version,
        found.variant,
        found.release_id,
        found.unit,
        found.kind,
        found.request_id[:REQUEST_LENGTH],
        found.error[:REQUEST_LENGTH],
    )


def _check_names(*names: str | None) -> None:
    for text in names:
        if text is not None and not 0 < len(text) <= _SHORT:
            raise ValueError(f"an id or a name has {len(text)} characters")


def _moment(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"the time {at.isoformat()} has no zone")
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")


def _prediction(found: _Line) -> tuple[_Row, dict[str, Any]]:
    """A row of ``predictions.COLUMNS``, and its inputs."""
    inputs, predicted = _decode_inputs(found.inputs), found.prediction
    _check_names(found.prediction_id, found.model, found.version, found.variant, found.release_id, found.unit)
    probabilities, warnings = bytes(found.probabilities), bytes(found.warnings)
    if probabilities != b"null":
        _decode_outputs(probabilities)
    if warnings != b"null":
        _decode_warnings(warnings)
    is_label = isinstance(predicted, str)
    row = (
        found.prediction_id,
        _moment(found.at),
        found.model,
        found.version,
        found.variant,
        found.request_id[:REQUEST_LENGTH],
        found.latency_ms,
        predicted if is_label else repr(predicted),
        None if is_label else predicted,
        found.confidence,
        bytes(found.inputs).decode(),
        None if probabilities == b"null" else probabilities.decode(),
        None if warnings == b"null" else warnings.decode(),
        found.release_id,
        found.probability,
        found.unit,
        found.selection,
        found.inclusion,
    )
    return row, inputs


def take_last(line: bytes, read: Read) -> None:
    """Read the whole line that was written behind one that was begun and not finished."""
    at = max(line.rfind(start, 1) for start in (_START, _START_FAILURE))
    if at > 0:  # cannot be in a text: there its quotes are escaped
        with suppress(*DAMAGE):
            take(line[at:], read)


def digest(line: bytes) -> str:
    return sha256(line).hexdigest()


def is_recorded(tx: Tx, line: bytes) -> bool:
    """Whether the database has what a line tells. Raises as ``take`` does."""
    if line.startswith(_START_FAILURE):
        return failures.is_known(tx, _decode_failure(line).failure_id)
    return bool(predictions.find(tx, [_decode_line(line).prediction_id]))
